/** The table of docs/guarantees.md says which test stands for which class of losses: here it is held to the tests that there are. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const CLASSES = 22;
const root = new URL("..", import.meta.url);
const rows = readFileSync(new URL("docs/guarantees.md", root), "utf8")
  .split("\n")
  .flatMap((line) => {
    const [, number, , , test, without] =
      /^\| (\d+)\. ([^|]*) \| ([^|]*) \| `([^|`]*)` \| ([^|]*) \|$/.exec(line) ?? [];
    return number === undefined
      ? []
      : [{ number: Number(number), test: test ?? "", without: without?.split(" · ") ?? [] }];
  });
const folder = new URL("test/losses/", root);
const files = readdirSync(folder).filter((name) => /^\d\d-.*\.test\.ts$/.test(name));

describe("the table of losses", () => {
  it("has a row for each class, and each row a test of its number", () => {
    expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: CLASSES }, (_, index) => index + 1));
    expect(rows.map(({ test }) => `${test}.test.ts`)).toEqual(files.sort());
    for (const { number, test } of rows) expect(test).toMatch(new RegExp(`^${String(number).padStart(2, "0")}-`));
  });

  it.each(rows)("class $number: names every control that there is, and no other", ({ number, test, without }) => {
    const text = readFileSync(new URL(`${test}.test.ts`, folder), "utf8");
    expect(text).toMatch(new RegExp(`class ${number}:|lossClass\\(${number}, `));
    const controls = [...text.matchAll(/without:\s*"((?:[^"\\]|\\.)*)"/g)].map(([, name]) => name as string);
    const named = controls.length > 0 ? controls : [/"control: ([^,"]*), without/.exec(text)?.[1] ?? ""];
    expect(new Set(without)).toEqual(new Set(named));
    expect(without.length).toBe(new Set(without).size);
  });
});
