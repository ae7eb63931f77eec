/**
 * Data keys of n bytes under a bare AES key, as the S3 Encryption Client's raw keyrings and Azure's clients (`AESWrap`) wrap them:
 *
 *   AES       | n bytes, padded to blocks of 16 (PKCS #7) |      ECB
 *   AESWrap   | n + 8 bytes |                                    RFC 3394 with its default IV
 *   AES/GCM   | iv: 12 | ciphertext: n | tag: 16 |               additional data: what it is bound to
 */
import { type CipherGCMTypes, createDecipheriv } from "node:crypto";
import type { RawWrap } from "../../core/key.ts";
import { AZURE_KEY_SIZES, boundBytes, DATA_KEY_SIZES } from "./raw.ts";

const BLOCK_BYTES = 16;
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** RFC 3394, 2.2.3.1. */
const WRAP_IV = Buffer.alloc(8, 0xa6);

/** undefined: it does not open, whatever the reason. The caller wipes what it is given. */
export function openAesWrap(key: Uint8Array, { algorithm, bound }: RawWrap, bytes: Uint8Array): Buffer | undefined {
  const plain = decrypted(key, algorithm, bound, bytes);
  const sizes = algorithm === "AESWrap" ? [...DATA_KEY_SIZES, ...AZURE_KEY_SIZES] : DATA_KEY_SIZES;
  if (plain === undefined || sizes.includes(plain.length)) return plain;
  plain.fill(0);
  return undefined;
}

function decrypted(
  key: Uint8Array,
  algorithm: RawWrap["algorithm"],
  bound: RawWrap["bound"],
  bytes: Uint8Array,
): Buffer | undefined {
  const bits = (key.length * 8) as 128 | 192 | 256;
  switch (algorithm) {
    case "AES":
      return openEcb(`aes-${bits}-ecb`, key, bytes);
    case "AESWrap":
      return openRfc3394(`id-aes${bits}-wrap`, key, bytes);
    case "AES/GCM":
      return openGcm(`aes-${bits}-gcm`, key, bytes, bound);
    default:
      return undefined;
  }
}

/** The padding is looked at as a whole, so that the time taken says nothing about where it broke. */
function openEcb(cipher: string, key: Uint8Array, bytes: Uint8Array): Buffer | undefined {
  if (bytes.length === 0 || bytes.length % BLOCK_BYTES !== 0) return undefined;
  const padded = createDecipheriv(cipher, key, null).setAutoPadding(false).update(bytes);
  const padding = padded[padded.length - 1] ?? 0;
  let wrong = ((padding - 1) >>> 31) | ((BLOCK_BYTES - padding) >>> 31);
  for (const [at, byte] of padded.subarray(-BLOCK_BYTES).entries()) {
    const inPadding = (BLOCK_BYTES - 1 - at - padding) >>> 31;
    wrong |= inPadding * (byte ^ padding);
  }
  const plain = wrong === 0 ? Buffer.from(padded.subarray(0, padded.length - padding)) : undefined;
  padded.fill(0);
  return plain;
}

function openRfc3394(cipher: string, key: Uint8Array, bytes: Uint8Array): Buffer | undefined {
  try {
    // The check value is compared inside; on any difference nothing comes out.
    return createDecipheriv(cipher, key, WRAP_IV).update(bytes);
  } catch {
    return undefined;
  }
}

function openGcm(
  cipher: CipherGCMTypes,
  key: Uint8Array,
  bytes: Uint8Array,
  bound: RawWrap["bound"],
): Buffer | undefined {
  const tagAt = bytes.length - TAG_BYTES;
  if (tagAt <= IV_BYTES) return undefined;
  const decipher = createDecipheriv(cipher, key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(boundBytes(bound)).setAuthTag(bytes.subarray(tagAt));
  const plain = decipher.update(bytes.subarray(IV_BYTES, tagAt));
  try {
    decipher.final();
    return plain;
  } catch {
    plain.fill(0);
    return undefined;
  }
}
