import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileGlob } from "../../src/core/glob.ts";

const matches = (pattern: string, key: string) => compileGlob(pattern)(key);

describe("patterns over keys", () => {
  test.each([
    // pattern, matching keys, other keys
    ["*.pdf", ["a.pdf", "x/y/a.pdf", ".pdf"], ["a.pdf.gz", "a.pdf/b", "pdf"]],
    ["/*.pdf", ["a.pdf"], ["x/a.pdf"]],
    ["/2026/**", ["2026/a", "2026/a/b/c", "2026/"], ["2026", "x/2026/a", "20260/a"]],
    ["tmp/", ["tmp/a", "x/tmp/a/b"], ["tmp", "xtmp/a"]],
    ["a?c", ["abc", "x/a c"], ["ac", "a/c", "abbc"]],
    ["/a/*/c", ["a/b/c", "a//c"], ["a/c", "a/b/b/c"]],
    ["/a/**/c", ["a/b/c", "a/b/b/c", "a//c"], ["a/c", "b/a/b/c"]],
    ["\\*.txt", ["*.txt"], ["a.txt"]],
    ["\\[1\\]", ["[1]"], ["1"]],
    ["**", ["", "a", "a/b/"], []],
    ["a**b", ["ab", "a/x/b", "z/axb"], ["za/xb/c"]],
    ["?", ["\u{1F600}", "é"], ["ab"]],
  ])("%s", (pattern, kept, others) => {
    for (const key of kept) expect([pattern, key, matches(pattern, key)]).toEqual([pattern, key, true]);
    for (const key of others) expect([pattern, key, matches(pattern, key)]).toEqual([pattern, key, false]);
  });

  test.each([
    ["", "empty"],
    ["/", "empty"],
    ["a[b]", "\\["],
    ["{a,b}", "\\{"],
    ["a\\", "backslash"],
    ["***", "stars"],
  ])("%j is refused, not read literally", (pattern, why) => {
    expect(() => compileGlob(pattern)).toThrow(expect.objectContaining({ code: "JOB_INVALID" }) as Error);
    expect(() => compileGlob(pattern)).toThrow(new RegExp(why));
  });

  test("agrees with the regular expression it stands for", () => {
    const piece = fc.constantFrom("*", "**", "?", "a", "b", "/");
    const pattern = fc.array(piece, { minLength: 1, maxLength: 8 }).map((pieces) => pieces.join(""));
    const key = fc.array(fc.constantFrom("a", "b", "/"), { maxLength: 10 }).map((letters) => letters.join(""));
    const seen = { yes: 0, no: 0 };
    fc.assert(
      fc.property(
        pattern.filter((text) => !text.includes("***") && text !== "/"),
        key,
        (text, name) => {
          const expected = asRegExp(text).test(name);
          seen[expected ? "yes" : "no"]++;
          expect(matches(text, name)).toBe(expected);
        },
      ),
      { numRuns: 3000 },
    );
    expect(Math.min(seen.yes, seen.no)).toBeGreaterThan(100);
  });

  test("a pattern that would make a regular expression exponential is answered", () => {
    expect(matches(`${"**a".repeat(300)}b`, "a".repeat(1024))).toBe(false);
  });
});

function asRegExp(pattern: string): RegExp {
  const anchored = pattern.startsWith("/");
  let body = anchored ? pattern.slice(1) : pattern;
  if (body.endsWith("/")) body += "**";
  const source = body.replaceAll(/\*\*|\*|\?/g, (wild) => ({ "**": ".*", "*": "[^/]*", "?": "[^/]" })[wild] as string);
  return new RegExp(`${anchored ? "^" : "(^|/)"}${source}$`, "su");
}
