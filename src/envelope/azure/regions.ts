/**
 * Bodies of protocols 2.0 and 2.1: regions of AES-256-GCM, each with its nonce before it and no additional data (azure-sdk-for-python,
 * azure/storage/blob/_encryption.py). All but the last hold the same number of bytes.
 *
 *   | nonce: 12 | ciphertext: 1 to n | tag: 16 | nonce: 12 | ...
 *
 * The nonces count the regions, each client in its own way, and that keeps them in their order; a body that ends between two regions
 * cannot be told from a whole one. Plaintext of a region leaves before its tag is seen.
 */
import { createDecipheriv, type DecipherGCM } from "node:crypto";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream } from "../../core/object.ts";
import { forged } from "../s3ec/forged.ts";
import { malformed } from "./names.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const EXTRA_BYTES = NONCE_BYTES + TAG_BYTES;
/** Far above what any store holds in one object; still an exact number. */
const PLAIN_BYTES_MAX = 2 ** 52;

/** The nonce of a region by its number, as Python, Java and .NET count. */
const STYLES: readonly ((index: number) => Buffer)[] = [
  (index) => nonceOf((nonce) => nonce.writeBigUInt64BE(BigInt(index), 4)),
  (index) => nonceOf((nonce) => nonce.writeBigUInt64BE(BigInt(index), 0)),
  (index) => nonceOf((nonce) => nonce.writeBigUInt64LE(BigInt(index) + 1n, 4)),
];

function nonceOf(write: (nonce: Buffer) => unknown): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  write(nonce);
  return nonce;
}

/** A region on its way through. */
interface Region {
  readonly decipher: DecipherGCM;
  /** Bytes of ciphertext and tag that it may still have. */
  left: number;
}

class Regions {
  readonly #key: Uint8Array;
  readonly #regionBytes: number;
  #styles = STYLES;
  #index = 0;
  #region: Region | undefined;
  #held: Buffer = Buffer.alloc(0);

  constructor(key: Uint8Array, regionBytes: number) {
    this.#key = key;
    this.#regionBytes = regionBytes;
  }

  /** The plaintext that is certain now. The chunk may be reused afterwards. */
  *push(chunk: Uint8Array): Generator<Uint8Array> {
    this.#held = Buffer.concat([this.#held, chunk]);
    for (;;) {
      const region = (this.#region ??= this.#begin());
      if (region === undefined) return;
      const isWhole = this.#held.length >= region.left;
      const certain = (isWhole ? region.left : this.#held.length) - TAG_BYTES;
      if (certain > 0) {
        yield region.decipher.update(this.#take(certain));
        region.left -= certain;
      }
      if (!isWhole) return;
      this.#close(region);
    }
  }

  /** The last region is shorter than the others, or as long. */
  end(): void {
    const region = this.#region;
    if (region === undefined) {
      if (this.#held.length > 0) throw forged();
      return;
    }
    // Only a blob without a byte may be one region without a byte.
    const isEmpty = region.left === this.#regionBytes + TAG_BYTES;
    if (this.#held.length !== TAG_BYTES || (isEmpty && this.#index > 1)) throw forged();
    this.#close(region);
  }

  #begin(): Region | undefined {
    if (this.#held.length < NONCE_BYTES) return undefined;
    const nonce = this.#take(NONCE_BYTES);
    const index = this.#index++;
    this.#styles = this.#styles.filter((style) => style(index).equals(nonce));
    if (this.#styles.length === 0) throw forged();
    const decipher = createDecipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
    return { decipher, left: this.#regionBytes + TAG_BYTES };
  }

  #close({ decipher }: Region): void {
    try {
      decipher.setAuthTag(this.#take(TAG_BYTES)).final();
    } catch {
      throw forged();
    }
    this.#region = undefined;
  }

  #take(bytes: number): Buffer {
    const taken = this.#held.subarray(0, bytes);
    this.#held = this.#held.subarray(bytes);
    return taken;
  }
}

/** `key`: 32 bytes. Any change but a cut between regions ends in the same SEAL_FORGED, after the plaintext that was before it. */
export async function* openRegions(ciphertext: ByteStream, key: Uint8Array, regionBytes: number): ByteStream {
  const regions = new Regions(key, regionBytes);
  for await (const chunk of ciphertext) yield* regions.push(chunk);
  regions.end();
}

export function regionsSealedSize(plainBytes: number, regionBytes: number): number {
  if (plainBytes > PLAIN_BYTES_MAX) throw new SealiftError("TOO_LARGE", "larger than Azure's objects may be");
  return plainBytes + EXTRA_BYTES * Math.ceil(plainBytes / regionBytes);
}

/** Throws SEAL_MALFORMED where no plaintext has this sealed size. */
export function regionsPlainSize(sealedBytes: number, regionBytes: number): number {
  const whole = Math.floor(sealedBytes / (regionBytes + EXTRA_BYTES));
  const rest = sealedBytes % (regionBytes + EXTRA_BYTES);
  const isLone = whole === 0 && rest === EXTRA_BYTES;
  if (rest > 0 && rest <= EXTRA_BYTES && !isLone) throw malformed(`no body in regions has ${sealedBytes} bytes`);
  return whole * regionBytes + Math.max(0, rest - EXTRA_BYTES);
}
