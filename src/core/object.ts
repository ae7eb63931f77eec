/** Objects as every store sees them: opaque bytes under a key, with a head. */

export type ByteStream = AsyncIterable<Uint8Array>;

/** What is set on an object beside its bytes, by whoever wrote it. Absent fields were not set. */
export interface Attributes {
  /** User metadata, names without the provider's prefix (`x-amz-meta-`, `x-goog-meta-`), values decoded to Unicode. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly contentType?: string | undefined;
  readonly contentEncoding?: string | undefined;
  readonly contentLanguage?: string | undefined;
  readonly contentDisposition?: string | undefined;
  readonly cacheControl?: string | undefined;
  /** The Expires header as text; providers without it carry it as metadata. */
  readonly expires?: string | undefined;
}

/** How the provider itself encrypts the object at rest; never a client-side envelope. */
export interface AtRest {
  readonly mode: "none" | "SSE-S3" | "SSE-KMS" | "DSSE-KMS" | "SSE-C" | "google-managed" | "CMEK" | "CSEK";
  readonly keyName?: string | undefined;
}

export interface ObjectHead {
  readonly key: string;
  readonly sizeBytes: number;
  /** S3 version id (absent in unversioned buckets) or GCS generation. */
  readonly version?: string | undefined;
  /** Opaque, without quotes. Changes whenever the bytes change. */
  readonly etag: string;
  readonly lastModifiedMs: number;
  /** Of the whole object, when the provider states it. */
  readonly crc32c?: number | undefined;
  /** Hex MD5 of the whole object, only where the provider states that it is one (GCS md5Hash; S3 single-part SSE-S3 ETag). */
  readonly md5?: string | undefined;
  readonly storageClass?: string | undefined;
  readonly atRest: AtRest;
  readonly attributes: Attributes;
}

/** One row of a listing. `metadata` and `crc32c` only where LIST returns them (GCS, memory, file). */
export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly etag: string;
  readonly version?: string | undefined;
  readonly lastModifiedMs: number;
  readonly storageClass?: string | undefined;
  readonly head?: ObjectHead | undefined;
  /** How an earlier migration left this version of it at the destination (core/stood.ts). */
  readonly stood?: string | undefined;
}

/** Pins a read or a write to what was seen: the version where there is one, else the ETag. */
export interface VersionPin {
  readonly version?: string | undefined;
  readonly etag: string;
}

/** Keys in (after, until], in UTF-8 byte order. Absent ends are open. */
export interface KeyRange {
  readonly after?: string | undefined;
  readonly until?: string | undefined;
}

/**
 * UTF-8 byte order, the order of every store's listing. JavaScript's `<` is UTF-16 order and disagrees from U+E000 up
 * (U+FF5E against an emoji), which would put gaps into key ranges.
 */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates (code points above U+FFFF) sort after U+E000..U+FFFF in UTF-8. */
const rank = (unit: number): number => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800);

export const inRange = (key: string, range: KeyRange): boolean =>
  (range.after === undefined || compareKeys(key, range.after) > 0) &&
  (range.until === undefined || compareKeys(key, range.until) <= 0);
