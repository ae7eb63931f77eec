/**
 * A store in memory: for tests, and for everything that must be fast and forgotten. It keeps all the laws, so a pipeline that
 * works here owes nothing to a provider's kindness.
 */
import { createHash } from "node:crypto";
import { crc32c } from "../core/crc32c.ts";
import type { Attributes, ByteStream, KeyRange, ObjectHead } from "../core/object.ts";
import { compareKeys, inRange } from "../core/object.ts";
import { changed, checkCondition, checkPut, checksum, cut, matchesPin, notFound } from "./fit.ts";
import { MemoryParts } from "./memory/parts.ts";
import type {
  ListPage,
  ObjectStore,
  OpenObject,
  OpenOptions,
  PartStore,
  PutOptions,
  PutReceipt,
  StoreTraits,
} from "./store.ts";

const TRAITS: StoreTraits = {
  scheme: "memory",
  metadataBytesMax: 8192,
  metadataNameBytesMax: 1024,
  metadataValueBytesMax: 8192,
  metadataNames: "any",
  keyBytesMax: 1024,
  objectBytesMax: 4 * 1024 ** 3,
  transcodesGzip: false,
  keepsExpires: true,
  listsHeads: true,
  serverKeys: true,
};

const PIECE_BYTES = 256 * 1024;
const PAGE_OBJECTS = 1000;

interface Kept {
  readonly head: ObjectHead;
  readonly bytes: Buffer;
}

export interface MemoryStoreOptions {
  readonly name?: string;
  /** To stand in for a narrower store. */
  readonly traits?: Partial<StoreTraits>;
  readonly nowMs?: () => number;
}

export class MemoryStore implements ObjectStore {
  readonly traits: StoreTraits;
  readonly name: string;
  readonly parts: PartStore;
  readonly #nowMs: () => number;
  readonly #objects = new Map<string, Kept>();
  #sorted: string[] | undefined;
  #versions = 0;

  constructor(options: MemoryStoreOptions = {}) {
    this.traits = { ...TRAITS, ...options.traits };
    this.name = options.name ?? "memory://";
    this.#nowMs = options.nowMs ?? Date.now;
    this.parts = new MemoryParts({
      nowMs: this.#nowMs,
      check: (key, put) => checkPut(this.traits, key, put),
      collect: collected,
      put: (key, bytes, put) => this.put(key, poured(bytes, put.signal), put),
    });
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined> {
    signal.throwIfAborted();
    return this.#objects.get(key)?.head;
  }

  async open(key: string, { ifVersion, range, signal }: OpenOptions): Promise<OpenObject> {
    signal.throwIfAborted();
    const kept = this.#objects.get(key);
    if (kept === undefined) throw notFound(key);
    if (ifVersion !== undefined && !matchesPin(ifVersion, kept.head)) throw changed(key);
    const bytes = range === undefined ? kept.bytes : kept.bytes.subarray(range.start, range.end);
    return { head: kept.head, body: poured(bytes, signal), cancel: async () => {} };
  }

  async put(key: string, body: ByteStream, options: PutOptions): Promise<PutReceipt> {
    checkPut(this.traits, key, options);
    checkCondition(options.condition, key, this.#objects.get(key)?.head);
    const bytes = await collected(key, body, options);
    const crc = crc32c(bytes);
    // From here to the end nothing awaits: the condition that is checked is the condition that holds.
    checkCondition(options.condition, key, this.#objects.get(key)?.head);
    const head = this.#headOf(key, bytes, crc, options);
    if (!this.#objects.has(key)) this.#sorted = undefined;
    this.#objects.set(key, { head, bytes });
    return { head, crc32c: crc };
  }

  #headOf(key: string, bytes: Buffer, crc: number, { attributes, serverKeyName }: PutOptions): ObjectHead {
    const version = String(++this.#versions);
    return {
      key,
      sizeBytes: bytes.length,
      version,
      etag: `m${version}`,
      lastModifiedMs: this.#nowMs(),
      crc32c: crc,
      md5: createHash("md5").update(bytes).digest("hex"),
      atRest: serverKeyName === undefined ? { mode: "none" } : { mode: "SSE-KMS", keyName: serverKeyName },
      attributes: copied(attributes),
    };
  }

  async *list(prefix: string, range: KeyRange, signal: AbortSignal): AsyncIterable<ListPage> {
    signal.throwIfAborted();
    this.#sorted ??= [...this.#objects.keys()].sort(compareKeys);
    const keys = this.#sorted.filter((key) => key.startsWith(prefix) && inRange(key, range));
    for (let at = 0; at === 0 || at < keys.length; at += PAGE_OBJECTS) {
      signal.throwIfAborted();
      const kept = keys.slice(at, at + PAGE_OBJECTS).flatMap((key) => this.#objects.get(key) ?? []);
      yield { objects: kept.map(({ head }) => ({ ...rowOf(head), head })), last: at + PAGE_OBJECTS >= keys.length };
    }
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#objects.delete(key)) this.#sorted = undefined;
  }

  async close(): Promise<void> {}
}

const rowOf = ({ key, sizeBytes, etag, version, lastModifiedMs }: ObjectHead) => ({
  key,
  sizeBytes,
  etag,
  version,
  lastModifiedMs,
});

const copied = (attributes: Attributes): Attributes => ({ ...attributes, metadata: new Map(attributes.metadata) });

/** Copies on the way in and on the way out: callers wipe their buffers. */
async function collected(
  key: string,
  body: ByteStream,
  { sizeBytes, crc32c: announced, signal }: Pick<PutOptions, "sizeBytes" | "crc32c" | "signal">,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let actualBytes = 0;
  for await (const chunk of body) {
    signal.throwIfAborted();
    actualBytes += chunk.length;
    if (actualBytes > sizeBytes) break;
    chunks.push(Buffer.from(chunk));
  }
  signal.throwIfAborted();
  if (actualBytes !== sizeBytes) throw cut(key, actualBytes, sizeBytes);
  const bytes = Buffer.concat(chunks);
  if (announced === undefined || announced === crc32c(bytes)) return bytes;
  throw checksum(key, "the body differs from the CRC32C announced for it");
}

async function* poured(bytes: Buffer, signal: AbortSignal): ByteStream {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    signal.throwIfAborted();
    yield Buffer.from(bytes.subarray(at, at + PIECE_BYTES));
  }
}
