import { describe, expect, it } from "vitest";
import { withSection } from "./page.ts";

describe("the page of benchmarks", () => {
  const first = withSection("", "One", ["a"]);
  const both = withSection(first, "Two", ["| x |", "| --- |"]);

  it("keeps the sections of the others", () => {
    expect(first).toMatch(/^# Benchmarks\n\n.*\n\n## One\n\na\n$/s);
    expect(both).toBe(`${first}\n## Two\n\n| x |\n| --- |\n`);
    expect(withSection(both, "One", ["b"])).toBe(both.replace("## One\n\na\n", "## One\n\nb\n"));
    expect(withSection(both, "Two", ["c"])).toBe(`${first}\n## Two\n\nc\n`);
  });

  it("is the same when the same is written again, whatever stood above the first heading", () => {
    expect(withSection(both, "One", ["a"])).toBe(both);
    expect(withSection(both.replace("# Benchmarks", "# Benchmarks\n\nMachine: an old line."), "One", ["a"])).toBe(both);
  });

  it("is not misled by a heading that begins alike, or by deeper ones", () => {
    const more = withSection(both, "One and more", ["### Deeper", "d"]);
    expect(withSection(more, "One", ["e"])).toBe(more.replace("## One\n\na\n", "## One\n\ne\n"));
  });
});
