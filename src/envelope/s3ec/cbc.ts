/**
 * AES-CBC bodies with PKCS #7 padding (RFC 5652, 6.3), 16-byte IV. Read only: nothing new is sealed this way.
 *
 *   | n bytes of plaintext + 1..16 bytes of padding, in blocks of 16 |
 *
 * There is no integrity: a changed body opens to other bytes, mostly without a sign.
 */
import { createDecipheriv } from "node:crypto";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream } from "../../core/object.ts";
import { forged } from "./forged.ts";
import { malformed } from "./names.ts";
import { Tail } from "./tail.ts";

export const CBC_IV_BYTES = 16;
const BLOCK_BYTES = 16;
/** 2^48 blocks, the limit of the Java client; still an exact number here. */
const CBC_PLAIN_BYTES_MAX = 2 ** 52;

/** A cut, an empty body and bad padding end in the same SEAL_FORGED. */
export async function* openCbc(ciphertext: ByteStream, key: Uint8Array, iv: Uint8Array): ByteStream {
  const decipher = createDecipheriv(`aes-${key.length * 8}-cbc`, key, iv).setAutoPadding(false);
  const tail = new Tail();
  for await (const chunk of ciphertext) {
    const certain = tail.push(chunk);
    const opened = certain.length > 0 ? decipher.update(certain) : certain;
    if (opened.length > 0) yield opened;
  }
  if (tail.totalBytes === 0 || tail.totalBytes % BLOCK_BYTES !== 0) throw forged();
  const last = unpadded(decipher.update(tail.bytes));
  if (last.length > 0) yield last;
}

/** Reads all 16 bytes whatever they hold, so that the time taken says nothing about where the padding broke. */
function unpadded(block: Buffer): Uint8Array {
  const padding = block[BLOCK_BYTES - 1] ?? 0;
  let wrong = ((padding - 1) >>> 31) | ((BLOCK_BYTES - padding) >>> 31);
  for (const [at, byte] of block.entries()) {
    const inPadding = (BLOCK_BYTES - 1 - at - padding) >>> 31;
    wrong |= inPadding * (byte ^ padding);
  }
  if (wrong !== 0) throw forged();
  return block.subarray(0, BLOCK_BYTES - padding);
}

export function cbcSealedSize(plainBytes: number): number {
  if (plainBytes > CBC_PLAIN_BYTES_MAX) throw new SealiftError("TOO_LARGE", "larger than AES-CBC objects may be");
  return BLOCK_BYTES * (Math.floor(plainBytes / BLOCK_BYTES) + 1);
}

/** The padding hides the size; only the shape can be checked. */
export function cbcPlainSize(sealedBytes: number): undefined {
  if (sealedBytes < BLOCK_BYTES || sealedBytes % BLOCK_BYTES !== 0) {
    throw malformed(`no AES-CBC body has ${sealedBytes} bytes`);
  }
}
