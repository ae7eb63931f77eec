/** The middle of ranges of every shape of key: a valid key with keys on both sides, found in a bounded number of questions. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareKeys, inRange, type KeyRange } from "../../src/core/object.ts";
import { middleOf } from "../../src/pipeline/bisect.ts";
import { SHAPES } from "./shapes.ts";

interface Found {
  readonly at: string | undefined;
  readonly questions: number;
  readonly before: number;
  readonly behind: number;
}

async function middleIn(keys: readonly string[], range: KeyRange = {}): Promise<Found> {
  let questions = 0;
  const first = async (asked: KeyRange) => {
    questions++;
    return keys.find((key) => inRange(key, asked));
  };
  const at = await middleOf(range, first);
  const inside = keys.filter((key) => inRange(key, range));
  const before = at === undefined ? 0 : inside.filter((key) => compareKeys(key, at) <= 0).length;
  return { at, questions, before, behind: inside.length - before };
}

describe("the middle of a range", () => {
  for (const [shape, keysOf] of Object.entries(SHAPES)) {
    it(`has keys on both sides: ${shape}`, async () => {
      const keys = keysOf(400).sort(compareKeys);
      const { at, before, behind, questions } = await middleIn(keys);
      expect(at).toBeDefined();
      expect(before).toBeGreaterThan(0);
      expect(behind).toBeGreaterThan(0);
      expect(questions).toBeLessThanOrEqual(40);
    });

    it(`stays inside of a range that was cut out of it: ${shape}`, async () => {
      const keys = keysOf(200).sort(compareKeys);
      await fc.assert(
        fc.asyncProperty(fc.nat(199), fc.nat(199), async (a, b) => {
          const range = { after: keys[Math.min(a, b)] as string, until: keys[Math.max(a, b)] as string };
          const { at, before, behind } = await middleIn(keys, range);
          if (at === undefined) return;
          expect(before).toBeGreaterThan(0);
          expect(behind).toBeGreaterThan(0);
          expect(inRange(at, range)).toBe(true);
        }),
        { numRuns: 60 },
      );
    });
  }

  it("halves what is evenly spread", async () => {
    const keys = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));
    const { before, behind } = await middleIn(keys);
    expect(Math.min(before, behind)).toBeGreaterThan(60);
  });

  it("is nowhere where there are fewer than two keys, or none behind the first", async () => {
    expect((await middleIn([])).at).toBeUndefined();
    expect((await middleIn(["a"])).at).toBeUndefined();
    expect((await middleIn(["a", "b"], { after: "a" })).at).toBeUndefined();
    expect((await middleIn(["a", "b"], { until: "a" })).at).toBeUndefined();
  });

  it("is not found where each key is the beginning of the next: at most a thousand of those fit into a name", async () => {
    expect((await middleIn(["a", "aa", "aaa", "aaaa"])).at).toBeUndefined();
  });

  it("is found where the last of all characters stands before the place", async () => {
    for (const keys of [
      ["\u0000\u{10ffff}\u0000\u0000", "\u0001", " "],
      ["\u{10ffff}a", "\u{10ffff}c"],
      ["a\u{10ffff}\u{10ffff}b", "b"],
    ]) {
      const { before, behind } = await middleIn(keys);
      expect([keys, before > 0, behind > 0]).toEqual([keys, true, true]);
    }
  });

  it("any keys at all: both sides have some, or there is no middle", async () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", minLength: 1, maxLength: 6 }),
      fc.string({ minLength: 1, maxLength: 6 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(text, { minLength: 2, maxLength: 30 }), async (names) => {
        const keys = names.toSorted(compareKeys);
        const { at, before, behind, questions } = await middleIn(keys);
        expect(questions).toBeLessThanOrEqual(60);
        if (at === undefined) return;
        expect(Buffer.from(at).toString()).toBe(at);
        expect(before).toBeGreaterThan(0);
        expect(behind).toBeGreaterThan(0);
      }),
      { numRuns: 400 },
    );
  });
});
