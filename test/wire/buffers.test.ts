/** Buffers that are given back are lent again, each to one reader at a time. */
import { expect, it } from "vitest";
import { CHUNK_BYTES, giveBack, Lease } from "../../src/wire/buffers.ts";

/** Takes until the free list is empty: what is fresh has been seen by nobody. */
const memoryOf = (count: number): Set<ArrayBufferLike> =>
  new Set(Array.from({ length: count }, () => new Lease().bytes.buffer));

const lent = (from = 0, until = CHUNK_BYTES) => {
  const lease = new Lease();
  const chunk = lease.lend(from, until);
  lease.close();
  return { lease, chunk };
};

it("a chunk that was given back is used again, once", () => {
  const { lease, chunk } = lent();
  giveBack(chunk);
  giveBack(chunk);
  const leases = [new Lease(), new Lease(), new Lease()];
  expect(leases.filter(({ bytes }) => bytes.buffer === lease.bytes.buffer).length).toBe(1);
  expect(new Set(leases.map(({ bytes }) => bytes.buffer)).size).toBe(3);
});

it("a second return does not take the buffer from its next reader", () => {
  const { lease, chunk } = lent();
  giveBack(chunk);
  const next = new Lease();
  expect(next.bytes.buffer).toBe(lease.bytes.buffer);
  const held = next.lend(0, 100);
  next.close();
  giveBack(chunk);
  giveBack(held.subarray(0, 50));
  giveBack(new Uint8Array(held.buffer, 0, 100));
  expect(memoryOf(70)).not.toContain(held.buffer);
  giveBack(held);
  expect(new Lease().bytes.buffer).toBe(held.buffer);
});

it("a buffer in parts is used again only after all of them and its filling have ended", () => {
  const lease = new Lease();
  const parts = [lease.lend(0, 10), lease.lend(10, 4000), lease.lend(4000, CHUNK_BYTES)];
  for (const part of parts.slice(0, 2)) giveBack(part);
  expect(memoryOf(70)).not.toContain(lease.bytes.buffer);
  giveBack(parts[2] as Buffer);
  // Somebody may still be writing to it.
  expect(memoryOf(70)).not.toContain(lease.bytes.buffer);
  lease.close();
  expect(new Lease().bytes.buffer).toBe(lease.bytes.buffer);
});

it("chunks from elsewhere are ignored", () => {
  const strange = Buffer.alloc(CHUNK_BYTES);
  giveBack(strange);
  expect(memoryOf(70)).not.toContain(strange.buffer);
});
