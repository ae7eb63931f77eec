/** How huge objects are divided, up to 5 TiB, without one byte of them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PartLimits } from "../../src/store/store.ts";
import { holdingOf, wholeCrc32c } from "../../src/transfer/holding.ts";
import {
  extentOf,
  groupCount,
  groupOf,
  type PartPlan,
  partCount,
  partsIn,
  planParts,
} from "../../src/transfer/partplan.ts";

const MIB = 1024 ** 2;
const TIB = 1024 ** 4;
const S3: PartLimits = { partBytesMin: 5 * MIB, partBytesMax: 5 * 1024 * MIB, partsMax: 10_000 };
const GCS: PartLimits = { partBytesMin: 1, partBytesMax: 1024 * MIB, partsMax: 32 ** 3 };
const planned = (sizeBytes: number, limits = S3): PartPlan => {
  const plan = planParts(sizeBytes, limits);
  if (!plan) throw new Error("it was to be divided");
  return plan;
};

describe("an object's parts", () => {
  it("follow on each other and cover it, within the store's limits, whatever its size", () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 5 * TIB }), fc.integer({ min: 1, max: 64 * MIB }));
    fc.assert(
      fc.property(size, fc.constantFrom(S3, GCS), (sizeBytes, limits) => {
        const plan = planned(sizeBytes, limits);
        const count = partCount(plan);
        expect(count).toBeLessThanOrEqual(limits.partsMax);
        expect(plan.partBytes).toBeGreaterThanOrEqual(limits.partBytesMin);
        expect(plan.partBytes).toBeLessThanOrEqual(limits.partBytesMax);
        const probes = [1, 2, Math.ceil(count / 2), count - 1, count].filter((n) => n >= 1 && n <= count);
        for (const number of probes) {
          const { start, end } = extentOf(plan, number);
          expect(start).toBe(number === 1 ? 0 : extentOf(plan, number - 1).end);
          expect(end - start).toBe(number === count ? sizeBytes - start : plan.partBytes);
          expect(Number.isSafeInteger(start) && Number.isSafeInteger(end)).toBe(true);
        }
        expect(extentOf(plan, count).end).toBe(sizeBytes);
        expect(() => extentOf(plan, count + 1)).toThrow(/no part/);
        expect(() => extentOf(plan, 0)).toThrow(/no part/);
      }),
      { numRuns: 2000 },
    );
  });

  it("are each in one group", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 * TIB }), fc.constantFrom(S3, GCS), (sizeBytes, limits) => {
        const plan = planned(sizeBytes, limits);
        let next = 1;
        for (let group = 0; group < groupCount(plan); group++) {
          const numbers = partsIn(plan, group);
          if (numbers.length === 0) return false;
          for (const number of numbers) if (number !== next++ || groupOf(plan, number) !== group) return false;
        }
        return next === partCount(plan) + 1 && partsIn(plan, groupCount(plan)).length === 0;
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ["512 MiB to S3", 512 * MIB, S3, { partBytes: 16 * MIB, groupParts: 4 }, 32],
    ["160 GiB to S3", 160_000 * MIB, S3, { partBytes: 16 * MIB, groupParts: 16 }, 10_000],
    ["one byte more", 160_000 * MIB + 1, S3, { partBytes: 16.25 * MIB, groupParts: 16 }, 9847],
    ["5 TiB to S3", 5 * TIB, S3, { partBytes: 524.5 * MIB, groupParts: 1 }, 9996],
    ["5 TiB to GCS", 5 * TIB, GCS, { partBytes: 160 * MIB, groupParts: 6 }, 32_768],
    ["24 MiB, where that is called huge", 24 * MIB, GCS, { partBytes: 768 * 1024, groupParts: 4 }, 32],
    ["12 MiB to S3", 12 * MIB, S3, { partBytes: 5 * MIB, groupParts: 1 }, 3],
    ["one byte", 1, S3, { partBytes: 5 * MIB, groupParts: 1 }, 1],
  ])("of %s", (_, sizeBytes, limits, wanted, parts) => {
    const plan = planned(sizeBytes, limits);
    expect(plan).toEqual({ sizeBytes, ...wanted });
    expect(partCount(plan)).toBe(parts);
  });

  it("are none of what cannot be divided", () => {
    expect(planParts(0, S3)).toBeUndefined();
    expect(planParts(5 * TIB, { ...S3, partBytesMax: 500 * MIB })).toBeUndefined();
    expect(planParts(3, { partBytesMin: 1, partBytesMax: 1, partsMax: 2 })).toBeUndefined();
  });
});

describe("what is held of an object of 5 TiB", () => {
  const plan = planned(5 * TIB);
  const count = partCount(plan);
  const sizeOf = (number: number) => extentOf(plan, number).end - extentOf(plan, number).start;
  const part = (number: number, crc32c: number | undefined = number) => ({
    first: number,
    last: number,
    sizeBytes: sizeOf(number),
    crc32c,
    tag: `t${number}`,
  });
  const all = Array.from({ length: count }, (_, i) => part(i + 1));

  it("is whole when all of it is there, and its CRC32C does not depend on what was joined", () => {
    const whole = holdingOf(plan, all, new Map());
    expect(whole.missing).toEqual([]);
    const half = holdingOf(plan, all.slice(0, 5000), new Map());
    const joined = { first: 1, last: 5000, sizeBytes: 5000 * plan.partBytes, crc32c: wholeCrc32c(half), tag: "j" };
    const rest = holdingOf(plan, [joined, ...all.slice(5000)], new Map());
    expect(rest.missing).toEqual([]);
    expect(wholeCrc32c(rest)).toBe(wholeCrc32c(whole));
  });

  it("lacks what is not there, short, unvouched for, beyond the end or said twice", () => {
    const damaged = [
      ...all.slice(0, 2),
      { ...part(3), sizeBytes: plan.partBytes - 1 },
      { ...part(4), crc32c: undefined },
      { ...part(5), crc32c: undefined },
      ...all.slice(5, 10),
      part(10, 77),
      { first: count + 1, last: count + 1, sizeBytes: 1, crc32c: 1, tag: "x" },
    ];
    const witnesses = new Map([
      [4, [{ tag: "t4", crc32c: 44 }]],
      [5, [{ tag: "older", crc32c: 55 }]],
    ]);
    const { parts, missing } = holdingOf(plan, damaged, witnesses);
    expect(missing.slice(0, 3)).toEqual([3, 5, 11]);
    expect(missing).toHaveLength(count - 8);
    expect(parts.find(({ first }) => first === 4)?.crc32c).toBe(44);
    expect(parts.filter(({ first }) => first === 10).map(({ crc32c }) => crc32c)).toEqual([10]);
  });
});
