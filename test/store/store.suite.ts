/**
 * The laws that every store keeps. A driver's test is one call of `storeSuite`; where a store cannot keep a law, the call names
 * that law and the reason, and a name that is no law fails.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ObjectStore } from "../../src/store/store.ts";
import { attributeLaws } from "./laws/attributes.ts";
import type { Law } from "./laws/law.ts";
import { listingLaws } from "./laws/listing.ts";
import { partLaws } from "./laws/parts.ts";
import { readingLaws } from "./laws/reading.ts";
import { writingLaws } from "./laws/writing.ts";

export interface StoreUnderTest {
  store: ObjectStore;
  cleanup(): Promise<void>;
}

export interface StoreSuiteOptions {
  /** Law name -> reason. */
  skip?: Record<string, string>;
  /** Size of the object that must be written in parts. */
  largeBytes?: number;
  /** Why objects cannot be written from several processes here; without it, they must be. */
  noParts?: string;
}

const LAWS: readonly Law[] = [...readingLaws, ...writingLaws, ...attributeLaws, ...listingLaws, ...partLaws];

export function storeSuite(
  name: string,
  open: () => Promise<StoreUnderTest>,
  { skip: skipped = {}, largeBytes = 70 * 1024 * 1024, noParts }: StoreSuiteOptions = {},
): void {
  const withoutParts = noParts === undefined ? [] : partLaws.map((law) => [law.name, noParts] as const);
  const skip: Record<string, string> = { ...skipped, ...Object.fromEntries(withoutParts) };
  describe(`${name} keeps the laws of stores`, () => {
    let tested: StoreUnderTest;
    beforeAll(async () => {
      tested = await open();
    });
    afterAll(async () => {
      await tested.store.close();
      await tested.cleanup();
    });

    it("skips only laws that exist, with a reason", () => {
      const names = new Set(LAWS.map((law) => law.name));
      expect(names.size).toBe(LAWS.length);
      for (const [law, reason] of Object.entries(skip)) {
        expect(names, `no such law: ${law}`).toContain(law);
        expect(reason).not.toBe("");
      }
    });

    it("says whether it takes objects from several processes", () => {
      expect(tested.store.parts === undefined).toBe(noParts !== undefined);
    });

    for (const [index, law] of LAWS.entries()) {
      it(law.name, { timeout: 120_000 }, async (context) => {
        const reason = skip[law.name];
        if (reason !== undefined) return context.skip(reason);
        await law.run({ store: tested.store, prefix: `law-${index}/`, largeBytes });
      });
    }
  });
}
