/**
 * RSA private keys in files: `local-rsa://name` is `<directory>/<name>.pem`, PKCS #8 or PKCS #1, not encrypted, mode 0600. They
 * open what the S3 Encryption Client's RSA keyrings and Azure's clients wrapped, and wrap nothing: what is written new is under a KMS or
 * a local key.
 *
 *   RSA               PKCS #1 v1.5 of the data key; or the data key alone, which is what BouncyCastle makes of the same name
 *   RSA-OAEP-SHA256   OAEP of the data key; mask by SHA-1 (SunJCE) or SHA-256 (BouncyCastle)
 *   RSA-unnamed       one of: OAEP of the data key, mask by the same hash (SHA-1, -256, -384, -512); PKCS #1 v1.5 of it
 *   RSA-OAEP-SHA1     OAEP of | n: 1 byte | data key: n | content algorithm |
 *   RSA1_5            PKCS #1 v1.5 of | name: 0 or 8 bytes | data key: 32 |
 *   RSA-OAEP, -256    OAEP of the same; hash and mask by SHA-1, SHA-256
 *
 * The library's copy of a private key cannot be wiped; it lives until the process ends.
 */
import { constants, createPrivateKey, type KeyObject, privateDecrypt, timingSafeEqual } from "node:crypto";
import { join } from "node:path";
import { SealiftError } from "../../core/error.ts";
import { type KeyUri, keyUri, type RawWrap, type WrappedKey } from "../../core/key.ts";
import { nameOf } from "../answer.ts";
import type { Kms, Unwrapped } from "../kms.ts";
import { keyFileError, namesIn, readPrivate } from "./keyfile.ts";
import { fromOaep, fromPkcs1, fromTextbook, type Hash } from "./padding.ts";
import { AZURE_KEY_SIZES, boundBytes, DATA_KEY_SIZES, onlyOne } from "./raw.ts";

export interface RsaKmsOptions {
  readonly directory: string;
  /** Keys to try; absent: every key of the directory. */
  readonly raw?: readonly KeyUri[] | undefined;
}

const SUFFIX = ".pem";
/** A key of 8,192 bits is about 6,400 characters. */
const FILE_BYTES_MAX = 16 * 1024;
/** Of what Azure's clients put before a key. */
const NAME_BYTES = 8;
const AES_256_BYTES = 32;
const MODULUS_BITS_MIN = 1024;
const MODULUS_BITS_MAX = 8192;

const HASHES: readonly Hash[] = ["sha1", "sha256", "sha384", "sha512"];

export const openRsaKms = (options: RsaKmsOptions): Kms => new RsaKms(options);

interface LoadedKey {
  readonly uri: KeyUri;
  readonly key: KeyObject;
  readonly modulusBytes: number;
}

class RsaKms implements Kms {
  readonly scheme = "local-rsa";
  readonly #options: RsaKmsOptions;
  readonly #keys = new Map<string, Promise<LoadedKey>>();

  constructor(options: RsaKmsOptions) {
    this.#options = options;
  }

  async wrap(key: KeyUri): Promise<WrappedKey> {
    throw new SealiftError("KMS_KEY_UNUSABLE", `${nameOf(key, this.scheme)}: ${this.scheme} keys open and do not wrap`);
  }

  async unwrap(wrapped: WrappedKey, _: unknown, signal: AbortSignal): Promise<Unwrapped | undefined> {
    const { scheme, raw, bytes } = wrapped;
    if (scheme !== this.scheme || raw === undefined) return undefined;
    signal.throwIfAborted();
    const { directory, raw: listed } = this.#options;
    const names = listed?.map((uri) => nameOf(uri, this.scheme)) ?? (await namesIn(directory, SUFFIX));
    const keys = await Promise.all(names.map((name) => this.#load(name)));
    signal.throwIfAborted();
    return onlyOne(this.scheme, keys, (key) => openRsaWrap(key, raw, bytes));
  }

  async check(key: KeyUri, use: "wrap" | "unwrap", signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (use === "wrap") await this.wrap(key);
    await this.#load(nameOf(key, this.scheme));
  }

  async close(): Promise<void> {
    this.#keys.clear();
  }

  /** Read once and kept until `close`. */
  #load(name: string): Promise<LoadedKey> {
    const known = this.#keys.get(name);
    if (known) return known;
    const loading = readKey(this.#options.directory, name);
    this.#keys.set(name, loading);
    // A failure is not kept: the operator mends the file and resumes.
    loading.catch(() => this.#keys.delete(name));
    return loading;
  }
}

function openRsaWrap({ key, modulusBytes }: LoadedKey, raw: RawWrap, bytes: Uint8Array): Buffer | undefined {
  if (bytes.length !== modulusBytes) return undefined;
  const block = decrypted(key, bytes);
  if (block === undefined) return undefined;
  const again = Buffer.from(block);
  try {
    return dataKeyIn(block, again, raw);
  } finally {
    block.fill(0);
    again.fill(0);
  }
}

/** A number that is not below the modulus is no ciphertext of this key. */
function decrypted(key: KeyObject, bytes: Uint8Array): Buffer | undefined {
  try {
    return privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, bytes);
  } catch {
    return undefined;
  }
}

/** `again` is the same block: unmasking works in place. */
function dataKeyIn(block: Buffer, again: Buffer, { algorithm, bound }: RawWrap): Buffer | undefined {
  switch (algorithm) {
    case "RSA":
      return fromPkcs1(block, DATA_KEY_SIZES) ?? fromTextbook(again);
    case "RSA-OAEP-SHA256":
      return ofKeySize(fromOaep(block, "sha256", "sha1")) ?? ofKeySize(fromOaep(again, "sha256", "sha256"));
    case "RSA-unnamed":
      return unnamed(block);
    case "RSA-OAEP-SHA1":
      return beforeName(fromOaep(block, "sha1", "sha1"), bound);
    case "RSA1_5":
      return behindName(fromPkcs1(block, AZURE_KEY_SIZES), bound);
    case "RSA-OAEP":
      return behindName(fromOaep(block, "sha1", "sha1"), bound);
    case "RSA-OAEP-256":
      return behindName(fromOaep(block, "sha256", "sha256"), bound);
    default:
      return undefined;
  }
}

/** Padded in one of five ways. All are tried, so that the time taken says nothing about which of them it was not. */
function unnamed(block: Buffer): Buffer | undefined {
  const opened = HASHES.map((hash) => {
    const own = Buffer.from(block);
    const message = ofKeySize(fromOaep(own, hash, hash));
    own.fill(0);
    return message;
  });
  const found = [...opened, fromPkcs1(block, DATA_KEY_SIZES)].filter((message) => message !== undefined);
  for (const other of found.slice(1)) other.fill(0);
  return found[0];
}

function ofKeySize(message: Buffer | undefined): Buffer | undefined {
  if (message === undefined || DATA_KEY_SIZES.includes(message.length)) return message;
  message.fill(0);
  return undefined;
}

/**
 * A block of another key that passes for PKCS #1 by chance has no such name before its key: told here, and in the same words, because
 * whoever was told apart the two could search for blocks that pass (Bleichenbacher 1998).
 */
function behindName(message: Buffer | undefined, bound: RawWrap["bound"]): Buffer | undefined {
  if (message === undefined) return undefined;
  const name = boundBytes(bound);
  const prefix = Buffer.alloc(name.length === 0 ? 0 : NAME_BYTES);
  prefix.set(name);
  const isWhole = message.length === prefix.length + AES_256_BYTES;
  if (isWhole && timingSafeEqual(message.subarray(0, prefix.length), prefix)) return message;
  message.fill(0);
  return undefined;
}

function beforeName(message: Buffer | undefined, bound: RawWrap["bound"]): Buffer | undefined {
  if (message === undefined) return undefined;
  const size = message[0] ?? 0;
  const isWhole = message.subarray(1 + size).equals(boundBytes(bound));
  const dataKey = isWhole ? ofKeySize(Buffer.from(message.subarray(1, 1 + size))) : undefined;
  message.fill(0);
  return dataKey;
}

async function readKey(directory: string, name: string): Promise<LoadedKey> {
  const uri = keyUri(`local-rsa://${name}`);
  const path = join(directory, name + SUFFIX);
  return readPrivate(directory, path, FILE_BYTES_MAX, (bytes) => {
    const key = parsed(bytes, path);
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    if (key.asymmetricKeyType !== "rsa" || bits < MODULUS_BITS_MIN || bits > MODULUS_BITS_MAX) {
      throw keyFileError(path, `is not an RSA key of ${MODULUS_BITS_MIN} to ${MODULUS_BITS_MAX} bits`);
    }
    return { uri, key, modulusBytes: Math.ceil(bits / 8) };
  });
}

/** Without the library's own words: they may quote the file. */
function parsed(bytes: Buffer, path: string): KeyObject {
  if (bytes.length > FILE_BYTES_MAX) throw keyFileError(path, `is larger than ${FILE_BYTES_MAX} bytes`);
  try {
    return createPrivateKey({ key: bytes, format: "pem" });
  } catch {
    throw keyFileError(path, "is not a private key in PEM, or an encrypted one");
  }
}
