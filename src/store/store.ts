/** The contract of object stores. Drivers stand beside this file; only compose.ts and tests import them. */
import type { Attributes, ByteStream, KeyRange, ListedObject, ObjectHead, VersionPin } from "../core/object.ts";

export interface StoreTraits {
  /** As in a URL: `s3`, `gs`, `file`, `memory`. */
  readonly scheme: string;
  /** Sum of UTF-8 bytes of metadata names and values. */
  readonly metadataBytesMax: number;
  readonly metadataNameBytesMax: number;
  readonly metadataValueBytesMax: number;
  /** ascii-lower: names must be lower-case HTTP tokens (S3). any: case and Unicode are kept (GCS JSON, file). */
  readonly metadataNames: "ascii-lower" | "any";
  readonly keyBytesMax: number;
  readonly objectBytesMax: number;
  /** True where `Content-Encoding: gzip` makes the provider or its clients unpack on read: never set it on ciphertext there. */
  readonly transcodesGzip: boolean;
  /** True where the Expires header is kept. */
  readonly keepsExpires: boolean;
  /** True where rows of `list` carry `head`. */
  readonly listsHeads: boolean;
  /** True where `put` can place the bytes under a named provider-side key (`serverKeyName`). */
  readonly serverKeys: boolean;
}

export interface OpenOptions {
  readonly ifVersion?: VersionPin | undefined;
  /** Bytes [start, end). */
  readonly range?: { readonly start: number; readonly end: number } | undefined;
  readonly signal: AbortSignal;
}

export interface OpenObject {
  readonly head: ObjectHead;
  /**
   * Exactly `head.sizeBytes` bytes (or the range's), else STORE_CUT is thrown from the iteration. Stopping early (`return`)
   * frees the connection. An unread body must be dismissed with `cancel`.
   */
  readonly body: ByteStream;
  cancel(): Promise<void>;
}

export interface PutOptions {
  /** The exact length of the body, known before the first byte. A body of another length is STORE_CUT and nothing is written. */
  readonly sizeBytes: number;
  /** CRC32C of the whole body where the caller knows it beforehand. */
  readonly crc32c?: number | undefined;
  readonly attributes: Attributes;
  /** `absent`: create-only, STORE_EXISTS otherwise. A pin: replace exactly that version, STORE_CHANGED otherwise. `any`: replace. */
  readonly condition: "absent" | "any" | VersionPin;
  /** Provider-side key (GCS CMEK resource name, AWS KMS ARN) under which the provider encrypts at rest. */
  readonly serverKeyName?: string | undefined;
  readonly signal: AbortSignal;
}

export interface PutReceipt {
  readonly head: ObjectHead;
  /** CRC32C that the driver computed over the bytes it sent. The driver has compared it with the provider's own, where stated. */
  readonly crc32c: number;
}

/** An upload in parts. Whoever has its name can go on with it, in any process and after any crash. */
export interface PartUpload {
  readonly key: string;
  /** As `begin` gave it. */
  readonly id: string;
  /** As it was given to `begin`. */
  readonly serverKeyName?: string | undefined;
}

export interface PartLimits {
  /** Of every part but the last. */
  readonly partBytesMin: number;
  readonly partBytesMax: number;
  readonly partsMax: number;
}

/** What the store holds of an upload: one part, or neighbours that it has joined already. */
export interface HeldPart {
  /** Part numbers, from 1; equal for a single part. */
  readonly first: number;
  readonly last: number;
  readonly sizeBytes: number;
  /** Absent where the store does not state it: then only `tag` says whether these are the bytes that were sent. */
  readonly crc32c?: number | undefined;
  /** Of these bytes in this upload: changes whenever they are written again under a provider's key, at least when they differ. */
  readonly tag: string;
}

/** Part numbers, both included. */
export interface PartRange {
  readonly first: number;
  readonly last: number;
}

export interface BegunUpload {
  readonly id: string;
  readonly begunMs: number;
}

export interface CompleteOptions {
  /** From 1 to the last part without a gap, each with its CRC32C. */
  readonly parts: readonly HeldPart[];
  readonly sizeBytes: number;
  /** Of the whole object. */
  readonly crc32c: number;
  readonly condition: PutOptions["condition"];
  readonly signal: AbortSignal;
}

/** Writing one object from several processes at once. Until `complete`, nothing stands under the key. */
export interface PartStore {
  readonly limits: PartLimits;
  /** Attributes and provider-side key are fixed here. */
  begin(key: string, options: Omit<PutOptions, "condition" | "crc32c">): Promise<string>;
  /** The body is held in memory under the process's allowance, part by part. A part that is there already is replaced. */
  put(
    upload: PartUpload,
    number: number,
    body: ByteStream,
    options: Pick<PutOptions, "sizeBytes" | "crc32c" | "signal">,
  ): Promise<HeldPart>;
  /** In ascending order, without overlap; of `only`, where given. undefined: there is no such upload. */
  list(upload: PartUpload, signal: AbortSignal, only?: PartRange): Promise<readonly HeldPart[] | undefined>;
  /** All or nothing, under its condition, and only as the bytes that `crc32c` says. The upload is gone afterwards. */
  complete(upload: PartUpload, options: CompleteOptions): Promise<PutReceipt>;
  /** Absence is success. */
  abort(upload: PartUpload, signal: AbortSignal): Promise<void>;
  /** Those under way under exactly this key, whoever began them. */
  uploads(key: string, signal: AbortSignal): Promise<readonly BegunUpload[]>;
}

export interface ListPage {
  readonly objects: readonly ListedObject[];
  /** True on the last page of the range. */
  readonly last: boolean;
}

export interface ObjectStore {
  readonly traits: StoreTraits;
  /** Absent where an object cannot be written from several processes. */
  readonly parts?: PartStore | undefined;
  /** What a person reads in messages: `s3://bucket at https://...`. */
  readonly name: string;
  /** Absence is an answer here, not an error. */
  head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined>;
  /** One request returns head and bytes together. Absence is STORE_NOT_FOUND, another version STORE_CHANGED, bytes lost STORE_CUT. */
  open(key: string, options: OpenOptions): Promise<OpenObject>;
  /** All or nothing: until it resolves, the key is as it was. An error thrown by `body` is the error of the put. */
  put(key: string, body: ByteStream, options: PutOptions): Promise<PutReceipt>;
  /** Each key once, ascending in UTF-8 byte order, in (after, until]. A page that cannot be read whole is an error, never an end. */
  list(prefix: string, range: KeyRange, signal: AbortSignal): AsyncIterable<ListPage>;
  /** Present where things may lie in the store that are no objects, so that no listing shows them: those, as if they were. */
  strangers?(signal: AbortSignal): AsyncIterable<ListedObject>;
  /** Absence is success. */
  remove(key: string, signal: AbortSignal): Promise<void>;
  /** Frees sockets. The store is not used afterwards. */
  close(): Promise<void>;
}
