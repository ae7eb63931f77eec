/**
 * Bodies under Tink's data keys, of all types that this runtime has a cipher for. Associated data is empty, but with AES-GCM.
 *
 *   AES-GCM, ChaCha20-Poly1305   | ciphertext | tag: 16 |
 *   XChaCha20-Poly1305           the same, under HChaCha20 of key and nonce, with the nonce 0: u32 | its last 8 bytes
 *   AES-CTR-HMAC                 | ciphertext | tag: 16 or 32 |      tag = HMAC-SHA-256 of | IV | ciphertext | 0: u64 |, cut
 *
 * The last number is the length of the associated data, in bits (tink-go, aead/subtle/encrypt_then_authenticate.go). Plaintext leaves
 * before the tag is seen.
 */
import { createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";
import type { ByteStream } from "../../core/object.ts";
import { forged } from "../s3ec/forged.ts";
import { openGcm } from "../s3ec/gcm.ts";
import { Tail } from "../s3ec/tail.ts";
import type { Dek, Secrets } from "./dek.ts";
import { unsupported } from "./fault.ts";
import { hchacha20 } from "./hchacha.ts";

const NO_BYTES = new Uint8Array();
const LENGTH_BYTES = 8;

/** Any change, a cut and an empty body end in the same SEAL_FORGED. Throws SEAL_UNSUPPORTED where there is no such cipher here. */
export function openBody(
  ciphertext: ByteStream,
  dek: Dek,
  secrets: Secrets,
  { nonce, associated }: { readonly nonce: Uint8Array; readonly associated: Uint8Array },
): ByteStream {
  switch (dek.cipher) {
    case "aes-gcm":
      return openGcm(ciphertext, { key: secrets.key, iv: nonce, aad: associated, plainBytesMax: dek.plainBytesMax });
    case "chacha20-poly1305":
      return openChaCha(ciphertext, secrets.key, nonce);
    case "aes-ctr-hmac":
      return openCtrHmac(ciphertext, dek.tagBytes, secrets, nonce);
    case "xchacha20-poly1305":
      return openXChaCha(ciphertext, secrets.key, nonce);
    case "aes-gcm-siv":
      throw unsupported("bodies of Tink's AES-GCM-SIV are rewrapped and not opened: this runtime has no such cipher");
  }
}

async function* openChaCha(ciphertext: ByteStream, key: Uint8Array, nonce: Uint8Array): ByteStream {
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  const tail = new Tail();
  for await (const chunk of ciphertext) {
    const certain = tail.push(chunk);
    if (certain.length > 0) yield decipher.update(certain);
  }
  if (tail.bytes.length !== 16) throw forged();
  try {
    decipher.setAuthTag(tail.bytes).final();
  } catch {
    throw forged();
  }
}

async function* openXChaCha(ciphertext: ByteStream, key: Uint8Array, nonce: Uint8Array): ByteStream {
  const inner = hchacha20(key, nonce);
  try {
    yield* openChaCha(ciphertext, inner, Buffer.concat([Buffer.alloc(4), nonce.subarray(16)]));
  } finally {
    inner.fill(0);
  }
}

async function* openCtrHmac(
  ciphertext: ByteStream,
  tagBytes: number,
  { key, macKey = NO_BYTES }: Secrets,
  iv: Uint8Array,
): ByteStream {
  const decipher = createDecipheriv(`aes-${key.length * 8}-ctr`, key, iv);
  const mac = createHmac("sha256", macKey).update(iv);
  const tail = new Tail(tagBytes);
  for await (const chunk of ciphertext) {
    const certain = tail.push(chunk);
    if (certain.length === 0) continue;
    mac.update(certain);
    yield decipher.update(certain);
  }
  const expected = mac.update(new Uint8Array(LENGTH_BYTES)).digest().subarray(0, tagBytes);
  if (tail.bytes.length !== tagBytes || !timingSafeEqual(tail.bytes, expected)) throw forged();
}
