/**
 * V3 derives the body's key from the data key and commits to it (S3EC specification, key-derivation.md and key-commitment.md):
 *
 *   PRK        = HKDF-Extract(SHA-512, salt = message id, ikm = data key)
 *   commitment = HKDF-Expand(PRK, 00 73 "COMMITKEY", 28)
 *   body key   = HKDF-Expand(PRK, 00 73 "DERIVEKEY", 32)
 */
import { hkdfSync } from "node:crypto";

export const SUITE = Buffer.from([0x00, 0x73]);
export const MESSAGE_ID_BYTES = 28;
export const COMMITMENT_BYTES = 28;
const BODY_KEY_BYTES = 32;

export const commitmentOf = (dataKey: Uint8Array, messageId: Uint8Array): Buffer =>
  expand(dataKey, messageId, "COMMITKEY", COMMITMENT_BYTES);

/** The caller wipes it. */
export const bodyKeyOf = (dataKey: Uint8Array, messageId: Uint8Array): Buffer =>
  expand(dataKey, messageId, "DERIVEKEY", BODY_KEY_BYTES);

const expand = (dataKey: Uint8Array, messageId: Uint8Array, label: string, sizeBytes: number): Buffer =>
  Buffer.from(hkdfSync("sha512", dataKey, messageId, Buffer.concat([SUITE, Buffer.from(label)]), sizeBytes));
