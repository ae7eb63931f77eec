/**
 * Row 7. AWS Encryption SDK messages: rewrapping one in its own header would let whoever knows the data key forge the body. This
 * version carries no such format (docs/formats.md), so nothing is ever done inside one: it is a plain body, moved or sealed whole.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { copyObject } from "../../src/transfer/copy.ts";
import { planSource } from "../../src/transfer/look.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { bytesOf, collect, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, rulesOf } from "../transfer/harness.ts";
import { NEVER } from "../transfer/wayward.ts";

let ring: KeyRing;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());

/** The beginning of a message, format version 2, suite 0x0578 (committing, signed); then bytes that are not looked at. */
const message = Buffer.concat([
  Buffer.from([0x02, 0x05, 0x78]),
  Buffer.alloc(32, 7),
  Buffer.from([0, 0, 0, 1]),
  Buffer.alloc(400, 9),
]);
const quick = { verify: true, signal: NEVER };

it("is taken for plain, and never for something to rewrap", async () => {
  const harbour = new Harbour(ring);
  const listed = await harbour.plain("m", message);
  const plan = await planSource(listed, harbour.shores(), rulesOf({ fallback: "copy" }), NEVER, undefined);
  expect(plan).toMatchObject({ action: "carry", envelope: "plain" });
});

it("is copied byte for byte, sealed whole, or refused; no key of its own is asked of any KMS", async () => {
  for (const fallback of ["copy", "seal", "refuse"] as const) {
    const harbour = new Harbour(ring);
    const listed = await harbour.plain("m", message);
    const copied = copyObject(listed, harbour.shores(), rulesOf({ fallback }), quick);
    if (fallback === "refuse") {
      expect((await errorOf(copied)).code).toBe("REFUSED_FALLBACK");
      expect(await headOf(harbour.destination, "m")).toBeUndefined();
      continue;
    }
    await copied;
    expect(harbour.sourceKms.calls).toEqual([]);
    const { head, body } = await harbour.destination.inner.open("m", { signal: NEVER });
    const { envelopes } = harbour.shores();
    const inside = await collect(await openPlaintext(head, body, envelopes, [ring.kms], NEVER));
    expect(inside.equals(message)).toBe(true);
    expect((await bytesOf(harbour.destination, "m")).equals(message)).toBe(fallback === "copy");
    expect((await bytesOf(harbour.source, "m")).equals(message)).toBe(true);
  }
});
