/** What a law of object stores is, and the few words in which the laws are written. */
import { setMaxListeners } from "node:events";
import { expect } from "vitest";
import { crc32c } from "../../../src/core/crc32c.ts";
import { type Code, SealiftError } from "../../../src/core/error.ts";
import type {
  Attributes,
  ByteStream,
  KeyRange,
  ListedObject,
  ObjectHead,
  VersionPin,
} from "../../../src/core/object.ts";
import type { ObjectStore, OpenOptions, PutOptions, PutReceipt } from "../../../src/store/store.ts";

export interface Bench {
  readonly store: ObjectStore;
  /** Every key of a law begins with it, so that laws can share one bucket. */
  readonly prefix: string;
  readonly largeBytes: number;
}

export interface Law {
  readonly name: string;
  readonly run: (bench: Bench) => Promise<void>;
}

/** Shared by all requests of the laws, so any number may listen to it. */
export const never = new AbortController().signal;
setMaxListeners(0, never);

export const bare: Attributes = { metadata: new Map() };

/** Reproducible bytes without a visible period. */
export function sample(sizeBytes: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let state = seed * 2_654_435_761 + 1;
  for (let i = 0; i < sizeBytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export async function* pieces(bytes: Uint8Array, pieceBytes = 1000): ByteStream {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

/** A stream of `sizeBytes` that is never whole in memory; its CRC32C is told when it has ended. */
export function flood(sizeBytes: number, seed = 7): { body: ByteStream; crc(): number } {
  const block = sample(Math.min(sizeBytes, 1024 * 1024) + 251, seed);
  let crc = 0;
  async function* body(): ByteStream {
    for (let at = 0, turn = 0; at < sizeBytes; turn++) {
      const start = turn % 251;
      const piece = block.subarray(start, start + Math.min(block.length - 251, sizeBytes - at));
      crc = crc32c(piece, crc);
      at += piece.length;
      yield piece;
    }
  }
  return { body: body(), crc: () => crc };
}

export const put = (
  bench: Bench,
  key: string,
  bytes: Uint8Array,
  options: Partial<PutOptions> = {},
): Promise<PutReceipt> =>
  bench.store.put(key, pieces(bytes), {
    sizeBytes: bytes.length,
    attributes: bare,
    condition: "any",
    signal: never,
    ...options,
  });

export async function read(bench: Bench, key: string, options: Partial<OpenOptions> = {}): Promise<Buffer> {
  const opened = await bench.store.open(key, { signal: never, ...options });
  return gather(opened.body);
}

export async function gather(body: ByteStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

export const pinOf = (head: ObjectHead): VersionPin => ({ version: head.version, etag: head.etag });

export async function failure(attempt: Promise<unknown>): Promise<unknown> {
  try {
    await attempt;
  } catch (error) {
    return error;
  }
  throw new Error("it should have failed");
}

/** The attempt fails with this code and names the object. */
export async function refused(attempt: Promise<unknown>, key: string, ...codes: Code[]): Promise<void> {
  const error = await failure(attempt);
  if (!(error instanceof SealiftError)) throw error;
  expect(codes, error.message).toContain(error.code);
  expect(error.object).toBe(key);
}

export async function absent(bench: Bench, key: string): Promise<void> {
  expect(await bench.store.head(key, never)).toBeUndefined();
  expect(await listed(bench, key)).not.toContain(key);
}

export async function rows(bench: Bench, prefix: string, range: KeyRange = {}): Promise<ListedObject[]> {
  const all: ListedObject[] = [];
  let last = false;
  for await (const page of bench.store.list(prefix, range, never)) {
    expect(last, "a page after the last").toBe(false);
    all.push(...page.objects);
    last = page.last;
  }
  expect(last, "no page says that it is the last").toBe(true);
  return all;
}

export const listed = async (bench: Bench, prefix: string, range: KeyRange = {}): Promise<string[]> =>
  (await rows(bench, prefix, range)).map((row) => row.key);

/** Runs `work` over `inputs`, at most `width` at a time. */
export async function each<T>(
  inputs: readonly T[],
  width: number,
  work: (input: T) => Promise<unknown>,
): Promise<void> {
  const queue = [...inputs];
  const lane = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
