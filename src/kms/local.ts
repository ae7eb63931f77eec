/**
 * Keys in files, for one machine, for tests and for the demo: `local://name` is `<directory>/<name>.key`, one line of base64 of
 * 32 bytes, mode 0600, in a directory of mode 0700, both ours. What it wraps looks like this:
 *
 *   0        1                9            21                        21 + n            37 + n
 *   +--------+----------------+------------+-------------------------+-----------------+
 *   |  0x01  |  fingerprint   |     iv     |   ciphertext, n bytes   |       tag       |
 *   +--------+----------------+------------+-------------------------+-----------------+
 *   version   of the file's key  random      AES-256-GCM (NIST SP 800-38D)
 *
 *   additional data = bytes 0..9, then the key context as canonical JSON (RFC 8785)
 *
 * The fingerprint is public: it says which key opens the rest when the envelope does not. The same files open what clients
 * wrapped under a bare AES key (local/aes.ts).
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import {
  type ContextForm,
  contextBytes,
  DataKey,
  type KeyContext,
  type KeyUri,
  keyUri,
  type RawWrap,
  type WrappedKey,
} from "../core/key.ts";
import { cannotOpen, checkDataKeySize, isPlausible, nameOf } from "./answer.ts";
import type { Kms, Unwrapped } from "./kms.ts";
import { openAesWrap } from "./local/aes.ts";
import { checkDirectory, keyFileError, namesIn, readPrivate, reason } from "./local/keyfile.ts";
import { onlyOne } from "./local/raw.ts";

export interface LocalKmsOptions {
  readonly directory: string;
  /** What clients wrapped without a KMS names no key: it is tried under these; absent: under every key of the directory. */
  readonly raw?: readonly KeyUri[] | undefined;
}

const VERSION = 1;
const HEADER_BYTES = 9;
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Of what wraps here, and of what is created. */
const KEY_BYTES = 32;
/** Clients have also wrapped under shorter AES keys: such a file opens what they wrapped, and nothing else. */
const RAW_KEY_SIZES = [16, 24, KEY_BYTES];
/** 44 characters of base64 and an end of line. */
const FILE_BYTES_MAX = 64;
const SUFFIX = ".key";

export const openLocalKms = (options: LocalKmsOptions): Kms => new LocalKms(options);

/** Creates `<directory>/<name>.key` with a random key; KEY_FILE where it exists already. */
export async function createLocalKey(directory: string, name: string): Promise<KeyUri> {
  const uri = keyUri(`local://${name}`);
  await checkDirectory(directory);
  const key = randomBytes(KEY_BYTES);
  const path = join(directory, name + SUFFIX);
  let file: FileHandle | undefined;
  try {
    // Create-only: a key that is replaced takes everything it ever wrapped with it.
    file = await open(path, "wx", 0o600);
    await file.writeFile(`${key.toString("base64")}\n`);
    await file.sync();
  } catch (error) {
    throw keyFileError(path, (error as NodeJS.ErrnoException).code === "EEXIST" ? "exists already" : reason(error));
  } finally {
    key.fill(0);
    await file?.close();
  }
  return uri;
}

interface LoadedKey {
  readonly uri: KeyUri;
  readonly key: DataKey;
  /** Version and fingerprint, as they open every wrapped key. */
  readonly header: Buffer;
}

class LocalKms implements Kms {
  readonly scheme = "local";
  readonly #directory: string;
  readonly #raw: readonly KeyUri[] | undefined;
  readonly #keys = new Map<string, Promise<LoadedKey>>();

  constructor({ directory, raw }: LocalKmsOptions) {
    this.#directory = directory;
    this.#raw = raw;
  }

  async wrap(
    key: KeyUri,
    dataKey: DataKey,
    context: KeyContext,
    signal: AbortSignal,
    form?: ContextForm,
  ): Promise<WrappedKey> {
    signal.throwIfAborted();
    checkDataKeySize(dataKey.sizeBytes);
    const { key: wrapping, header } = await this.#wrapping(nameOf(key, this.scheme));
    signal.throwIfAborted();
    // Random 96-bit nonces are safe for 2^32 keys under one file (SP 800-38D 8.3).
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv("aes-256-gcm", wrapping.reveal(), iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.concat([header, contextBytes(context, form)]));
    const ciphertext = Buffer.concat([cipher.update(dataKey.reveal()), cipher.final()]);
    return { scheme: "local", uri: key, bytes: Buffer.concat([header, iv, ciphertext, cipher.getAuthTag()]) };
  }

  async unwrap(
    wrapped: WrappedKey,
    context: KeyContext,
    signal: AbortSignal,
    form?: ContextForm,
  ): Promise<Unwrapped | undefined> {
    if (wrapped.scheme !== this.scheme) return undefined;
    signal.throwIfAborted();
    if (wrapped.raw) return this.#unwrapRaw(wrapped.raw, wrapped.bytes, signal);
    const loaded = await this.#find(wrapped);
    signal.throwIfAborted();
    const bytes = Buffer.from(wrapped.bytes.buffer, wrapped.bytes.byteOffset, wrapped.bytes.byteLength);
    const where = loaded?.uri ?? wrapped.uri ?? "any local key";
    if (!loaded || !isPlausible(bytes) || bytes.length <= HEADER_BYTES + IV_BYTES + TAG_BYTES) throw cannotOpen(where);
    return { dataKey: decrypt(loaded, bytes, contextBytes(context, form)), by: loaded.uri };
  }

  async check(key: KeyUri, use: "wrap" | "unwrap", signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const name = nameOf(key, this.scheme);
    await (use === "wrap" ? this.#wrapping(name) : this.#load(name));
  }

  async close(): Promise<void> {
    const loading = [...this.#keys.values()];
    this.#keys.clear();
    for (const load of await Promise.allSettled(loading)) if (load.status === "fulfilled") load.value.key.wipe();
  }

  async #unwrapRaw(raw: RawWrap, bytes: Uint8Array, signal: AbortSignal): Promise<Unwrapped> {
    const names = this.#raw?.map((uri) => nameOf(uri, this.scheme)) ?? (await namesIn(this.#directory, SUFFIX));
    const keys = await Promise.all(names.map((name) => this.#load(name)));
    signal.throwIfAborted();
    return onlyOne(this.scheme, keys, ({ key }) => openAesWrap(key.reveal(), raw, bytes));
  }

  async #find(wrapped: WrappedKey): Promise<LoadedKey | undefined> {
    if (wrapped.uri !== undefined) return this.#wrapping(nameOf(wrapped.uri, this.scheme));
    for (const name of await namesIn(this.#directory, SUFFIX)) {
      const loaded = await this.#load(name);
      if (loaded.key.sizeBytes === KEY_BYTES && loaded.header.equals(wrapped.bytes.subarray(0, HEADER_BYTES)))
        return loaded;
    }
    return undefined;
  }

  async #wrapping(name: string): Promise<LoadedKey> {
    const loaded = await this.#load(name);
    if (loaded.key.sizeBytes === KEY_BYTES) return loaded;
    throw keyFileError(join(this.#directory, name + SUFFIX), `holds ${loaded.key.sizeBytes} bytes: wrapping takes 32`);
  }

  /** Read once and kept until `close`: a worker that looked at the file for every object would spend its time there. */
  #load(name: string): Promise<LoadedKey> {
    const known = this.#keys.get(name);
    if (known) return known;
    const loading = readKey(this.#directory, name);
    this.#keys.set(name, loading);
    // A failure is not kept: the operator mends the file and resumes.
    loading.catch(() => this.#keys.delete(name));
    return loading;
  }
}

function decrypt(loaded: LoadedKey, bytes: Buffer, bound: Uint8Array): DataKey {
  const bodyAt = HEADER_BYTES + IV_BYTES;
  const tagAt = bytes.length - TAG_BYTES;
  const iv = bytes.subarray(HEADER_BYTES, bodyAt);
  const decipher = createDecipheriv("aes-256-gcm", loaded.key.reveal(), iv, { authTagLength: TAG_BYTES });
  // The file's own header is bound, not the one received: another version or fingerprint cannot pass.
  decipher.setAAD(Buffer.concat([loaded.header, bound]));
  decipher.setAuthTag(bytes.subarray(tagAt));
  const plain = decipher.update(bytes.subarray(bodyAt, tagAt));
  try {
    decipher.final();
    if (!loaded.header.equals(bytes.subarray(0, HEADER_BYTES))) throw cannotOpen(loaded.uri);
    return new DataKey(plain);
  } catch {
    throw cannotOpen(loaded.uri);
  } finally {
    plain.fill(0);
  }
}

async function readKey(directory: string, name: string): Promise<LoadedKey> {
  const uri = keyUri(`local://${name}`);
  const path = join(directory, name + SUFFIX);
  // The string of it that base64 needs cannot be wiped; the buffers are.
  return readPrivate(directory, path, FILE_BYTES_MAX, (bytes) => decode(uri, path, bytes.toString("latin1")));
}

function decode(uri: KeyUri, path: string, text: string): LoadedKey {
  const bytes = Buffer.from(text.trimEnd(), "base64");
  try {
    // Written again and compared: Buffer reads over whatever is not base64.
    if (!RAW_KEY_SIZES.includes(bytes.length) || bytes.toString("base64") !== text.replace(/\r?\n$/, "")) {
      throw keyFileError(path, "is not one line of base64 of 32 bytes (16 or 24 only open what clients wrapped)");
    }
    const digest = createHash("sha256").update("sealift local key\n").update(bytes).digest();
    const header = Buffer.concat([Buffer.from([VERSION]), digest.subarray(0, HEADER_BYTES - 1)]);
    return { uri, key: new DataKey(bytes), header };
  } finally {
    bytes.fill(0);
  }
}
