/**
 * The data keys of Tink's envelope encryption. What a KMS wraps is a serialized key message, and nothing in it says of which type:
 * every reader knows that from its own template (tink-go, aead/kms_envelope_aead.go and proto/*.proto).
 *
 *   AesGcmKey             1a 20 | key: 32 |  or  1a 10 | key: 16 |
 *
 * A version field of 0 may stand before it (`08 00`). A reader looks at the template's key type and not at its key size, so
 * that a template for AES-256-GCM opens what was sealed with AES-128-GCM and the other way round.
 */
import { DataKey } from "../../core/key.ts";
import { bytesAt, type Fields, fieldsOf, messageOf } from "./proto.ts";
import { unsupported } from "./fault.ts";

/** How the body is encrypted under a data key. */
export interface Dek {
  /** Bytes of nonce or IV before the ciphertext. */
  readonly nonceBytes: number;
  readonly tagBytes: number;
  /** The most plaintext under one key and nonce. */
  readonly plainBytesMax: number;
  /** The secret within a key message; undefined: it is none of this type. A view. */
  keyIn(message: Uint8Array): Uint8Array | undefined;
}

const VERSION = 1;
const AES_GCM_KEY = 3;
const AES_GCM_SIZES = [16, 32];
/** 2^39 - 256 bits (SP 800-38D, 5.2.1.1). */
const GCM_PLAIN_BYTES_MAX = 2 ** 36 - 32;

/** The one field that holds the key, where the message holds nothing else but a version of 0. */
function onlyKey(message: Uint8Array, number: number, sizes: readonly number[]): Uint8Array | undefined {
  const fields = fieldsOf(message);
  const key = bytesAt(fields, number);
  return fields && holdsOnly(fields, [number]) && key && sizes.includes(key.length) ? key : undefined;
}

const holdsOnly = (fields: Fields, numbers: readonly number[]): boolean =>
  [...fields].every(([number, value]) => numbers.includes(number) || (number === VERSION && value === 0));

const AES_GCM: Dek = {
  nonceBytes: 12,
  tagBytes: 16,
  plainBytesMax: GCM_PLAIN_BYTES_MAX,
  keyIn: (message) => onlyKey(message, AES_GCM_KEY, AES_GCM_SIZES),
};

/** By the name in a seal. `AES_GCM`: of 16 or 32 bytes, where it is not known before the key is opened. */
export const DEKS: ReadonlyMap<string, Dek> = new Map([["AES_GCM", AES_GCM]]);

export const CONVERTED = "AES_GCM";

export const isAesGcm = (content: string): boolean => DEKS.get(content) === AES_GCM;

/** A bare AES key as the message that Tink wraps. Throws SEAL_UNSUPPORTED for AES-192. The caller wipes both. */
export function asAesGcmKey(key: DataKey): DataKey {
  if (!AES_GCM_SIZES.includes(key.sizeBytes)) {
    throw unsupported(`its data key is ${key.sizeBytes} bytes: Tink has AES-GCM with 16 and 32`);
  }
  const message = messageOf(AES_GCM_KEY, key.reveal());
  try {
    return new DataKey(message);
  } finally {
    message.fill(0);
  }
}

/** The bare AES key within an AesGcmKey; undefined where it is no such message. The caller wipes both. */
export function bareAesKey(message: DataKey): DataKey | undefined {
  const key = AES_GCM.keyIn(message.reveal());
  return key && new DataKey(key);
}
