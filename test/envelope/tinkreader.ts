/**
 * A reader of Tink envelopes that shares no code with the program: what Tink's own readers do with the bytes, given the key service's
 * answer and the associated data.
 */
import { createDecipheriv } from "node:crypto";

/** Tink's AES-GCM without a prefix: nonce, ciphertext, tag. Throws where it does not open. */
export function openRawGcm(key: Uint8Array, sealed: Buffer, associatedData = ""): Buffer {
  const size = (key.length * 8) as 128 | 256;
  const decipher = createDecipheriv(`aes-${size}-gcm`, key, sealed.subarray(0, 12), { authTagLength: 16 });
  decipher.setAAD(Buffer.from(associatedData)).setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
}

/** What the key service has to open. */
export function wrappedKeyIn(object: Buffer): Buffer {
  const length = object.readUInt32BE();
  if (length < 1 || length > 4096) throw new Error(`a wrapped key of ${length} bytes`);
  return object.subarray(4, 4 + length);
}

/** `dek`: the key service's answer, a serialized AesGcmKey. */
export function openTinkEnvelope(object: Buffer, dek: Uint8Array, associatedData = ""): Buffer {
  if (dek[0] !== 0x1a || dek[1] !== dek.length - 2) throw new Error("not a serialized AesGcmKey");
  return openRawGcm(dek.subarray(2), object.subarray(4 + object.readUInt32BE()), associatedData);
}
