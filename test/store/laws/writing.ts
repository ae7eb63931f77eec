/** Laws of `put` and `remove`: all or nothing, and never over somebody else's object. */
import { expect } from "vitest";
import { crc32c } from "../../../src/core/crc32c.ts";
import { asSealiftError } from "../../../src/core/error.ts";
import type { ByteStream } from "../../../src/core/object.ts";
import { absent, bare, each, failure, flood, type Bench, type Law, never } from "./law.ts";
import { pieces, pinOf, put, read, refused, sample } from "./law.ts";

const size = 5000;

async function* failing(bytes: Uint8Array, error: Error): ByteStream {
  yield* pieces(bytes);
  throw error;
}

/** Every way in which a body can disappoint; each leaves the key as it was. */
async function disappoint(bench: Bench, key: string): Promise<void> {
  const { store } = bench;
  const options = { sizeBytes: size, attributes: bare, condition: "any", signal: never } as const;
  for (const actual of [0, size / 2, size - 1, size + 1, size * 2]) {
    await refused(store.put(key, pieces(sample(actual)), options), key, "STORE_CUT");
  }
  const broken = new Error("the source broke");
  expect(await failure(store.put(key, failing(sample(size / 2), broken), options))).toBe(broken);
  expect(await failure(store.put(key, failing(sample(size), broken), options))).toBe(broken);
  await refused(put(bench, key, sample(size), { crc32c: 12345 }), key, "STORE_CHECKSUM");
}

async function disappointLarge(bench: Bench, key: string): Promise<void> {
  const { store, largeBytes } = bench;
  const options = { sizeBytes: largeBytes, attributes: bare, condition: "any", signal: never } as const;
  await refused(store.put(key, flood(largeBytes - 1).body, options), key, "STORE_CUT");
  await refused(store.put(key, flood(largeBytes + 1).body, options), key, "STORE_CUT");
  const crc = { ...options, crc32c: 12345 };
  await refused(store.put(key, flood(largeBytes).body, crc), key, "STORE_CHECKSUM");
  const broken = new Error("the source broke");
  async function* half(): ByteStream {
    yield* flood(Math.floor(largeBytes * 0.9)).body;
    throw broken;
  }
  expect(await failure(store.put(key, half(), options))).toBe(broken);
}

export const writingLaws: readonly Law[] = [
  {
    name: "create-only puts do not replace",
    run: async (bench) => {
      const key = `${bench.prefix}once`;
      const first = await put(bench, key, sample(100, 1), { condition: "absent" });
      await refused(put(bench, key, sample(200, 2), { condition: "absent" }), key, "STORE_EXISTS");
      expect(await read(bench, key)).toEqual(sample(100, 1));
      expect((await bench.store.head(key, never))?.etag).toBe(first.head.etag);
    },
  },
  {
    name: "of concurrent create-only puts exactly one wins",
    run: async (bench) => {
      const key = `${bench.prefix}race`;
      const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
      const wins: number[] = [];
      await each(seeds, seeds.length, async (seed) => {
        try {
          await put(bench, key, sample(3000, seed), { condition: "absent" });
          wins.push(seed);
        } catch (error) {
          expect(["STORE_EXISTS", "STORE_BUSY"]).toContain(asSealiftError(error).code);
        }
      });
      expect(wins).toHaveLength(1);
      expect(await read(bench, key)).toEqual(sample(3000, wins[0]));
    },
  },
  {
    name: "a pin replaces exactly what was seen",
    run: async (bench) => {
      const key = `${bench.prefix}pinned`;
      const first = await put(bench, key, sample(100, 1));
      const second = await put(bench, key, sample(100, 2), { condition: pinOf(first.head) });
      await refused(put(bench, key, sample(100, 3), { condition: pinOf(first.head) }), key, "STORE_CHANGED");
      expect(await read(bench, key)).toEqual(sample(100, 2));
      await bench.store.remove(key, never);
      await refused(put(bench, key, sample(100, 4), { condition: pinOf(second.head) }), key, "STORE_CHANGED");
      await absent(bench, key);
    },
  },
  {
    name: "a body that disappoints leaves nothing",
    run: async (bench) => {
      await disappoint(bench, `${bench.prefix}nothing`);
      await absent(bench, `${bench.prefix}nothing`);
    },
  },
  {
    name: "a body that disappoints leaves the old object",
    run: async (bench) => {
      const key = `${bench.prefix}old`;
      const { head } = await put(bench, key, sample(77));
      await disappoint(bench, key);
      expect(await read(bench, key, { ifVersion: pinOf(head) })).toEqual(sample(77));
    },
  },
  {
    name: "an empty body that should be empty is accepted, one that should not is cut",
    run: async (bench) => {
      const key = `${bench.prefix}empty`;
      await refused(bench.store.put(key, pieces(sample(1)), { ...cutOptions, sizeBytes: 0 }), key, "STORE_CUT");
      await absent(bench, key);
      const receipt = await put(bench, key, sample(0), { crc32c: 0 });
      expect(receipt.crc32c).toBe(0);
    },
  },
  {
    name: "the receipt holds the checksum of what was sent",
    run: async (bench) => {
      const bytes = sample(4321);
      const receipt = await put(bench, `${bench.prefix}sum`, bytes, { crc32c: crc32c(bytes) });
      expect(receipt.crc32c).toBe(crc32c(bytes));
      expect(receipt.head.key).toBe(`${bench.prefix}sum`);
      expect(receipt.head.sizeBytes).toBe(4321);
      if (receipt.head.crc32c !== undefined) expect(receipt.head.crc32c).toBe(crc32c(bytes));
    },
  },
  {
    name: "the etag changes with the bytes",
    run: async (bench) => {
      const key = `${bench.prefix}etag`;
      const first = await put(bench, key, sample(64, 1));
      const second = await put(bench, key, sample(64, 2));
      expect(second.head.etag).not.toBe(first.head.etag);
      expect((await bench.store.head(key, never))?.etag).toBe(second.head.etag);
    },
  },
  {
    name: "an aborted put leaves nothing",
    run: async (bench) => {
      const key = `${bench.prefix}aborted`;
      const before = AbortSignal.abort();
      expect(asSealiftError(await failure(put(bench, key, sample(10), { signal: before }))).code).toBe("INTERRUPTED");
      const during = new AbortController();
      async function* body(): ByteStream {
        yield sample(1000);
        during.abort();
        yield sample(4000);
      }
      const attempt = bench.store.put(key, body(), { ...cutOptions, signal: during.signal });
      expect(asSealiftError(await failure(attempt)).code).toBe("INTERRUPTED");
      await absent(bench, key);
    },
  },
  {
    name: "a large object arrives whole",
    run: async (bench) => {
      const key = `${bench.prefix}large`;
      const source = flood(bench.largeBytes);
      const options = { ...cutOptions, sizeBytes: bench.largeBytes, condition: "absent" } as const;
      const receipt = await bench.store.put(key, source.body, options);
      expect(receipt.crc32c).toBe(source.crc());
      await refused(bench.store.put(key, flood(bench.largeBytes).body, options), key, "STORE_EXISTS");
      const opened = await bench.store.open(key, { ifVersion: pinOf(receipt.head), signal: never });
      expect(opened.head.sizeBytes).toBe(bench.largeBytes);
      let crc = 0;
      let sizeBytes = 0;
      for await (const chunk of opened.body) {
        crc = crc32c(chunk, crc);
        sizeBytes += chunk.length;
      }
      expect([sizeBytes, crc]).toEqual([bench.largeBytes, source.crc()]);
      await bench.store.remove(key, never);
    },
  },
  {
    name: "a large body that disappoints leaves nothing",
    run: async (bench) => {
      await disappointLarge(bench, `${bench.prefix}large`);
      await absent(bench, `${bench.prefix}large`);
    },
  },
  {
    name: "remove is idempotent",
    run: async (bench) => {
      const key = `${bench.prefix}gone`;
      await bench.store.remove(key, never);
      await put(bench, key, sample(10));
      await bench.store.remove(key, never);
      await bench.store.remove(key, never);
      await absent(bench, key);
      await put(bench, key, sample(11), { condition: "absent" });
    },
  },
];

const cutOptions = { sizeBytes: size, attributes: bare, condition: "any", signal: never } as const;
