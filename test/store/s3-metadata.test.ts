/** Metadata as text in headers: through our own reader and writer, and through what S3 is known to make of it. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { decodeWords, encodeWords } from "../../src/pocket/s3/rfc2047.ts";
import { headerOf, textOf } from "../../src/store/s3/metadata.ts";

interface Sample {
  readonly name: string;
  readonly as_sent: string;
  readonly as_returned: string;
}
const vectors = JSON.parse(
  readFileSync(new URL("../vectors/s3ec/13-s3-unicode-metadata.json", import.meta.url), "utf8"),
) as { cases: Sample[] };

const written = (text: string): string | undefined => {
  try {
    return headerOf(text);
  } catch (error) {
    expect(asSealiftError(error).code).toBe("METADATA_UNFIT");
    return undefined;
  }
};

/** A server that keeps headers as they come, and one that decodes words, keeps text and encodes it again. */
const verbatim = (header: string): string => header;
const decoding = (header: string): string => encodeWords(decodeWords(header));

describe("metadata that S3 encoded twice", () => {
  it("has vectors", () => expect(vectors.cases.length).toBeGreaterThan(5));
  it.each(vectors.cases)("$name: $as_sent", ({ as_sent, as_returned }) => expect(textOf(as_returned)).toBe(as_sent));

  it("and raw UTF-8, as servers return it that take bytes for bytes", () => {
    expect(textOf(Buffer.from("Grüße 你好").toString("latin1"))).toBe("Grüße 你好");
  });
});

describe("metadata values", () => {
  const text = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 80 }),
    fc.string({ unit: "binary", maxLength: 40 }),
    fc
      .array(
        fc.constantFrom(
          "=?UTF-8?Q?no?=",
          "=?UTF-8?B?bm8=?=",
          "=?x",
          "?=",
          " ",
          "ü",
          "Ã¼",
          "a",
          "=?utf-8?q?=C3=BC?=",
          "\u00e9",
          "_",
          "😀",
        ),
        { maxLength: 6 },
      )
      .map((parts) => parts.join("")),
  );

  it("come back from every kind of server, or are refused before they are sent", () => {
    fc.assert(
      fc.property(text, fc.constantFrom(verbatim, decoding), (value, server) => {
        const header = written(value);
        if (header === undefined) return;
        expect(header).toMatch(/^([!-~]([ -~]*[!-~])?)?$/);
        expect(textOf(server(header))).toBe(value);
      }),
      { numRuns: 3000 },
    );
  });

  it("of visible ASCII are sent as they are", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/), (value) => {
        fc.pre(!value.includes("=?"));
        expect(headerOf(value)).toBe(value);
        expect(textOf(value)).toBe(value);
      }),
    );
  });

  it("are split into words of at most 75 characters", () => {
    const words = headerOf("你好😀".repeat(60)).split(" ");
    expect(words.length).toBeGreaterThan(5);
    for (const word of words) expect(word.length).toBeLessThanOrEqual(75);
  });

  it.each([
    ["a line break", "a\nb"],
    ["a carriage return", "a\r\nx-amz-meta-injected: 1"],
    ["NUL", "a\0"],
    ["a tab", "a\tb"],
    ["a space before", " a"],
    ["a space behind", "a "],
    ["half a character", "\ud800"],
    ["what reading would take for doubled text", "Ã¼"],
    ["words within words", `=?UTF-8?B?${Buffer.from("=?UTF-8?Q?no?=").toString("base64")}?=`],
    ["an encoded word that reading would decode", "=?UTF-8?Q?=C3=BC?="],
  ])("with %s are refused", (_, value) => expect(written(value)).toBeUndefined());

  it("with words nobody can decode are kept as they are", () => {
    for (const header of ["=?KOI8-R?B?8PLJ18XU?=", "=?UTF-8?B?/w==?=", "=?UTF-8?X?a?=", "=?UTF-8?Q?no?="]) {
      expect(textOf(header)).toBe(header);
    }
  });
});
