/** Laws of stores that take one object from several processes: nothing before it is whole, and nothing left over after it. */
import { expect } from "vitest";
import { combineCrc32c, crc32c } from "../../../src/core/crc32c.ts";
import { asSealiftError } from "../../../src/core/error.ts";
import type { ByteStream } from "../../../src/core/object.ts";
import type { CompleteOptions, HeldPart, PartStore, PartUpload } from "../../../src/store/store.ts";
import { absent, bare, type Bench, each, failure, type Law, listed, never, pieces, pinOf, put } from "./law.ts";
import { read, refused, sample } from "./law.ts";

const attributes = {
  metadata: new Map([["owner", "somebody"]]),
  contentType: "application/x-large",
  cacheControl: "no-store",
};

interface Fan {
  readonly parts: PartStore;
  readonly key: string;
  readonly upload: PartUpload;
  readonly bytes: Buffer;
  readonly partBytes: number;
}

/** An object of `count` parts, the last one short, begun and with nothing sent. */
async function begin(bench: Bench, name: string, count = 3, seed = 1): Promise<Fan> {
  const { parts } = bench.store;
  if (!parts) throw new Error("this store takes no parts");
  const key = bench.prefix + name;
  const partBytes = Math.max(parts.limits.partBytesMin, 1000);
  const bytes = sample(partBytes * (count - 1) + 777, seed);
  const id = await parts.begin(key, { sizeBytes: bytes.length, attributes, signal: never });
  return { parts, key, upload: { key, id }, bytes, partBytes };
}

const piece = ({ bytes, partBytes }: Fan, number: number): Buffer =>
  bytes.subarray((number - 1) * partBytes, number * partBytes);

async function send(fan: Fan, number: number, bytes = piece(fan, number)): Promise<HeldPart> {
  return fan.parts.put(fan.upload, number, pieces(bytes, 64 * 1024), { sizeBytes: bytes.length, signal: never });
}

async function sendAll(fan: Fan): Promise<HeldPart[]> {
  const sent: HeldPart[] = [];
  const count = Math.ceil(fan.bytes.length / fan.partBytes);
  await each(
    Array.from({ length: count }, (_, i) => i + 1),
    3,
    async (n) => sent.push(await send(fan, n)),
  );
  return sent.sort((a, b) => a.first - b.first);
}

const complete = (fan: Fan, parts: readonly HeldPart[], options: Partial<CompleteOptions> = {}) =>
  fan.parts.complete(fan.upload, {
    parts,
    sizeBytes: fan.bytes.length,
    crc32c: crc32c(fan.bytes),
    condition: "absent",
    signal: never,
    ...options,
  });

/** Nothing is left: no upload under the key, and no object but those whose names begin like the law's. */
async function tidy(bench: Bench, { parts, key, upload }: Fan): Promise<void> {
  expect(await parts.uploads(key, never)).toEqual([]);
  expect(await parts.list(upload, never)).toBeUndefined();
  expect((await listed(bench, "")).filter((name) => name.startsWith(".sealift"))).toEqual([]);
}

const failing = async function* (bytes: Uint8Array, error: Error): ByteStream {
  yield* pieces(bytes, 64 * 1024);
  throw error;
};

export const partLaws: readonly Law[] = [
  {
    name: "parts in any order become one object, with the attributes that were fixed at the beginning",
    run: async (bench) => {
      const fan = await begin(bench, "whole", 4);
      for (const number of [3, 1, 4, 2]) {
        const sent = await send(fan, number);
        expect(sent).toMatchObject({ first: number, last: number, crc32c: crc32c(piece(fan, number)) });
        await absent(bench, fan.key);
      }
      const held = (await fan.parts.list(fan.upload, never)) ?? [];
      expect(held.map(({ first, last }) => [first, last])).toEqual([1, 2, 3, 4].map((n) => [n, n]));
      for (const [first, last] of [
        [1, 1],
        [2, 3],
        [4, 9],
        [5, 5],
      ] as const) {
        const some = (await fan.parts.list(fan.upload, never, { first, last })) ?? [];
        expect(some.map((part) => part.first)).toEqual([1, 2, 3, 4].filter((n) => n >= first && n <= last));
      }
      const { head, crc32c: crc } = await complete(fan, await sendAll(fan));
      expect(crc).toBe(crc32c(fan.bytes));
      expect(head).toMatchObject({ key: fan.key, sizeBytes: fan.bytes.length });
      const found = await bench.store.head(fan.key, never);
      expect(found).toMatchObject({ sizeBytes: fan.bytes.length, etag: head.etag });
      expect(found?.version).toBe(head.version);
      expect(found?.attributes).toMatchObject({ contentType: "application/x-large", cacheControl: "no-store" });
      expect(found?.attributes.metadata.get("owner")).toBe("somebody");
      expect((await read(bench, fan.key)).equals(fan.bytes)).toBe(true);
      await tidy(bench, fan);
    },
  },
  {
    name: "what is held is told, also after a part was sent twice",
    run: async (bench) => {
      const fan = await begin(bench, "told");
      expect(await fan.parts.list(fan.upload, never)).toEqual([]);
      const first = await send(fan, 2);
      const other = await send(fan, 2, sample(fan.partBytes, 99));
      const again = await send(fan, 2);
      expect(again.crc32c).toBe(first.crc32c);
      expect(other.tag).not.toBe(again.tag);
      const held = (await fan.parts.list(fan.upload, never)) ?? [];
      expect(held).toHaveLength(1);
      expect(held[0]).toMatchObject({ first: 2, last: 2, sizeBytes: fan.partBytes, tag: again.tag });
      expect([undefined, crc32c(piece(fan, 2))]).toContain(held[0]?.crc32c);
      await fan.parts.abort(fan.upload, never);
    },
  },
  {
    name: "a part that disappoints is no part",
    run: async (bench) => {
      const fan = await begin(bench, "short");
      const options = { sizeBytes: fan.partBytes, signal: never };
      const whole = piece(fan, 1);
      for (const bytes of [whole.subarray(1), Buffer.concat([whole, Buffer.alloc(1)]), Buffer.alloc(0)]) {
        await refused(fan.parts.put(fan.upload, 1, pieces(bytes, 64 * 1024), options), fan.key, "STORE_CUT");
      }
      const broken = new Error("the source broke");
      expect(await failure(fan.parts.put(fan.upload, 1, failing(whole.subarray(5), broken), options))).toBe(broken);
      const wrong = { ...options, crc32c: 12345 };
      await refused(fan.parts.put(fan.upload, 1, pieces(whole, 64 * 1024), wrong), fan.key, "STORE_CHECKSUM");
      expect(await fan.parts.list(fan.upload, never)).toEqual([]);
      await fan.parts.abort(fan.upload, never);
    },
  },
  {
    name: "a whole with another size or CRC32C than announced is refused, and nothing stands",
    run: async (bench) => {
      const fan = await begin(bench, "wrong");
      const parts = await sendAll(fan);
      await refused(complete(fan, parts, { crc32c: 12345 }), fan.key, "STORE_CHECKSUM");
      await refused(complete(fan, parts, { sizeBytes: fan.bytes.length + 1 }), fan.key, "STORE_CUT");
      await refused(complete(fan, parts.slice(0, -1)), fan.key, "STORE_CUT");
      const gap = asSealiftError(await failure(complete(fan, parts.slice(1))));
      expect(gap.code).toBe("INTERNAL");
      await absent(bench, fan.key);
      await fan.parts.abort(fan.upload, never);
      await tidy(bench, fan);
    },
  },
  {
    name: "parts that were written again since they were listed do not become an object unseen",
    run: async (bench) => {
      const fan = await begin(bench, "stale");
      const parts = await sendAll(fan);
      await send(fan, 2, sample(fan.partBytes, 99));
      const error = asSealiftError(await failure(complete(fan, parts)));
      expect(error.retry).toBe("later");
      await absent(bench, fan.key);
      await fan.parts.abort(fan.upload, never);
    },
  },
  {
    name: "completing is create-only where it should be, and replaces exactly what was seen",
    run: async (bench) => {
      const fan = await begin(bench, "once");
      const parts = await sendAll(fan);
      const stranger = await put(bench, fan.key, sample(50, 5));
      await refused(complete(fan, parts), fan.key, "STORE_EXISTS");
      expect(await read(bench, fan.key)).toEqual(sample(50, 5));
      const later = await put(bench, fan.key, sample(60, 6));
      await refused(complete(fan, parts, { condition: pinOf(stranger.head) }), fan.key, "STORE_CHANGED");
      expect(await read(bench, fan.key)).toEqual(sample(60, 6));
      await complete(fan, await sendAll(fan), { condition: pinOf(later.head) });
      expect((await read(bench, fan.key)).equals(fan.bytes)).toBe(true);
      await tidy(bench, fan);
    },
  },
  {
    name: "of two uploads completed at once under one key, one becomes the object",
    run: async (bench) => {
      const fans = [await begin(bench, "race", 2, 1), await begin(bench, "race", 2, 2)];
      const wins: Fan[] = [];
      const sent = new Map<Fan, HeldPart[]>();
      for (const fan of fans) sent.set(fan, await sendAll(fan));
      await each(fans, 2, async (fan) => {
        try {
          await complete(fan, sent.get(fan) ?? []);
          wins.push(fan);
        } catch (error) {
          expect(["STORE_EXISTS", "STORE_BUSY"]).toContain(asSealiftError(error).code);
          await fan.parts.abort(fan.upload, never);
        }
      });
      expect(wins).toHaveLength(1);
      expect((await read(bench, `${bench.prefix}race`)).equals(wins[0]?.bytes ?? Buffer.alloc(0))).toBe(true);
      for (const fan of fans) await tidy(bench, fan);
    },
  },
  {
    name: "an upload that is gone says so, and aborting it again is success",
    run: async (bench) => {
      const fan = await begin(bench, "gone");
      const parts = await sendAll(fan);
      await fan.parts.abort(fan.upload, never);
      await fan.parts.abort(fan.upload, never);
      await tidy(bench, fan);
      const error = asSealiftError(await failure(complete(fan, parts)));
      expect(error.retry).toBe("later");
      expect(error.object).toBe(fan.key);
      await absent(bench, fan.key);
      const strange = { key: fan.key, id: "../../no such id" };
      expect(await fan.parts.list(strange, never)).toBeUndefined();
      await fan.parts.abort(strange, never);
    },
  },
  {
    name: "uploads are found under exactly their key",
    run: async (bench) => {
      const before = Date.now();
      const near = await begin(bench, "ä key/+ %20%2F&<x>", 1);
      const longer = await begin(bench, "ä key/+ %2F&<x>.longer", 1);
      const second = await begin(bench, "ä key/+ %20%2F&<x>", 1);
      const found = await near.parts.uploads(near.key, never);
      expect(found.map(({ id }) => id).sort()).toEqual([near.upload.id, second.upload.id].sort());
      for (const { begunMs } of found) expect(Math.abs(begunMs - before)).toBeLessThan(10 * 60_000);
      await near.parts.abort(near.upload, never);
      expect((await near.parts.uploads(near.key, never)).map(({ id }) => id)).toEqual([second.upload.id]);
      for (const fan of [second, longer]) await fan.parts.abort(fan.upload, never);
      await tidy(bench, near);
    },
  },
  {
    name: "the CRC32C of an object of many parts is that of its parts combined",
    run: async (bench) => {
      const { parts } = bench.store;
      // Enough for stores that join in rounds; small parts, where the store allows them.
      const count = (parts?.limits.partBytesMin ?? 0) > 100_000 ? 3 : 70;
      const fan = await begin(bench, "many", count);
      const sent = await sendAll(fan);
      const crc = sent.reduce((sum, part) => combineCrc32c(sum, part.crc32c ?? 0, part.sizeBytes), 0);
      expect(crc).toBe(crc32c(fan.bytes));
      const some = await fan.parts.list(fan.upload, never, { first: count - 1, last: count });
      expect(some?.map(({ first }) => first)).toEqual([count - 1, count]);
      const { head } = await complete(fan, sent);
      expect([undefined, crc]).toContain(head.crc32c);
      expect((await read(bench, fan.key)).equals(fan.bytes)).toBe(true);
      await tidy(bench, fan);
    },
  },
  {
    name: "attributes that do not fit are refused at the beginning",
    run: async (bench) => {
      const { parts, traits } = bench.store;
      const key = `${bench.prefix}unfit`;
      const metadata = new Map([["a", "x".repeat(traits.metadataBytesMax + 1)]]);
      const options = { sizeBytes: 10, attributes: { metadata }, signal: never };
      await refused(parts?.begin(key, options) ?? Promise.resolve(), key, "METADATA_UNFIT");
      const large = { sizeBytes: traits.objectBytesMax + 1, attributes: bare, signal: never };
      await refused(parts?.begin(key, large) ?? Promise.resolve(), key, "TOO_LARGE");
      expect(await parts?.uploads(key, never)).toEqual([]);
    },
  },
];
