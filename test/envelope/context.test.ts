import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CONTEXT_PAIRS_MAX,
  CONTEXT_TEXT_BYTES_MAX,
  contextText,
  parseContext,
} from "../../src/envelope/s3ec/context.ts";
import { codeOf } from "./material.ts";

const parse = (text: string | undefined) => parseContext(text, "x-amz-matdesc");

describe("the key context as text", () => {
  it("is parsed, whatever the writer's style", () => {
    const expected = [
      ["b", "x/ö<"],
      ["a", "1"],
    ];
    for (const text of ['{"b":"x/ö<","a":"1"}', '{ "b" : "x\\/\\u00f6\\u003c",\n"a":"1" }\t']) {
      expect([...parse(text)]).toEqual(expected);
    }
    expect(parse(undefined).size).toBe(0);
    expect(parse(" {} ").size).toBe(0);
  });
  it("is written as visible ASCII without white space", () => {
    const context = new Map([["a b", 'ö\u{1f511}\u007f\n"\\']]);
    expect(contextText(context)).toBe('{"a\\u0020b":"\\u00f6\\ud83d\\udd11\\u007f\\n\\"\\\\"}');
  });
  it("comes back as it went, in its order", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 12 });
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(text, text), { selector: ([name]) => name, maxLength: 12 }), (pairs) => {
        const written = contextText(new Map(pairs));
        expect(written).toMatch(/^[!-~]+$/);
        expect([...parse(written)]).toEqual(pairs);
        expect(JSON.parse(written)).toEqual(Object.fromEntries(pairs));
      }),
    );
  });
  it("never takes what JSON.parse refuses, nor reads it otherwise", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      '"',
      '"a"',
      '"b"',
      ":",
      ",",
      " ",
      "\\",
      "\\u0041",
      "\n",
      "1",
      "[",
      "null",
      "é",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const text = parts.join("");
        try {
          const map = parse(text);
          expect(JSON.parse(text)).toEqual(Object.fromEntries(map));
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: "SEAL_MALFORMED" });
        }
      }),
      { numRuns: 2000 },
    );
  });
  it.each([
    ["a name twice", '{"a":"1","a":"1"}'],
    ["a name twice, in two escapes", '{"a":"1","\\u0061":"2"}'],
    ["a number", '{"a":1}'],
    ["null", '{"a":null}'],
    ["a map within", '{"a":{"b":"c"}}'],
    ["a list", '["a"]'],
    ["text", '"a"'],
    ["nothing", ""],
    ["a comma at the end", '{"a":"1",}'],
    ["something after it", '{"a":"1"}{}'],
    ["an unfinished escape", '{"a":"\\u00"}'],
    ["a raw line break in a string", '{"a":"\n"}'],
    ["a lone surrogate", '{"a":"\\ud800"}'],
    ["deep nesting", `{"a":${"[".repeat(4000)}`],
    ["more text than any store carries", `{"a":"${"x".repeat(CONTEXT_TEXT_BYTES_MAX)}"}`],
    ["too many pairs", `{${Array.from({ length: CONTEXT_PAIRS_MAX + 1 }, (_, i) => `"${i}":""`).join()}}`],
  ])("refuses %s", async (_, text) => {
    expect(await codeOf(() => parse(text))).toBe("SEAL_MALFORMED");
  });
});

describe("metadata that S3 has mangled", () => {
  const { cases } = JSON.parse(
    readFileSync(new URL("../vectors/s3ec/13-s3-unicode-metadata.json", import.meta.url), "utf8"),
  ) as {
    cases: { name: string; as_sent: string; as_returned: string }[];
  };
  const maps = cases.filter(({ as_sent }) => as_sent.startsWith("{"));
  it("has its vectors", () => expect(maps.length).toBe(8));
  it.each(maps)("$as_returned", ({ as_sent, as_returned }) => {
    expect(Object.fromEntries(parse(as_returned))).toEqual(JSON.parse(as_sent));
  });
  it("a character split between two words is joined again", () => {
    const bytes = Buffer.from(Buffer.from('{"a":"ö"}').toString("latin1"));
    for (let cut = 1; cut < bytes.length; cut++) {
      const words = [bytes.subarray(0, cut), bytes.subarray(cut)].map(
        (part) => `=?utf-8?b?${part.toString("base64")}?=`,
      );
      expect(parse(words.join(" ")).get("a")).toBe("ö");
    }
  });
  it("text that only holds such a word keeps it", () => {
    expect(parse('{"a":"=?UTF-8?B?w4PCtg==?="}').get("a")).toBe("=?UTF-8?B?w4PCtg==?=");
  });
});
