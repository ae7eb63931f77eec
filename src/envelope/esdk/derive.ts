/**
 * From the data key to the key of header and body, and to the commitment (AWS Encryption SDK specification,
 * framework/algorithm-suites.md, HKDF of RFC 5869):
 *
 *   version 1   body's key   salt: zeros of the hash's length   info: suite: 2 | message id: 16
 *   version 2   body's key   salt: message id: 32               info: suite: 2 | "DERIVEKEY"
 *               commitment   salt: message id: 32               info: "COMMITKEY"
 */
import { createCipheriv, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import type { CipherGCMTypes } from "node:crypto";
import type { DataKey } from "../../core/key.ts";
import { TAG_BYTES } from "./header.ts";
import { forged } from "./refusal.ts";
import { COMMITMENT_BYTES, type Suite } from "./suites.ts";

/** The caller wipes it. Throws SEAL_FORGED where the data key is of another length than the suite's. */
export function bodyKey(suite: Suite, messageId: Uint8Array, dataKey: DataKey): Buffer {
  if (dataKey.sizeBytes !== suite.keyBytes) throw forged();
  if (suite.hash === undefined) return Buffer.from(dataKey.reveal());
  const code = Buffer.alloc(2);
  code.writeUInt16BE(suite.code);
  if (suite.version === 2) return derived(suite, dataKey, messageId, Buffer.concat([code, Buffer.from("DERIVEKEY")]));
  const zeros = Buffer.alloc(createHmac(suite.hash, "").digest().length);
  return derived(suite, dataKey, zeros, Buffer.concat([code, messageId]));
}

/** Of suites in version 2. */
export const commitmentOf = (suite: Suite, messageId: Uint8Array, dataKey: DataKey): Buffer =>
  derived(suite, dataKey, messageId, Buffer.from("COMMITKEY"), COMMITMENT_BYTES);

function derived(
  { hash = "sha512", keyBytes }: Suite,
  dataKey: DataKey,
  salt: Uint8Array,
  info: Uint8Array,
  sizeBytes: number = keyBytes,
): Buffer {
  return Buffer.from(hkdfSync(hash, dataKey.reveal(), salt, info, sizeBytes));
}

/** Throws SEAL_FORGED where the message was made to be opened by another data key. */
export function checkCommitment(suite: Suite, messageId: Uint8Array, commitment: Uint8Array, dataKey: DataKey): void {
  if (dataKey.sizeBytes !== suite.keyBytes) throw forged();
  const expected = commitmentOf(suite, messageId, dataKey);
  if (expected.length !== commitment.length || !timingSafeEqual(expected, commitment)) throw forged();
}

/** What authenticates a header: the tag of AES-GCM over it and over nothing else. */
export function headerTag(key: Uint8Array, iv: Uint8Array, signed: Uint8Array): Buffer {
  const cipher = createCipheriv(cipherFor(key), key, iv, { authTagLength: TAG_BYTES }).setAAD(signed);
  cipher.final();
  return cipher.getAuthTag();
}

export const cipherFor = (key: Uint8Array): CipherGCMTypes => `aes-${(key.length * 8) as 128 | 192 | 256}-gcm`;
