/**
 * The data keys of Tink's envelope encryption. What a key service wraps is a serialized key message, and nothing in it says of which
 * type: every reader knows that from its own template (tink-go, aead/kms_envelope_aead.go, aead/aead_key_templates.go, proto/*.proto).
 *
 *   AES256_GCM, AES128_GCM       AesGcmKey             1a n | key: n |                      n = 32, 16
 *   XCHACHA20_POLY1305           XChaCha20Poly1305Key  1a 20 | key: 32 |
 *   CHACHA20_POLY1305            ChaCha20Poly1305Key   12 20 | key: 32 |
 *   AES256_GCM_SIV               AesGcmSivKey          1a 20 | key: 32 |
 *   AES256_CTR_HMAC_SHA256, 128  AesCtrHmacAeadKey     12 | AesCtrKey |  1a | HmacKey |
 *                                AesCtrKey             12 02 08 10 | 1a n | key: n |        IV of 16 bytes
 *                                HmacKey               12 04 08 03 10 t | 1a 20 | key: 32 | SHA-256, tag of t = 32, 16
 *
 * A version field of 0 may stand before each (`08 00`). A reader looks at the template's key type and not at its key size, so
 * that a template for AES-256-GCM opens what was sealed with AES-128-GCM and the other way round.
 */
import { DataKey } from "../../core/key.ts";
import { bytesAt, type Fields, fieldsOf, messageOf } from "./proto.ts";
import { unsupported } from "./fault.ts";

/** Views of the secrets in a key message. */
export interface Secrets {
  readonly key: Uint8Array;
  /** Of those that authenticate under a key of its own. */
  readonly macKey?: Uint8Array;
}

/** How the body is encrypted under a data key. */
export interface Dek {
  readonly cipher: "aes-gcm" | "chacha20-poly1305" | "aes-ctr-hmac" | "xchacha20-poly1305" | "aes-gcm-siv";
  /** Bytes of nonce or IV before the ciphertext. */
  readonly nonceBytes: number;
  readonly tagBytes: number;
  /** The most plaintext under one key and nonce. */
  readonly plainBytesMax: number;
  /** undefined: the message is none of this type. */
  secretsIn(message: Uint8Array): Secrets | undefined;
}

const VERSION = 1;
const AES_SIZES = [16, 32];
const SHA256 = 3;
const IV_BYTES = 16;
/** 2^39 - 256 bits (SP 800-38D, 5.2.1.1). */
const GCM_PLAIN_BYTES_MAX = 2 ** 36 - 32;
/** 2^32 - 1 blocks (RFC 8439, 2.8). */
const CHACHA_PLAIN_BYTES_MAX = 2 ** 38 - 64;
/** No limit that a store would let anyone reach; still an exact number. */
const CTR_PLAIN_BYTES_MAX = 2 ** 52;

/** Where the message holds these fields and nothing else but a version of 0. */
function only(message: Uint8Array | undefined, ...numbers: readonly number[]): Fields | undefined {
  const fields = message && fieldsOf(message);
  const isKnown = (number: number, value: unknown) => numbers.includes(number) || (number === VERSION && value === 0);
  return fields && [...fields].every(([number, value]) => isKnown(number, value)) ? fields : undefined;
}

function oneKey(message: Uint8Array, number: number, sizes: readonly number[]): Secrets | undefined {
  const key = bytesAt(only(message, number), number);
  return key && sizes.includes(key.length) ? { key } : undefined;
}

function ctrHmac(message: Uint8Array, tagBytes: number): Secrets | undefined {
  const outer = only(message, 2, 3);
  const ctr = only(bytesAt(outer, 2), 2, 3);
  const mac = only(bytesAt(outer, 3), 2, 3);
  const ctrParameters = fieldsOf(bytesAt(ctr, 2) ?? new Uint8Array());
  const macParameters = fieldsOf(bytesAt(mac, 2) ?? new Uint8Array());
  const key = bytesAt(ctr, 3);
  const macKey = bytesAt(mac, 3);
  if (ctrParameters?.get(1) !== IV_BYTES || ctrParameters.size !== 1) return undefined;
  if (macParameters?.get(1) !== SHA256 || macParameters.get(2) !== tagBytes || macParameters.size !== 2)
    return undefined;
  return key && macKey && AES_SIZES.includes(key.length) && macKey.length >= 16 ? { key, macKey } : undefined;
}

const AES_GCM_KEY = 3;
const AES_GCM: Dek = {
  cipher: "aes-gcm",
  nonceBytes: 12,
  tagBytes: 16,
  plainBytesMax: GCM_PLAIN_BYTES_MAX,
  secretsIn: (message) => oneKey(message, AES_GCM_KEY, AES_SIZES),
};

const ctrHmacOf = (tagBytes: number): Dek => ({
  cipher: "aes-ctr-hmac",
  nonceBytes: IV_BYTES,
  tagBytes,
  plainBytesMax: CTR_PLAIN_BYTES_MAX,
  secretsIn: (message) => ctrHmac(message, tagBytes),
});

/** By Tink's name of the template. `AES_GCM`, ours: of 16 or 32 bytes, where that is not known before the key is opened. */
export const DEKS: ReadonlyMap<string, Dek> = new Map<string, Dek>([
  ["AES_GCM", AES_GCM],
  ["AES256_GCM", AES_GCM],
  ["AES128_GCM", AES_GCM],
  [
    "XCHACHA20_POLY1305",
    {
      cipher: "xchacha20-poly1305",
      nonceBytes: 24,
      tagBytes: 16,
      plainBytesMax: CHACHA_PLAIN_BYTES_MAX,
      secretsIn: (message) => oneKey(message, 3, [32]),
    },
  ],
  [
    "CHACHA20_POLY1305",
    {
      cipher: "chacha20-poly1305",
      nonceBytes: 12,
      tagBytes: 16,
      plainBytesMax: CHACHA_PLAIN_BYTES_MAX,
      secretsIn: (message) => oneKey(message, 2, [32]),
    },
  ],
  [
    "AES256_GCM_SIV",
    {
      cipher: "aes-gcm-siv",
      nonceBytes: 12,
      tagBytes: 16,
      plainBytesMax: 2 ** 36,
      secretsIn: (message) => oneKey(message, 3, AES_SIZES),
    },
  ],
  ["AES256_CTR_HMAC_SHA256", ctrHmacOf(32)],
  ["AES128_CTR_HMAC_SHA256", ctrHmacOf(16)],
]);

export const CONVERTED = "AES_GCM";

export const isAesGcm = (content: string): boolean => DEKS.get(content) === AES_GCM;

/** A bare AES key as the message that Tink wraps. Throws SEAL_UNSUPPORTED for AES-192. The caller wipes both. */
export function asAesGcmKey(key: DataKey): DataKey {
  if (!AES_SIZES.includes(key.sizeBytes)) {
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
  const secrets = AES_GCM.secretsIn(message.reveal());
  return secrets && new DataKey(secrets.key);
}
