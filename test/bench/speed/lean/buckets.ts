/** What lies in the lean clouds: buckets computed from a seed, and buckets that were written to. */
import { combineCrc32c, crc32c } from "../../../../src/core/crc32c.ts";
import { type Content, contentsOf, type Dataset, KEPT_BYTES_MAX, keyOf, numberOf, type Seed } from "../seed.ts";

export interface Row {
  readonly key: string;
  readonly sizeBytes: number;
  readonly etag: string;
  readonly modifiedMs: number;
}

export interface Stored extends Row {
  readonly metadata: ReadonlyMap<string, string>;
  readonly contentType: string | undefined;
  /** Of the bytes that came or are sent; undefined where it is computed when it is asked for. */
  readonly crc32c: number | undefined;
  /** As the client stated it, which is given back. */
  readonly statedCrc32c: string | undefined;
  /** GCS: counts up over the bucket. */
  readonly generation: number;
  /** Undefined: too large to be kept. */
  readonly read: ((start: number, end: number) => Iterator<Buffer>) | undefined;
}

/** Rows in order of their keys. */
export interface Rows {
  readonly count: number;
  at(index: number): Row;
  /** Index of the first key that is not below `key`. */
  from(key: string): number;
}

export interface Bucket {
  get(key: string): Stored | undefined;
  rows(): Rows;
}

/** When whatever is seeded was written. */
const SEEDED_MS = Date.UTC(2026, 0, 1);
const etagOf = (n: number): string => `${(n + 1).toString(16).padStart(32, "0")}-1`;

/** Computed: never written to. */
export class SeededBucket implements Bucket {
  readonly dataset: Dataset;
  readonly contents: readonly Content[];

  constructor(seed: Seed, dataset: Dataset) {
    this.dataset = dataset;
    this.contents = Array.from({ length: contentsOf(dataset) }, (_, n) => seed.content(dataset, n));
  }

  #content(n: number): Content {
    return this.contents[n % this.contents.length] as Content;
  }

  get(key: string): Stored | undefined {
    const n = numberOf(key);
    if (!(n < this.dataset.count) || keyOf(n) !== key) return undefined;
    const content = this.#content(n);
    const { metadata, sizeBytes, crc32c: crc } = content;
    const read: Stored["read"] = (start, end) => content.read(start, end);
    const etag = etagOf(n);
    const contentType = "application/octet-stream";
    return {
      key,
      sizeBytes,
      etag,
      modifiedMs: SEEDED_MS,
      metadata,
      contentType,
      crc32c: crc,
      statedCrc32c: undefined,
      generation: n + 1,
      read,
    };
  }

  rows(): Rows {
    const { count, sizeBytes, sealed } = this.dataset;
    const storedBytes = sizeBytes + (sealed ? 16 : 0);
    return {
      count,
      at: (n) => ({ key: keyOf(n), sizeBytes: storedBytes, etag: etagOf(n), modifiedMs: SEEDED_MS }),
      from: (key) => lowerBound(count, (n) => keyOf(n) < key),
    };
  }
}

export class WrittenBucket implements Bucket {
  readonly objects = new Map<string, Stored>();
  #sorted: Stored[] | undefined;
  #written = 0;

  get(key: string): Stored | undefined {
    return this.objects.get(key);
  }

  put(key: string, object: Omit<Stored, "key" | "etag" | "generation" | "modifiedMs">): Stored {
    const n = ++this.#written;
    const stored = { ...object, key, etag: etagOf(n), generation: n, modifiedMs: Date.now() };
    this.objects.set(key, stored);
    this.#sorted = undefined;
    return stored;
  }

  remove(key: string): boolean {
    this.#sorted = undefined;
    return this.objects.delete(key);
  }

  rows(): Rows {
    this.#sorted ??= [...this.objects.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    const sorted = this.#sorted;
    return {
      count: sorted.length,
      at: (n) => sorted[n] as Stored,
      from: (key) => lowerBound(sorted.length, (n) => (sorted[n] as Stored).key < key),
    };
  }
}

function lowerBound(count: number, isBelow: (n: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBelow(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Takes bytes: small ones are kept, of large ones the length and the CRC32C. */
export class Arriving {
  sizeBytes = 0;
  #crc = 0;
  #kept: Buffer[] | undefined = [];

  chunk(bytes: Buffer): void {
    this.sizeBytes += bytes.length;
    if (this.#kept && this.sizeBytes <= KEPT_BYTES_MAX) {
      this.#kept.push(bytes);
      return;
    }
    for (const early of this.#kept ?? []) this.#crc = crc32c(early, this.#crc);
    this.#kept = undefined;
    this.#crc = crc32c(bytes, this.#crc);
  }

  /** The CRC32C of what is kept is left to whoever asks for it. */
  done(): Pick<Stored, "sizeBytes" | "crc32c" | "read"> {
    const { sizeBytes } = this;
    if (!this.#kept) return { sizeBytes, crc32c: this.#crc, read: undefined };
    const body = this.#kept.length === 1 ? Buffer.from(this.#kept[0] as Buffer) : Buffer.concat(this.#kept);
    return { sizeBytes, crc32c: undefined, read: (start, end) => [body.subarray(start, end)].values() };
  }
}

export const crcOf = (object: Pick<Stored, "crc32c" | "read" | "sizeBytes">): number => {
  if (object.crc32c !== undefined) return object.crc32c;
  const { value } = object.read?.(0, object.sizeBytes).next() ?? {};
  return crc32c(value as Buffer);
};

/** Parts in the order given, as one. */
export function joinedParts(parts: readonly Pick<Stored, "crc32c" | "read" | "sizeBytes">[]) {
  let [sizeBytes, crc] = [0, 0];
  for (const part of parts) {
    crc = combineCrc32c(crc, crcOf(part), part.sizeBytes);
    sizeBytes += part.sizeBytes;
  }
  return { sizeBytes, crc32c: crc, read: undefined };
}
