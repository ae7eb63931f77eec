/**
 * What is moved: objects as the S3 Encryption Client V2 seals them (kms+context), each under a data key of its own, or the same bytes
 * without an envelope. Everything follows from one secret and a number, so that any process knows what any object has to be.
 */
import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { crc32c } from "../../../src/core/crc32c.ts";
import { contextBytes } from "../../../src/core/key.ts";
import { KeyRing, seal as wrapKey, unseal as unwrapKey } from "../../../src/pocket/awskms/keys.ts";
import { KeyRing as GoogleRing, primary, unseal as unwrapByGoogle } from "../../../src/pocket/gcpkms/keys.ts";

export interface Dataset {
  /** The bucket it lies in. */
  readonly name: string;
  readonly count: number;
  /** Of the plaintext; 16 more are stored where it is sealed. */
  readonly sizeBytes: number;
  readonly sealed: boolean;
}

/** Material of the two AWS keys and everything else that a run derives. */
export interface Secrets {
  /** Hex of 32 bytes. */
  readonly secret: string;
}

/** The lean clouds look at no signature; clients want to make one. */
export const ACCESS_KEY = "bench";
export const SECRET_KEY = "bench-secret";
export const SOURCE_KEY = "arn:aws:kms:us-east-1:111122223333:key/5ea11f70-0000-4000-8000-000000000001";
export const DESTINATION_KEY = "arn:aws:kms:eu-west-1:111122223333:key/5ea11f70-0000-4000-8000-000000000002";

export const GOOGLE_KEY = "projects/bench/locations/europe-west3/keyRings/bench/cryptoKeys/destination";

/** Beyond this many, contents repeat (object n has content n modulo this): memory stays small, and keys and names differ still. */
const CONTENTS_MAX = 20_000;
export const contentsOf = ({ count }: Dataset): number => Math.min(count, CONTENTS_MAX);

const BASE_BYTES = 4 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
/** Bodies up to here are kept as bytes; larger ones are computed as they are sent. */
export const KEPT_BYTES_MAX = 64 * 1024;
const TAG_BYTES = 16;
const CEK = "AES/GCM/NoPadding";
const CONTEXT: ReadonlyMap<string, string> = new Map([
  ["tenant", "acme"],
  ["aws:x-amz-cek-alg", CEK],
]);

const pad = (n: number, width: number): string => String(n).padStart(width, "0");
/** A thousand to a folder; in order of their number. */
export const keyOf = (n: number): string => `d${pad(Math.floor(n / 1000), 5)}/o${pad(n, 8)}.bin`;
export const numberOf = (key: string): number => Number(key.slice(8, 16));

export interface Content {
  readonly metadata: ReadonlyMap<string, string>;
  /** As stored. */
  readonly sizeBytes: number;
  readonly crc32c: number;
  /** Bytes [start, end) as stored. */
  read(start: number, end: number): Iterator<Buffer>;
}

export class Seed {
  readonly #secret: Buffer;
  readonly #base: Buffer;
  readonly ring = new KeyRing();
  readonly googleRing = new GoogleRing();

  constructor({ secret }: Secrets) {
    this.#secret = Buffer.from(secret, "hex");
    this.#base = keystream(this.#derive("base", 0), BASE_BYTES);
    for (const arn of [SOURCE_KEY, DESTINATION_KEY]) {
      // Every process has the same key, as every door of a key service has.
      this.ring.create("", { arn }).material.set(this.#derive(arn, 0));
    }
    primary(this.googleRing.create(GOOGLE_KEY)).material.set(this.#derive(GOOGLE_KEY, 0));
  }

  #derive(what: string, n: number): Buffer {
    return createHmac("sha256", this.#secret).update(`${what} ${n}`).digest();
  }

  dataKey(content: number): Buffer {
    return this.#derive("data key", content);
  }

  content({ sizeBytes, sealed }: Dataset, number: number): Content {
    const read = (start: number, end: number) => this.#pieces(number, start, end);
    if (!sealed) return { metadata: new Map(), sizeBytes, crc32c: crcOf(read(0, sizeBytes)), read };
    const iv = this.#derive("iv", number).subarray(0, 12);
    const metadata = this.#envelope(number, iv, sizeBytes);
    const storedBytes = sizeBytes + TAG_BYTES;
    if (storedBytes <= KEPT_BYTES_MAX) {
      const body = this.#sealed(number, iv, sizeBytes);
      return { metadata, sizeBytes: storedBytes, crc32c: crc32c(body), read: (start, end) => once(body, start, end) };
    }
    const { crc, tag } = this.#tagged(number, iv, sizeBytes);
    const withTag = (start: number, end: number) =>
      joined(read(start, Math.min(end, sizeBytes)), tag, sizeBytes, start, end);
    return { metadata, sizeBytes: storedBytes, crc32c: crc32c(tag, crc), read: withTag };
  }

  /** What the object's plaintext is: of small ones the base's own bytes, of large ones whatever decrypts to the base's. */
  plaintext(number: number, sizeBytes: number): Buffer {
    return Buffer.concat([...{ [Symbol.iterator]: () => this.#pieces(number, 0, sizeBytes) }]);
  }

  #envelope(number: number, iv: Buffer, sizeBytes: number): ReadonlyMap<string, string> {
    const wrapped = wrapKey(this.ring.byArn(SOURCE_KEY), this.dataKey(number), CONTEXT);
    return new Map([
      ["x-amz-key-v2", wrapped.toString("base64")],
      ["x-amz-iv", iv.toString("base64")],
      ["x-amz-matdesc", JSON.stringify(Object.fromEntries(CONTEXT))],
      ["x-amz-wrap-alg", "kms+context"],
      ["x-amz-cek-alg", CEK],
      ["x-amz-tag-len", "128"],
      ["x-amz-unencrypted-content-length", String(sizeBytes)],
    ]);
  }

  #sealed(number: number, iv: Buffer, sizeBytes: number): Buffer {
    const cipher = createCipheriv("aes-256-gcm", this.dataKey(number), iv);
    return Buffer.concat([cipher.update(this.plaintext(number, sizeBytes)), cipher.final(), cipher.getAuthTag()]);
  }

  /** Any bytes are a ciphertext: what they decrypt to is encrypted again, for the tag that belongs to them. */
  #tagged(number: number, iv: Buffer, sizeBytes: number): { crc: number; tag: Buffer } {
    const key = this.dataKey(number);
    const decipher = createDecipheriv("aes-256-gcm", key, iv);
    const cipher = createCipheriv("aes-256-gcm", key, iv);
    let crc = 0;
    for (const pieces = this.#pieces(number, 0, sizeBytes); ; ) {
      const { value, done } = pieces.next();
      if (done) break;
      cipher.update(decipher.update(value));
      crc = crc32c(value, crc);
    }
    cipher.final();
    return { crc, tag: cipher.getAuthTag() };
  }

  /** Each piece of each content begins somewhere else in the base, so that pieces which change places are noticed. */
  *#pieces(number: number, start: number, end: number): Generator<Buffer, undefined> {
    for (let at = start; at < end; ) {
      const piece = Math.floor(at / PIECE_BYTES);
      const within = at - piece * PIECE_BYTES;
      const length = Math.min(PIECE_BYTES - within, end - at);
      const offset = (mixed(number, piece) % (BASE_BYTES - PIECE_BYTES)) + within;
      yield this.#base.subarray(offset, offset + length);
      at += length;
    }
    return undefined;
  }

  /** The data key that stands wrapped in this metadata under the destination's key; throws where it does not open. */
  openV2(metadata: ReadonlyMap<string, string>): Buffer {
    const context = new Map(
      Object.entries(JSON.parse(metadata.get("x-amz-matdesc") ?? "{}") as Record<string, string>),
    );
    const wrapped = Buffer.from(metadata.get("x-amz-key-v2") ?? "", "base64");
    if (metadata.get("x-amz-wrap-alg") === "gcp-kms+context") {
      const bound = Buffer.from(contextBytes(context));
      return unwrapByGoogle(this.googleRing.find(GOOGLE_KEY), wrapped, bound).plaintext;
    }
    const key = this.ring.named("eu-west-1", wrapped);
    if (key?.arn !== DESTINATION_KEY) throw new Error("not under the destination's key");
    return unwrapKey(key, wrapped, context);
  }
}

function mixed(number: number, piece: number): number {
  let x = (Math.imul(number + 1, 0x9e3779b1) ^ Math.imul(piece + 1, 0x85ebca6b)) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) >>> 0;
  return (x ^ (x >>> 12)) >>> 0;
}

const keystream = (key: Buffer, sizeBytes: number): Buffer =>
  createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes));

function crcOf(pieces: Iterator<Buffer>): number {
  let crc = 0;
  for (;;) {
    const { value, done } = pieces.next();
    if (done) return crc;
    crc = crc32c(value as Buffer, crc);
  }
}

function* once(body: Buffer, start: number, end: number): Generator<Buffer, undefined> {
  yield body.subarray(start, end);
  return undefined;
}

function* joined(
  body: Generator<Buffer, undefined>,
  tag: Buffer,
  tagAt: number,
  start: number,
  end: number,
): Generator<Buffer, undefined> {
  if (start < tagAt) yield* body;
  if (end > tagAt) yield tag.subarray(Math.max(start - tagAt, 0), end - tagAt);
  return undefined;
}
