import { describe, expect, test } from "vitest";
import { compileFilter, durationMs, sizeBytes } from "../../src/core/filter.ts";
import type { FilterSpec } from "../../src/core/job.ts";
import type { ListedObject } from "../../src/core/object.ts";

const NOW = Date.parse("2026-06-01T12:00:00Z");
const HOUR = 3_600_000;

const object = (changes: Partial<ListedObject> = {}): ListedObject => ({
  key: "in/2026/report.pdf",
  sizeBytes: 5000,
  etag: "e",
  lastModifiedMs: NOW - 10 * HOUR,
  ...changes,
});

const keeps = (spec: FilterSpec, changes: Partial<ListedObject> = {}, prefix = "") =>
  compileFilter(spec, prefix)(object(changes), NOW);

describe("filter", () => {
  test("without options keeps everything", () => {
    expect(keeps({})).toBe(true);
    expect(keeps({ include: [], exclude: [] })).toBe(true);
  });

  // Each option alone keeps one object and drops another, so none can be forgotten unseen.
  test.each<[string, FilterSpec, Partial<ListedObject>, Partial<ListedObject>]>([
    ["include", { include: ["*.doc", "*.pdf"] }, {}, { key: "in/a.txt" }],
    ["exclude", { exclude: ["*.tmp", "/in/old/"] }, {}, { key: "in/old/a.pdf" }],
    ["minSize", { minSize: "4K" }, { sizeBytes: 4096 }, { sizeBytes: 4095 }],
    ["maxSize", { maxSize: 4096 }, { sizeBytes: 4096 }, { sizeBytes: 4097 }],
    ["minAge", { minAge: "2h" }, { lastModifiedMs: NOW - 2 * HOUR }, { lastModifiedMs: NOW - 2 * HOUR + 1 }],
    ["maxAge", { maxAge: "2h" }, { lastModifiedMs: NOW - 2 * HOUR }, { lastModifiedMs: NOW - 2 * HOUR - 1 }],
    ["minAge as a date", { minAge: "2026-01-31" }, { lastModifiedMs: Date.parse("2026-01-31") }, {}],
    [
      "maxAge as a date",
      { maxAge: "2026-05-01T08:00:00+02:00" },
      {},
      { lastModifiedMs: Date.parse("2026-05-01T05:59:59Z") },
    ],
  ])("%s matters", (_name, spec, kept, dropped) => {
    expect(keeps(spec, kept)).toBe(true);
    expect(keeps(spec, dropped)).toBe(false);
  });

  test("exclude wins over include", () => {
    expect(keeps({ include: ["*.pdf"], exclude: ["report.*"] })).toBe(false);
  });

  test("patterns see the key without the source's prefix", () => {
    expect(keeps({ include: ["/2026/**"] }, {}, "in/")).toBe(true);
    expect(keeps({ include: ["/2026/**"] })).toBe(false);
  });

  test("ages are measured from the instant given, not from the clock", () => {
    const filter = compileFilter({ maxAge: "1d" }, "");
    const old = object({ lastModifiedMs: 1000 });
    expect([filter(old, 2000), filter(old, 86_400_000 * 2)]).toEqual([true, false]);
  });

  test.each<[FilterSpec]>([
    [{ minSize: "10 M" }],
    [{ minSize: "-1" }],
    [{ maxSize: "many" }],
    [{ minAge: "90" }],
    [{ minAge: "1h 30m" }],
    [{ maxAge: "2026-02-30" }],
    [{ maxAge: "2026-01-01 08:00" }],
    [{ minSize: "2M", maxSize: "1M" }],
    [{ include: ["a[b"] }],
  ])("%j is refused", (spec) => {
    expect(() => compileFilter(spec, "")).toThrow(expect.objectContaining({ code: "JOB_INVALID" }) as Error);
  });

  test("sizes are binary", () => {
    const sizes = ["0", "12", "12B", "1K", "1k", "1KiB", "1KB", "1.5M", "2G", "1T", 7];
    expect(sizes.map(sizeBytes)).toEqual([0, 12, 12, 1024, 1024, 1024, 1024, 1.5 * 2 ** 20, 2 ** 31, 2 ** 40, 7]);
  });

  test("durations add up", () => {
    expect(["1h30m", "90s", "7d", "1w", "500ms", "1.5h"].map(durationMs)).toEqual([
      5_400_000, 90_000, 604_800_000, 604_800_000, 500, 5_400_000,
    ]);
  });
});
