/** Whatever fails, and however often: nothing is lost from the count, and no receipt tells a lie. */
import fc from "fast-check";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { Code } from "../../src/core/error.ts";
import { type ListedObject } from "../../src/core/object.ts";
import { noCounts, sumCounts } from "../../src/core/plan.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { copyPage, type PageLimits } from "../../src/transfer/page.ts";
import type { Rules } from "../../src/transfer/shores.ts";
import { bytesOf, Harbour, headOf, inFlight, type KeyRing, makeKeyRing, rulesOf } from "./harness.ts";
import { failing } from "./wayward.ts";

let ring: KeyRing;
let harbour: Harbour;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
});

const copy = (objects: readonly ListedObject[], change: Partial<Rules> = {}, limits: Partial<PageLimits> = {}) => {
  const range = { after: undefined, until: objects.at(-1)?.key };
  return copyPage(objects, range, harbour.shores(), rulesOf(change), { ...inFlight(), ...limits });
};

/** One thing that goes wrong at one step, some number of times. */
const fault = fc.record({
  step: fc.constantFrom("head", "open", "put", "answer", "body", "unwrap", "wrap"),
  code: fc.constantFrom<Code[]>("NET_UNREACHABLE", "THROTTLED", "PROVIDER_ERROR", "ACCESS_DENIED", "STORE_CHECKSUM"),
  every: fc.integer({ min: 2, max: 5 }),
});

it("whatever fails, the receipts sum to the page, and each is true of the destination", async () => {
  const kinds = fc.array(fc.constantFrom("v2", "v3", "plain", "standing", "broken", "gone"), {
    minLength: 1,
    maxLength: 8,
  });
  await fc.assert(
    fc.asyncProperty(kinds, fc.array(fault, { maxLength: 3 }), fc.boolean(), async (page, faults, verify) => {
      harbour = new Harbour(ring);
      const objects = await Promise.all(page.map((kind, i) => make(kind, `k${i}`)));
      const wayward = harbour.destination;
      arm(faults);
      const receipts = await copy(objects, { verify: verify ? "full" : "none", attempts: 2, delayMs: 0 });
      const counts = noCounts();
      for (const { outcome } of receipts) counts[outcome]++;
      expect(sumCounts(counts)).toBe(objects.length);
      expect(harbour.leaked()).toBe(0);
      for (const [i, receipt] of receipts.entries()) {
        const key = objects[i]?.key ?? "";
        const head = await headOf(wayward, key);
        expect(receipt.key).toBe(key);
        if (page[i] === "standing") expect(await bytesOf(wayward, key)).toEqual(Buffer.from("precious"));
        if (["rewrapped", "resealed", "carried"].includes(receipt.outcome)) {
          expect([head?.sizeBytes, head?.crc32c]).toEqual([receipt.bytes, receipt.crc32c]);
          expect(head?.attributes.metadata.get("sealift-src-etag")).toBe(objects[i]?.etag);
        }
        if (receipt.outcome === "rewrapped") {
          expect((await bytesOf(wayward, key)).equals(await bytesOf(harbour.source, key))).toBe(true);
        }
        if (receipt.outcome === "already") expect(head).toBeDefined();
        if (["refused", "conflict"].includes(receipt.outcome)) expect(["standing", "broken"]).toContain(page[i]);
      }
    }),
    { numRuns: 150 },
  );
});

async function make(kind: string, key: string): Promise<ListedObject> {
  if (kind === "plain") return harbour.plain(key, randomBytes(40));
  if (kind === "broken")
    return harbour.raw(harbour.source, key, Buffer.from("x"), { metadata: new Map([["x-amz-3", "?"]]) });
  const listed = await harbour.sealed(key, randomBytes(40), kind === "v2" ? s3ecV2 : s3ecV3);
  if (kind === "standing") await harbour.raw(harbour.destination, key, Buffer.from("precious"));
  if (kind === "gone") await harbour.source.inner.remove(key, inFlight().signal);
  return listed;
}

function arm(faults: readonly { step: string; code: Code; every: number }[]): void {
  const at = (step: string) => {
    const mine = faults.filter((one) => one.step === step).map((one) => ({ ...one, calls: 0 }));
    return () => {
      for (const one of mine) if (++one.calls % one.every === 0) throw failing(one.code);
    };
  };
  const [head, open, put, answer, body] = ["head", "open", "put", "answer", "body"].map(at);
  harbour.destination.beforeHead = () => head?.();
  harbour.source.beforeOpen = () => open?.();
  harbour.destination.beforePut = () => put?.();
  harbour.destination.afterPut = () => answer?.();
  harbour.source.changeBody = async function* (bytes) {
    yield* bytes;
    body?.();
  };
  const [unwrap, wrap] = ["unwrap", "wrap"].map(at);
  harbour.sourceKms.before = () => unwrap?.();
  harbour.destinationKms.before = (call) => (call === "wrap" ? wrap : unwrap)?.();
}
