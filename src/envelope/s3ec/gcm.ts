/**
 * AES-GCM bodies (NIST SP 800-38D), 12-byte IV, 16-byte tag at the end. Plaintext leaves `openGcm` before the tag is seen.
 *
 *   | ciphertext: n bytes | tag: 16 |
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { CipherGCMTypes } from "node:crypto";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream } from "../../core/object.ts";
import { forged } from "./forged.ts";
import { malformed } from "./names.ts";
import { Tail } from "./tail.ts";

export const GCM_IV_BYTES = 12;
const GCM_TAG_BYTES = 16;
/** 2^39 - 256 bits under one key and IV (SP 800-38D, 5.2.1.1). */
export const GCM_PLAIN_BYTES_MAX = 2 ** 36 - 32;

export interface GcmParameters {
  /** 16, 24 or 32 bytes. */
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
  readonly aad: Uint8Array;
  readonly plainBytesMax?: number;
}

export async function* sealGcm(plaintext: ByteStream, parameters: GcmParameters): ByteStream {
  const { key, iv, aad, plainBytesMax = GCM_PLAIN_BYTES_MAX } = parameters;
  const cipher = createCipheriv(nameFor(key), key, iv, { authTagLength: GCM_TAG_BYTES }).setAAD(aad);
  let totalBytes = 0;
  for await (const chunk of plaintext) {
    totalBytes += chunk.length;
    if (totalBytes > plainBytesMax) throw tooLarge(plainBytesMax);
    if (chunk.length > 0) yield cipher.update(chunk);
  }
  cipher.final();
  yield cipher.getAuthTag();
}

/** Any change, a cut and an empty body end in the same SEAL_FORGED, after the plaintext that was before it. */
export async function* openGcm(ciphertext: ByteStream, parameters: GcmParameters): ByteStream {
  const { key, iv, aad, plainBytesMax = GCM_PLAIN_BYTES_MAX } = parameters;
  const decipher = createDecipheriv(nameFor(key), key, iv, { authTagLength: GCM_TAG_BYTES }).setAAD(aad);
  const tail = new Tail();
  for await (const chunk of ciphertext) {
    const certain = tail.push(chunk);
    if (tail.totalBytes > plainBytesMax + GCM_TAG_BYTES) throw tooLarge(plainBytesMax);
    if (certain.length > 0) yield decipher.update(certain);
  }
  if (tail.bytes.length !== GCM_TAG_BYTES) throw forged();
  try {
    decipher.setAuthTag(tail.bytes).final();
  } catch {
    throw forged();
  }
}

export function gcmSealedSize(plainBytes: number): number {
  if (plainBytes > GCM_PLAIN_BYTES_MAX) throw tooLarge(GCM_PLAIN_BYTES_MAX);
  return plainBytes + GCM_TAG_BYTES;
}

export function gcmPlainSize(sealedBytes: number): number {
  const plainBytes = sealedBytes - GCM_TAG_BYTES;
  if (plainBytes < 0 || plainBytes > GCM_PLAIN_BYTES_MAX) throw malformed(`no AES-GCM body has ${sealedBytes} bytes`);
  return plainBytes;
}

const nameFor = (key: Uint8Array): CipherGCMTypes => `aes-${(key.length * 8) as 128 | 192 | 256}-gcm`;

const tooLarge = (plainBytesMax: number): SealiftError =>
  new SealiftError("TOO_LARGE", `AES-GCM takes at most ${plainBytesMax} bytes of plaintext in one object`);
