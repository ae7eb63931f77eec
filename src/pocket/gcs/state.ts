/** Buckets, objects and their generations, in memory. */
import { compareKeys } from "../../core/object.ts";
import { conditionNotMet, invalid, noBucket, noObject, Refusal } from "./answer.ts";

/** What a writer may set. Names as in the JSON API's object resource. */
export interface Settable {
  contentType?: string;
  contentEncoding?: string;
  contentLanguage?: string;
  contentDisposition?: string;
  cacheControl?: string;
  storageClass?: string;
  customTime?: string;
  metadata?: Record<string, string>;
}
export const SETTABLE = [
  "contentType",
  "contentEncoding",
  "contentLanguage",
  "contentDisposition",
  "cacheControl",
  "storageClass",
  "customTime",
] as const;

/** Bytes as they came, never joined: a large object costs its size once. */
export interface Bytes {
  readonly chunks: readonly Buffer[];
  readonly sizeBytes: number;
  readonly crc32c: string;
  /** Absent where the bytes were composed. */
  readonly md5Hash?: string | undefined;
}

export interface StoredObject {
  readonly name: string;
  readonly bytes: Bytes;
  readonly generation: number;
  readonly metageneration: number;
  readonly timeCreated: string;
  readonly updated: string;
  readonly set: Settable;
  readonly kmsKeyName?: string | undefined;
  /** Base64 SHA-256 of a customer-supplied key. */
  readonly customerKeySha256?: string | undefined;
  /** Of composite objects. */
  readonly componentCount?: number | undefined;
}

export class Bucket {
  readonly name: string;
  readonly timeCreated = new Date().toISOString();
  readonly #objects = new Map<string, StoredObject>();
  #sorted: string[] | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get size(): number {
    return this.#objects.size;
  }

  find(name: string): StoredObject | undefined {
    return this.#objects.get(name);
  }

  get(name: string, generation: string | null): StoredObject {
    const object = this.#objects.get(name);
    if (object === undefined || (generation !== null && String(object.generation) !== generation)) {
      throw noObject(this.name, name);
    }
    return object;
  }

  set(object: StoredObject): void {
    if (!this.#objects.has(object.name)) this.#sorted = undefined;
    this.#objects.set(object.name, object);
  }

  delete(name: string): void {
    if (this.#objects.delete(name)) this.#sorted = undefined;
  }

  /** Names from `start` on, in UTF-8 byte order. */
  *names(start: string): Generator<string, void> {
    this.#sorted ??= [...this.#objects.keys()].sort(compareKeys);
    const sorted = this.#sorted;
    let low = 0;
    for (let high = sorted.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (compareKeys(sorted[middle] as string, start) < 0) low = middle + 1;
      else high = middle;
    }
    for (let at = low; at < sorted.length; at++) yield sorted[at] as string;
  }
}

export class Cloud {
  readonly buckets = new Map<string, Bucket>();
  #generation = Date.now() * 1000;

  bucket(name: string): Bucket {
    const bucket = this.buckets.get(name);
    if (bucket === undefined) throw noBucket();
    return bucket;
  }

  createBucket(name: string): Bucket {
    if (!/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(name)) throw invalid(`Invalid bucket name: '${name}'`);
    if (this.buckets.has(name)) throw new Refusal(409, "conflict", "Your previous request to create it succeeded.");
    const bucket = new Bucket(name);
    this.buckets.set(name, bucket);
    return bucket;
  }

  nextGeneration(): number {
    this.#generation = Math.max(this.#generation + 1, Date.now() * 1000);
    return this.#generation;
  }
}

/** `if(Meta)Generation(Not)Match`, as the JSON API has them: 412, or 304 for a NotMatch on a read. */
export function checkConditions(query: URLSearchParams, object: StoredObject | undefined, reading = false): void {
  const generation = String(object?.generation ?? 0);
  const metageneration = String(object?.metageneration ?? 0);
  for (const [name, actual] of [
    ["ifGenerationMatch", generation],
    ["ifMetagenerationMatch", metageneration],
  ] as const) {
    const wanted = query.get(name);
    if (wanted !== null && wanted !== actual) throw conditionNotMet();
  }
  for (const [name, actual] of [
    ["ifGenerationNotMatch", generation],
    ["ifMetagenerationNotMatch", metageneration],
  ] as const) {
    if (query.get(name) !== actual) continue;
    throw reading ? new Refusal(304, "notModified", "Not Modified") : conditionNotMet();
  }
}

/** Object naming rules of the service (Cloud Storage documentation, "Object naming"). */
export function checkName(name: string | null | undefined): string {
  if (!name) throw new Refusal(400, "required", "Required parameter: name");
  if (Buffer.byteLength(name) > 1024) throw invalid("The specified object name is too long.");
  if (/[\r\n]/.test(name) || name === "." || name === ".." || name.startsWith(".well-known/acme-challenge/")) {
    throw invalid("The specified object name is not valid.");
  }
  return name;
}
