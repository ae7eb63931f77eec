/** The table of codes, the manual and the program speak of the same errors. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { errorTable } from "../src/cli/help.ts";
import { CODES } from "../src/core/error.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && name !== "core/error.ts")
  .map((name) => readFileSync(join(root, "src", name), "utf8"));

const cells = (row: string): string[] => row.split("|").map((cell) => cell.trim());

describe("error codes", () => {
  // To renew the table: `sealift schema errors`.
  test("README prints the table of codes, every row and no other", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const [, table] = /<!-- errors:begin -->([\s\S]*?)<!-- errors:end -->/.exec(readme) ?? [];
    expect(table, "README.md has no table between <!-- errors:begin --> and <!-- errors:end -->").toBeDefined();
    const rows = (text: string) =>
      text
        .split("\n")
        .filter((line) => line.startsWith("| `"))
        .map(cells);
    expect(rows(table ?? "")).toEqual(rows(errorTable()));
    expect(rows(errorTable())).toHaveLength(Object.keys(CODES).length);
  });

  test("every code is raised or handled somewhere", () => {
    expect(sources.length).toBeGreaterThan(50);
    const unused = Object.keys(CODES).filter(
      (code) => !sources.some((text) => new RegExp(`["'\`]${code}["'\`]|\\b${code}:`).test(text)),
    );
    expect(unused).toEqual([]);
  });

  test("every row says what happened and what to do, in clauses without an end mark", () => {
    for (const [code, { means, next, exit, retry }] of Object.entries(CODES)) {
      expect([code, means, next]).toEqual([
        code,
        expect.stringMatching(/^\S.*[^.\s]$/),
        expect.stringMatching(/^\S.*[^.\s]$/),
      ]);
      // A temporary state never ends as a success or as a usage error.
      if (retry !== "never") expect([code, exit]).toEqual([code, expect.toBeOneOf([3, 5, 6, 7])]);
    }
  });
});
