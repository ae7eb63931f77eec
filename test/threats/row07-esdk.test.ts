/**
 * Row 7. AWS Encryption SDK messages: rewrapping a committing one in its own header makes a second tag under one key and IV, from which
 * whoever sees both headers can forge the body. So the message stays as it is, byte for byte, and its data key stands beside it.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ListedObject } from "../../src/core/object.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { esdk } from "../../src/envelope/esdk/esdk.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { planSource } from "../../src/transfer/look.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import {
  bytesOf,
  collect,
  errorOf,
  Harbour,
  headOf,
  type KeyRing,
  makeKeyRing,
  NEW,
  OLD,
  once,
  OTHER,
  rulesOf,
} from "../transfer/harness.ts";
import { NEVER } from "../transfer/wayward.ts";

let ring: KeyRing;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());

const TEXT = Buffer.from("what only its writer and its reader should see");
const quick = { verify: true, signal: NEVER };

async function message(): Promise<Buffer> {
  const { seal, dataKey } = esdk.fresh(new Map([["tenant", "42"]]), OLD);
  const whole = withWrapped(seal, await ring.kms.wrap(OLD, dataKey, seal.context, NEVER, seal.form));
  const start = esdk.start?.(whole, dataKey) ?? Buffer.alloc(0);
  return Buffer.concat([start, await collect(esdk.seal(once(TEXT), whole, dataKey))]);
}

it("no byte of it is changed by a rewrap, so that nobody ever holds two tags under one key and IV", async () => {
  const harbour = new Harbour(ring);
  const bytes = await message();
  const listed = await harbour.plain("m", bytes);
  const plan = await planSource(listed, harbour.shores(), rulesOf(), NEVER, undefined);
  expect(plan).toMatchObject({ action: "rewrap", envelope: "esdk", wrappedBy: OLD });
  expect(await copyObject(listed, harbour.shores(), rulesOf(), quick)).toMatchObject({
    outcome: "rewrapped",
    verified: true,
  });
  expect((await bytesOf(harbour.destination, "m")).equals(bytes)).toBe(true);
  const { head, body } = await harbour.destination.inner.open("m", { signal: NEVER });
  const inside = await collect(await openPlaintext(head, body, harbour.shores().envelopes, [ring.kms], NEVER));
  expect(inside.equals(TEXT)).toBe(true);
});

it("a header that the data key did not sign opens nothing and moves nothing", async () => {
  const bytes = await message();
  // The frame length, which no wrapped key binds: a reader would be led to other frames.
  const at = esdkFrameAt(bytes);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  const harbour = new Harbour(ring);
  const listed = await harbour.plain("m", bytes);
  expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("SEAL_FORGED");
  expect(await headOf(harbour.destination, "m")).toBeUndefined();
});

/** The frame length stands before commitment and tag: its last byte. */
const esdkFrameAt = (bytes: Buffer): number => bytes.indexOf(Buffer.from([2, 0, 0, 0x10, 0])) + 3;

it("one message's wrapped key beside another message is refused, and opens nothing", async () => {
  const harbour = new Harbour(ring);
  const [first, second] = [await message(), await message()];
  await copyObject(await harbour.plain("a", first), harbour.shores(), rulesOf(), quick);
  await copyObject(await harbour.plain("b", second), harbour.shores(), rulesOf(), quick);
  const stolen = (await headOf(harbour.destination, "a"))?.attributes.metadata ?? new Map<string, string>();
  const own = (await headOf(harbour.destination, "b"))?.attributes.metadata ?? new Map<string, string>();
  const next = new Harbour(ring);
  const rules = rulesOf({ wrapWith: OTHER, allow: [NEW] });
  const misplaced = await next.raw(next.source, "b", second, { metadata: stolen });
  expect((await errorOf(copyObject(misplaced, next.shores(), rules, quick))).code).toBe("SEAL_MALFORMED");
  // Renamed to fit, it is bound to the other message.
  const renamed = new Map([...stolen, ["sealift-esdk-message", own.get("sealift-esdk-message") ?? ""]]);
  const fitted = await next.raw(next.source, "b", second, { metadata: renamed });
  expect((await errorOf(copyObject(fitted, next.shores(), rules, quick))).code).toBe("KMS_CANNOT_OPEN");
});

it("is never sealed a second time, nor taken for plain where it is broken", async () => {
  for (const fallback of ["copy", "seal", "refuse"] as const) {
    const harbour = new Harbour(ring);
    const cut = (await message()).subarray(0, 60);
    const listed: ListedObject = await harbour.plain("m", cut);
    const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf({ fallback }), quick));
    expect(error.code).toBe("SEAL_MALFORMED");
    expect(harbour.sourceKms.calls).toEqual([]);
    expect(await headOf(harbour.destination, "m")).toBeUndefined();
  }
});
