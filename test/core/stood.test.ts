import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ALL_ADVISORIES } from "../../src/core/advisory.ts";
import { factsOf, NOTHING_STOOD, STOOD_CHARACTERS, stillStands, stoodAs } from "../../src/core/stood.ts";

const NOW = 1_780_000_000_123;
const head = { etag: "9bb58f26192e4ba00f01e2e7b136bbd8", sizeBytes: 16_384, lastModifiedMs: NOW };
const facts = { sealed: true, advisories: [] };

describe("how an object stood", () => {
  it("keeps what is known of it, in characters of one number", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.subarray(ALL_ADVISORIES), fc.nat(4e12), (sealed, advisories, lastModifiedMs) => {
        const stood = stoodAs({ ...head, lastModifiedMs }, { sealed, advisories });
        expect(stood).toHaveLength(STOOD_CHARACTERS);
        expect(factsOf(stood)).toEqual({ sealed, advisories });
        expect(stillStands({ ...head, lastModifiedMs }, stood)).toBe(true);
      }),
    );
  });

  it("is not what stands after any later write: other bytes, another size, or another time alone", () => {
    const stood = stoodAs(head, facts);
    const second = Math.floor(NOW / 1000) * 1000;
    expect(stillStands({ ...head, etag: "0bb58f26192e4ba00f01e2e7b136bbd8" }, stood)).toBe(false);
    expect(stillStands({ ...head, sizeBytes: 16_385 }, stood)).toBe(false);
    expect(stillStands({ ...head, lastModifiedMs: second + 1000 }, stood)).toBe(false);
    // The Date of an answer is rounded down; the listing of some servers is not.
    expect(
      stillStands({ ...head, lastModifiedMs: second + 999 }, stoodAs({ ...head, lastModifiedMs: second }, facts)),
    ).toBe(true);
    // What a multipart upload began is dated by its beginning.
    expect(stillStands({ ...head, lastModifiedMs: NOW - 60_000 }, stood)).toBe(true);
  });

  it("says nothing where nothing is known, or where the text is not one of ours", () => {
    for (const text of ["", NOTHING_STOOD, stoodAs(head, facts).slice(1), `${stoodAs(head, facts)}0`]) {
      expect([factsOf(text), stillStands(head, text)]).toEqual([undefined, false]);
    }
    expect(stoodAs({ ...head, lastModifiedMs: 8.64e15 }, facts)).toBe(NOTHING_STOOD);
  });
});
