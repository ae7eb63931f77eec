/**
 * Data keys of n bytes wrapped by a bare AES or RSA key, as clients do it that have no KMS (S3EC specification; the names are those
 * of Java's ciphers). The map beside them describes the key to its owner and is bound to nothing; which key it was is not stored.
 *
 *   stored (V2 wrap-alg | V3 w)                      wrapped key             binds the content algorithm
 *   (V1, not stored)                      | -        AES/ECB: 32 or 48       no
 *   (V1, not stored)                      | -        RSA PKCS #1 v1.5: k     no
 *   AESWrap                               | -        RFC 3394: n + 8         no
 *   RSA/ECB/OAEPWithSHA-256AndMGF1Padding | -        RSA-OAEP: k             no
 *   AES/GCM                               | 02       12 + n + 16             yes
 *   RSA-OAEP-SHA1                         | 22       RSA-OAEP: k             yes
 */
import type { RawWrap, WrappedKey } from "../../core/key.ts";
import { base64Field } from "./fields.ts";
import { malformed } from "./names.ts";

type Algorithm = RawWrap["algorithm"];

/** V2, by x-amz-wrap-alg. */
export const V2_RAW: ReadonlyMap<string, Algorithm> = new Map([
  ["AESWrap", "AESWrap"],
  ["AES/GCM", "AES/GCM"],
  ["RSA/ECB/OAEPWithSHA-256AndMGF1Padding", "RSA-OAEP-SHA256"],
  ["RSA-OAEP-SHA1", "RSA-OAEP-SHA1"],
]);
/** V3, by x-amz-w. */
export const V3_RAW: ReadonlyMap<string, Algorithm> = new Map([
  ["02", "AES/GCM"],
  ["22", "RSA-OAEP-SHA1"],
]);
/** V1 stores no name; these are the Java client's. */
export const V1_RAW: ReadonlyMap<string, Algorithm> = new Map([
  ["AES", "AES"],
  ["RSA", "RSA"],
]);

export const isRaw = (wrap: string): boolean => [V1_RAW, V2_RAW, V3_RAW].some((names) => names.has(wrap));

export const bindsContent = (algorithm: Algorithm): boolean => algorithm === "AES/GCM" || algorithm === "RSA-OAEP-SHA1";

/** Of data keys of 16, 24 and 32 bytes. */
const AES_SIZES: Readonly<Partial<Record<Algorithm, readonly number[]>>> = {
  AES: [32, 48],
  AESWrap: [24, 32, 40],
  "AES/GCM": [44, 52, 60],
};
/** Moduli of 1,024 to 8,192 bits. */
const RSA_BYTES_MIN = 128;
const RSA_BYTES_MAX = 1024;

const isRsaSize = (sizeBytes: number): boolean => sizeBytes >= RSA_BYTES_MIN && sizeBytes <= RSA_BYTES_MAX;

/** Throws SEAL_MALFORMED for lengths that the algorithm does not make. */
export function readRaw(values: ReadonlyMap<string, string>, keyField: string, raw: RawWrap): WrappedKey {
  const bytes = base64Field(values, keyField);
  const sizes = AES_SIZES[raw.algorithm];
  if (sizes ? !sizes.includes(bytes.length) : !isRsaSize(bytes.length)) {
    throw malformed(`${keyField} holds ${bytes.length} bytes, which ${raw.algorithm} does not make`);
  }
  return { scheme: sizes ? "local" : "local-rsa", raw, bytes };
}

/** V1 does not say; the length does, as the Java client has it. */
export const wrapOfSize = (sizeBytes: number): "AES" | "RSA" => (sizeBytes > 48 ? "RSA" : "AES");
