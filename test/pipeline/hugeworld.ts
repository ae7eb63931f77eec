/** Huge objects for the pipeline's world, and what must be true of them in the end, whatever happened on the way. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect } from "vitest";
import { crc32c } from "../../src/core/crc32c.ts";
import { keyUri } from "../../src/core/key.ts";
import { sumCounts } from "../../src/core/plan.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { signal, type World } from "./world.ts";

const OLD = keyUri("local://old");

export interface Huge {
  readonly key: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly crc32c: number;
}

/** Sealed by a client, so that it is rewrapped and its body carried as it is. */
export async function addHuge(world: World, key: string, textBytes: number): Promise<Huge> {
  const kms = openLocalKms({ directory: join(world.directory, "keys") });
  const { seal, dataKey } = s3ecV3.fresh(new Map([["tenant", "a"]]), OLD);
  const whole = withWrapped(seal, await kms.wrap(OLD, dataKey, seal.context, signal));
  const chunks: Uint8Array[] = [];
  for await (const chunk of s3ecV3.seal(text(textBytes), whole, dataKey)) chunks.push(chunk);
  dataKey.wipe();
  const body = Buffer.concat(chunks);
  const metadata = new Map([["owner", "test"], ...s3ecV3.write(whole).metadata]);
  const put = { sizeBytes: body.length, attributes: { metadata }, condition: "any" as const, signal };
  await world.source.put(key, once(body), put);
  return { key, sizeBytes: body.length, sha256: sha256(body), crc32c: crc32c(body) };
}

async function* text(sizeBytes: number): AsyncGenerator<Uint8Array> {
  const line = Buffer.alloc(64 * 1024, "a line of somebody's text, neither secret nor short. ");
  for (let at = 0; at < sizeBytes; at += line.length) yield line.subarray(0, Math.min(line.length, sizeBytes - at));
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Every byte of each, its CRC32C where it is stated, one object each, and nothing left of any upload. */
export async function expectWhole(world: World, huge: readonly Huge[]): Promise<void> {
  const { destination } = world;
  for (const one of huge) {
    const opened = await destination.open(one.key, { signal });
    const hash = createHash("sha256");
    for await (const chunk of opened.body) hash.update(chunk);
    expect(hash.digest("hex"), one.key).toBe(one.sha256);
    expect(opened.head.sizeBytes).toBe(one.sizeBytes);
    expect(opened.head.crc32c).toBe(one.crc32c);
    expect(opened.head.attributes.metadata.get("owner")).toBe("test");
    expect(await destination.parts?.uploads(one.key, signal), `uploads left under ${one.key}`).toEqual([]);
  }
  const keys: string[] = [];
  for await (const page of destination.list("", {}, signal)) for (const { key } of page.objects) keys.push(key);
  expect(keys.sort()).toEqual([...world.seeded.keys(), ...huge.map(({ key }) => key)].sort());
}

/** The migration ended, all of it arrived, each object was counted once, in Redis as in the ledger. */
export async function expectCompleted(world: World, mid: string, huge: readonly Huge[]): Promise<void> {
  const { result, totals } = await world.finished(mid);
  const listed = world.seeded.size + huge.length;
  expect(result).toMatchObject({ state: "Completed", listed });
  expect(sumCounts(totals.counts)).toBe(listed);
  const meta = await world.connection.hgetall(`{sealift}:m:${mid}:tot`);
  // A flush after the end leaves Redis empty, which is no other number.
  if (meta["listed"] !== undefined) {
    expect(Number(meta["rewrapped"] ?? 0) + Number(meta["already"] ?? 0)).toBe(
      (result?.counts.rewrapped ?? 0) + (result?.counts.already ?? 0),
    );
    expect(Number(meta["bytes"])).toBe(result?.bytes);
    expect(Number(meta["verified"])).toBe(result?.verified);
  }
  expect(await world.connection.scard(`{sealift}:m:${mid}:big`)).toBe(0);
  await expectWhole(world, huge);
}
