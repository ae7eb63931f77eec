/**
 * Two shores that are as large as one likes and weigh nothing: the source's objects are computed from their number, the destination
 * reads what it is sent and forgets it. Both keep the contract of stores (test/bench/scale/synthetic.test.ts); what is between
 * them is the program's own.
 */
import { setImmediate } from "node:timers/promises";
import { crc32c } from "../../../src/core/crc32c.ts";
import { SealiftError } from "../../../src/core/error.ts";
import type { ByteStream, KeyRange, ListedObject, ObjectHead } from "../../../src/core/object.ts";
import { compareKeys } from "../../../src/core/object.ts";
import { changed, checkCondition, checkPut, checksum, cut, matchesPin, notFound } from "../../../src/store/fit.ts";
import type {
  ListPage,
  ObjectStore,
  OpenObject,
  OpenOptions,
  PutOptions,
  PutReceipt,
  StoreTraits,
} from "../../../src/store/store.ts";

const TRAITS: StoreTraits = {
  scheme: "synthetic",
  metadataBytesMax: 2048,
  metadataNameBytesMax: 2048,
  metadataValueBytesMax: 2048,
  metadataNames: "ascii-lower",
  keyBytesMax: 1024,
  objectBytesMax: 5 * 1024 ** 4,
  transcodesGzip: false,
  keepsExpires: true,
  listsHeads: false,
  serverKeys: false,
};

const PAGE_OBJECTS = 1000;
const DIGITS = 12;
const PREFIX = "objects/";
const LAST_MODIFIED_MS = Date.UTC(2026, 0, 1);

export const keyOf = (index: number): string => PREFIX + String(index).padStart(DIGITS, "0");

/** Throws for a name that is none of ours. */
function indexOf(key: string): number | undefined {
  if (!key.startsWith(PREFIX) || key.length !== PREFIX.length + DIGITS) return undefined;
  const digits = key.slice(PREFIX.length);
  return /^\d+$/.test(digits) ? Number(digits) : undefined;
}

/** How many of our keys sort up to this text, itself included: a search among numbers, not among keys. */
function countUpTo(text: string, objects: number): number {
  let low = 0;
  let high = objects;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (compareKeys(keyOf(middle), text) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

export interface SourceOptions {
  readonly objects: number;
  /** One in so many is sealed; 0: none is. */
  readonly sealedEvery: number;
  /** The envelope that all sealed objects carry. */
  readonly envelope: ReadonlyMap<string, string>;
}

export class SyntheticSource implements ObjectStore {
  readonly traits = TRAITS;
  readonly name = "synthetic://source";
  readonly #objects: number;
  readonly #sealedEvery: number;
  readonly #sealed: ObjectHead["attributes"];
  readonly #plain: ObjectHead["attributes"] = { metadata: new Map([["owner", "bench"]]), contentType: "text/plain" };

  constructor({ objects, sealedEvery, envelope }: SourceOptions) {
    this.#objects = objects;
    this.#sealedEvery = sealedEvery;
    this.#sealed = { ...this.#plain, metadata: new Map([...this.#plain.metadata, ...envelope]) };
  }

  #bodyOf(index: number): Buffer {
    return Buffer.from(`The body of ${keyOf(index)}.`);
  }

  #headOf(index: number, body: Buffer): ObjectHead {
    const isSealed = this.#sealedEvery > 0 && index % this.#sealedEvery === 0;
    return {
      ...rowOf(index, body.length),
      crc32c: crc32c(body),
      atRest: { mode: "SSE-S3" },
      attributes: isSealed ? this.#sealed : this.#plain,
    };
  }

  #index(key: string): number | undefined {
    const index = indexOf(key);
    return index !== undefined && index < this.#objects ? index : undefined;
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined> {
    signal.throwIfAborted();
    const index = this.#index(key);
    return index === undefined ? undefined : this.#headOf(index, this.#bodyOf(index));
  }

  async open(key: string, { ifVersion, range, signal }: OpenOptions): Promise<OpenObject> {
    signal.throwIfAborted();
    const index = this.#index(key);
    if (index === undefined) throw notFound(key);
    const body = this.#bodyOf(index);
    const head = this.#headOf(index, body);
    if (ifVersion !== undefined && !matchesPin(ifVersion, head)) throw changed(key);
    const bytes = range === undefined ? body : body.subarray(range.start, range.end);
    return { head, body: poured(bytes), cancel: async () => {} };
  }

  async *list(prefix: string, { after, until }: KeyRange, signal: AbortSignal): AsyncIterable<ListPage> {
    if (!PREFIX.startsWith(prefix)) throw new SealiftError("INTERNAL", "the bench lists all or nothing");
    let from = after === undefined ? 0 : countUpTo(after, this.#objects);
    const to = until === undefined ? this.#objects : countUpTo(until, this.#objects);
    const sizeBytes = this.#bodyOf(0).length;
    do {
      signal.throwIfAborted();
      const end = Math.min(from + PAGE_OBJECTS, to);
      const objects: ListedObject[] = [];
      for (let index = from; index < end; index++) objects.push(rowOf(index, sizeBytes));
      from = end;
      yield { objects, last: end >= to };
    } while (from < to);
  }

  async put(): Promise<PutReceipt> {
    throw new SealiftError("PROVIDER_REFUSED", "nothing is ever written to a source");
  }

  async remove(): Promise<void> {
    throw new SealiftError("PROVIDER_REFUSED", "nothing is ever removed from a source");
  }

  async close(): Promise<void> {}
}

/** Every body is of one length, as every key is. */
const rowOf = (index: number, sizeBytes: number) => ({
  key: keyOf(index),
  sizeBytes,
  etag: `e${index}`,
  lastModifiedMs: LAST_MODIFIED_MS,
});

async function* poured(bytes: Buffer): ByteStream {
  if (bytes.length > 0) yield bytes;
}

/** A network would let others have their turn; so many puts of memory to memory in a row are one turn. */
const PUTS_A_TURN = 64;
/** What was put last is remembered for as long as somebody may read it back. */
const REMEMBERED = 1024;

export class ForgetfulDestination implements ObjectStore {
  readonly traits = TRAITS;
  readonly name = "synthetic://destination";
  readonly #last = new Map<string, ObjectHead>();
  #puts = 0;

  async head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined> {
    signal.throwIfAborted();
    return this.#last.get(key);
  }

  async open(key: string): Promise<OpenObject> {
    throw notFound(key);
  }

  async put(key: string, body: ByteStream, options: PutOptions): Promise<PutReceipt> {
    checkPut(TRAITS, key, options);
    checkCondition(options.condition, key, this.#last.get(key));
    let actualBytes = 0;
    let crc = 0;
    for await (const chunk of body) {
      actualBytes += chunk.length;
      crc = crc32c(chunk, crc);
    }
    options.signal.throwIfAborted();
    if (actualBytes !== options.sizeBytes) throw cut(key, actualBytes, options.sizeBytes);
    if (options.crc32c !== undefined && options.crc32c !== crc) throw checksum(key, "the body differs");
    if (++this.#puts % PUTS_A_TURN === 0) await setImmediate();
    const head: ObjectHead = {
      key,
      sizeBytes: actualBytes,
      version: undefined,
      etag: `d${this.#puts}`,
      lastModifiedMs: Date.now(),
      crc32c: crc,
      atRest: { mode: "none" },
      attributes: options.attributes,
    };
    this.#last.set(key, head);
    if (this.#last.size > REMEMBERED) this.#last.delete(this.#last.keys().next().value as string);
    return { head, crc32c: crc };
  }

  async *list(_prefix: string, _range: KeyRange, signal: AbortSignal): AsyncIterable<ListPage> {
    signal.throwIfAborted();
    yield { objects: [], last: true };
  }

  async remove(key: string): Promise<void> {
    this.#last.delete(key);
  }

  async close(): Promise<void> {}
}
