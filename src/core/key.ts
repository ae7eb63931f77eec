/** Keys: where they live (KeyUri), how they travel (WrappedKey), what they are bound to (KeyContext), and the secret itself. */
import { timingSafeEqual } from "node:crypto";
import { SealiftError } from "./error.ts";

/**
 * `aws-kms://arn:aws:kms:...`, `gcp-kms://projects/.../cryptoKeys/k`, `local://name`: Tink's spelling of key URIs. A private key
 * in a PEM file, `local-rsa://name`, opens what a client wrapped and wraps nothing here.
 */
export type KeyUri = string & { readonly __keyUri: true };
export type KeyScheme = "aws-kms" | "gcp-kms" | "local" | "local-rsa";

const SHAPES: Readonly<Record<KeyScheme, RegExp>> = {
  // An ARN of a key or alias; a bare id or alias name is accepted and resolved by the Region of the client.
  "aws-kms":
    /^(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)\/[\w/+=,.@:-]{1,256}|alias\/[\w/+=,.@:-]{1,250}|[\w-]{1,128})$/,
  "gcp-kms": /^projects\/[\w:.-]{1,100}\/locations\/[\w-]{1,63}\/keyRings\/[\w-]{1,63}\/cryptoKeys\/[\w-]{1,63}$/,
  local: /^[\w.-]{1,64}$/,
  "local-rsa": /^[\w.-]{1,64}$/,
};

/** Throws JOB_INVALID where the text is not a key URI of a known scheme. */
export function keyUri(text: string): KeyUri {
  const cut = text.indexOf("://");
  const scheme = text.slice(0, Math.max(cut, 0));
  // `constructor` is no scheme, though every object has one.
  const shape = Object.hasOwn(SHAPES, scheme) ? SHAPES[scheme as KeyScheme] : undefined;
  if (shape?.test(text.slice(cut + 3))) return text as KeyUri;
  const wants = "aws-kms://arn:..., gcp-kms://projects/.../cryptoKeys/..., local://name or local-rsa://name";
  throw new SealiftError("JOB_INVALID", `not a key URI: ${JSON.stringify(text)} (expected ${wants})`);
}

export const keyScheme = (uri: KeyUri): KeyScheme => uri.slice(0, uri.indexOf("://")) as KeyScheme;
/** The provider's own name of the key: an ARN, a resource name, a file's name. */
export const keyName = (uri: KeyUri): string => uri.slice(uri.indexOf("://") + 3);

/** The AWS account or Google project that a key belongs to, as its name says; absent for local keys and for what is no full name. */
export function keyAccount(uri: KeyUri): string | undefined {
  const [, account, project] = /^(?:arn:[^:]+:kms:[^:]+:(\d{12}):|projects\/([^/]+)\/)/.exec(keyName(uri)) ?? [];
  return account ?? project;
}

/** What a data key is bound to when it is wrapped: a map of strings, order without meaning (AWS: encryption context). */
export type KeyContext = ReadonlyMap<string, string>;

/** How a client without a KMS wraps a data key: by a key of its own, which the wrapped key does not name. */
export interface RawWrap {
  readonly algorithm:
    | "AES"
    | "AESWrap"
    | "AES/GCM"
    | "RSA"
    | "RSA-OAEP-SHA1"
    | "RSA-OAEP-SHA256"
    /** The padding is not named: PKCS #1 v1.5, or OAEP with SHA-1, -256, -384 or -512 for label and mask. */
    | "RSA-unnamed"
    /** As RFC 7518 means them: the mask is by the same hash. */
    | "RSA1_5"
    | "RSA-OAEP"
    | "RSA-OAEP-256";
  /**
   * What `AES/GCM` and `RSA-OAEP-SHA1` bind to the data key, text as UTF-8; under those of RFC 7518 the text that has to stand before
   * it, in eight bytes, if any. The others bind nothing.
   */
  readonly bound: string | Uint8Array;
}

export interface WrappedKey {
  /** Which KMS can open it. */
  readonly scheme: KeyScheme;
  /** Present where no KMS wrapped it; then `uri` is not known. */
  readonly raw?: RawWrap | undefined;
  /** The key that opens it, where the envelope names it; AWS blobs name their key inside. */
  readonly uri?: KeyUri | undefined;
  readonly bytes: Uint8Array;
}

/** How a key context becomes bytes for KMSs that bind bytes. AWS binds the pairs themselves, whatever the form. */
export type ContextForm =
  /** Canonical JSON; the empty context is `{}`. What is sealed or wrapped anew has this form unless its format has another. */
  | "rfc8785"
  /** No bytes at all; for formats whose contexts are always empty (Tink). */
  | "none"
  /** As AWS Encryption SDK messages have it; the empty context is no bytes. */
  | "esdk";

/**
 * The context as bytes for KMSs that bind bytes (Google's additionalAuthenticatedData, local AES-GCM): canonical JSON of the
 * whole map, RFC 8785 (keys sorted by UTF-16 code unit, no white space, raw UTF-8); the empty map is `{}`.
 */
export function contextBytes(context: KeyContext, form: ContextForm = "rfc8785"): Uint8Array {
  if (form === "none") {
    if (context.size === 0) return new Uint8Array(0);
    throw new SealiftError("INTERNAL", "a key context was to be bound as nothing");
  }
  if (form === "esdk") return pairBytes([...context].sort(byNameBytes));
  // Default sort compares UTF-16 code units, which is RFC 8785's order.
  const names = [...context.keys()].sort();
  const pairs = names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(context.get(name))}`);
  return new TextEncoder().encode(`{${pairs.join(",")}}`);
}

const byNameBytes = ([a]: readonly [string, string], [b]: readonly [string, string]): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));

/**
 * Pairs as AWS Encryption SDK messages hold them, in the order given (AWS Encryption SDK specification, data-format/message-header.md,
 * AAD): `count: u16`, then of each `length: u16 | name | length: u16 | value`; nothing where there are none. Throws TOO_LARGE.
 */
export function pairBytes(pairs: Iterable<readonly [string, string]>): Uint8Array {
  const parts = [...pairs].map((pair) => pair.flatMap((text) => [u16(Buffer.byteLength(text)), Buffer.from(text)]));
  return parts.length === 0 ? new Uint8Array(0) : Buffer.concat([u16(parts.length), ...parts.flat()]);
}

function u16(value: number): Buffer {
  if (value > 0xffff) throw new SealiftError("TOO_LARGE", `the key context holds ${value} where 65535 are the most`);
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

/**
 * A plaintext data key. It cannot be printed, serialised or kept: `reveal()` is legal in `kms/`, `envelope/` (and the pocket
 * clouds' KMS) only, which the layer test checks, and whoever receives one wipes it in a `finally`.
 */
export class DataKey {
  readonly #bytes: Buffer;
  #wiped = false;

  /** Copies the bytes; the caller wipes its own. */
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }

  get sizeBytes(): number {
    return this.#bytes.length;
  }

  reveal(): Uint8Array {
    if (this.#wiped) throw new SealiftError("INTERNAL", "a data key was used after it was wiped");
    return this.#bytes;
  }

  /** Constant time for keys of equal length. */
  equals(other: DataKey): boolean {
    return this.#bytes.length === other.#bytes.length && timingSafeEqual(this.reveal(), other.reveal());
  }

  wipe(): void {
    this.#bytes.fill(0);
    this.#wiped = true;
  }

  [Symbol.dispose](): void {
    this.wipe();
  }

  toJSON(): never {
    throw new SealiftError("INTERNAL", "a data key may not be serialised");
  }

  toString(): string {
    return "[data key]";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[data key]";
  }
}
