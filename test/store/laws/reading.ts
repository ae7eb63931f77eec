/** Laws of `head` and `open`: the bytes as they were written, of the version that was asked for. */
import { gzipSync } from "node:zlib";
import { expect } from "vitest";
import { asSealiftError } from "../../../src/core/error.ts";
import { absent, failure, gather, type Law, never, pinOf, put, read, refused, sample } from "./law.ts";

export const readingLaws: readonly Law[] = [
  {
    name: "what is put is read",
    run: async (bench) => {
      for (const sizeBytes of [0, 1, 999, 1000, 65_536, 300_001]) {
        const key = `${bench.prefix}${sizeBytes}`;
        const { head } = await put(bench, key, sample(sizeBytes), { condition: "absent" });
        const opened = await bench.store.open(key, { signal: never });
        expect((await gather(opened.body)).equals(sample(sizeBytes))).toBe(true);
        const seen = await bench.store.head(key, never);
        for (const other of [opened.head, seen]) {
          expect(other).toMatchObject({ key, sizeBytes, etag: head.etag });
          expect(other?.version).toBe(head.version);
        }
      }
    },
  },
  {
    name: "absence is an answer of head and an error of open",
    run: async (bench) => {
      const key = `${bench.prefix}absent`;
      await absent(bench, key);
      await refused(bench.store.open(key, { signal: never }), key, "STORE_NOT_FOUND");
      await put(bench, `${key}/child`, sample(3));
      await absent(bench, `${bench.prefix}abs`);
      expect(await bench.store.head(key, never)).toBeUndefined();
      expect(await bench.store.head(`${key}/`, never)).toBeUndefined();
    },
  },
  {
    name: "a pinned read gives that version or an error",
    run: async (bench) => {
      const key = `${bench.prefix}pinned`;
      const first = await put(bench, key, sample(500, 1));
      expect(await read(bench, key, { ifVersion: pinOf(first.head) })).toEqual(sample(500, 1));
      const second = await put(bench, key, sample(500, 2));
      await refused(bench.store.open(key, { ifVersion: pinOf(first.head), signal: never }), key, "STORE_CHANGED");
      expect(await read(bench, key, { ifVersion: pinOf(second.head) })).toEqual(sample(500, 2));
      await bench.store.remove(key, never);
      const gone = bench.store.open(key, { ifVersion: pinOf(second.head), signal: never });
      await refused(gone, key, "STORE_NOT_FOUND", "STORE_CHANGED");
    },
  },
  {
    name: "a range gives those bytes and the whole head",
    run: async (bench) => {
      const key = `${bench.prefix}range`;
      const bytes = sample(10_000);
      const { head } = await put(bench, key, bytes);
      for (const [start, end] of [
        [0, 1],
        [0, 10_000],
        [1, 4096],
        [9999, 10_000],
        [5000, 7001],
      ] as const) {
        const opened = await bench.store.open(key, { range: { start, end }, signal: never });
        expect(opened.head.sizeBytes).toBe(10_000);
        expect(opened.head.etag).toBe(head.etag);
        expect(await gather(opened.body)).toEqual(bytes.subarray(start, end));
      }
      const pinned = { range: { start: 2, end: 5 }, ifVersion: pinOf(head) };
      expect(await read(bench, key, pinned)).toEqual(bytes.subarray(2, 5));
    },
  },
  {
    name: "a range past the end gives what there is",
    run: async (bench) => {
      const key = `${bench.prefix}past`;
      await put(bench, key, sample(100));
      expect(await read(bench, key, { range: { start: 90, end: 4096 } })).toEqual(sample(100).subarray(90));
      await put(bench, `${key}-empty`, sample(0));
      const opened = await bench.store.open(`${key}-empty`, { range: { start: 0, end: 4096 }, signal: never });
      expect(opened.head.sizeBytes).toBe(0);
      expect(await gather(opened.body)).toEqual(Buffer.alloc(0));
    },
  },
  {
    name: "a body may be left early or dismissed unread",
    run: async (bench) => {
      const key = `${bench.prefix}early`;
      const bytes = sample(2_000_000);
      await put(bench, key, bytes);
      for (let turn = 0; turn < 5; turn++) {
        const left = await bench.store.open(key, { signal: never });
        for await (const chunk of left.body) {
          expect(chunk.length).toBeGreaterThan(0);
          break;
        }
        const dismissed = await bench.store.open(key, { signal: never });
        await dismissed.cancel();
      }
      expect((await read(bench, key)).equals(bytes)).toBe(true);
    },
  },
  {
    name: "an aborted read ends",
    run: async (bench) => {
      const key = `${bench.prefix}aborted`;
      await put(bench, key, sample(3_000_000));
      const before = AbortSignal.abort();
      for (const attempt of [bench.store.open(key, { signal: before }), bench.store.head(key, before)]) {
        expect(asSealiftError(await failure(attempt)).code).toBe("INTERRUPTED");
      }
      const during = new AbortController();
      const opened = await bench.store.open(key, { signal: during.signal });
      const attempt = (async () => {
        for await (const _ of opened.body) during.abort();
      })();
      expect(asSealiftError(await failure(attempt)).code).toBe("INTERRUPTED");
    },
  },
  {
    name: "gzip Content-Encoding is not unpacked",
    run: async (bench) => {
      const key = `${bench.prefix}gzip`;
      const bytes = gzipSync(Buffer.alloc(50_000, "sealed"));
      const attributes = { metadata: new Map(), contentEncoding: "gzip", contentType: "text/plain" };
      await put(bench, key, bytes, { attributes });
      const opened = await bench.store.open(key, { signal: never });
      expect(opened.head.attributes.contentEncoding).toBe("gzip");
      expect(opened.head.sizeBytes).toBe(bytes.length);
      expect(await gather(opened.body)).toEqual(bytes);
      expect(await read(bench, key, { range: { start: 3, end: 20 } })).toEqual(bytes.subarray(3, 20));
    },
  },
];
