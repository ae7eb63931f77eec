/**
 * What of a Tink envelope stands before the body (tink-go, aead/kms_envelope_aead.go; core/cryptofmt for the prefix). Integers are
 * big-endian.
 *
 *   0             p           p + 4              p + 4 + n         p + 4 + n + v
 *   +-------------+-----------+------------------+-----------------+------------------
 *   |  prefix: p  |  n: u32   |  wrapped key: n  |  nonce: v       |  ciphertext, tag
 *   +-------------+-----------+------------------+-----------------+------------------
 *
 *   prefix   RAW: none; TINK: 01 and four bytes of key id; LEGACY (and CRUNCHY): 00 and the same
 *
 * The nonce is counted to the start, so that the body is what other formats have as a body.
 */
import { malformed, unsupported } from "./fault.ts";

export const PREFIXES = ["RAW", "TINK", "LEGACY"] as const;
export type PrefixType = (typeof PREFIXES)[number];

const KEY_ID_PREFIX_BYTES = 5;
const LENGTH_BYTES = 4;
/** Tink's own limit, which its readers keep. */
const WRAPPED_BYTES_MAX = 4096;
const FIRST_BYTES: Readonly<Record<PrefixType, number | undefined>> = { RAW: undefined, TINK: 1, LEGACY: 0 };

export interface Start {
  readonly prefix: Uint8Array;
  readonly wrapped: Uint8Array;
  readonly nonce: Uint8Array;
}

interface Layout {
  readonly prefixType: PrefixType;
  readonly nonceBytes: number;
}

const prefixBytes = (type: PrefixType): number => (type === "RAW" ? 0 : KEY_ID_PREFIX_BYTES);

/** How many bytes have to be seen, as far as these tell; no more than these where they cannot be a start. */
export function startWants(bytes: Uint8Array, { prefixType, nonceBytes }: Layout): number {
  const wrappedAt = prefixBytes(prefixType) + LENGTH_BYTES;
  if (bytes.length < wrappedAt) return wrappedAt;
  const wrappedBytes = lengthIn(bytes, prefixType);
  return wrappedBytes === undefined ? bytes.length : wrappedAt + wrappedBytes + nonceBytes;
}

/** True: as far as these bytes tell, it is a start. */
export function beginsStart(bytes: Uint8Array, prefixType: PrefixType): boolean {
  const first = FIRST_BYTES[prefixType];
  const isLong = bytes.length >= prefixBytes(prefixType) + LENGTH_BYTES;
  return isLong && (first === undefined || bytes[0] === first) && lengthIn(bytes, prefixType) !== undefined;
}

/** Throws SEAL_MALFORMED where the bytes do not begin so. */
export function readStart(bytes: Uint8Array, { prefixType, nonceBytes }: Layout): Start {
  const prefix = bytes.subarray(0, prefixBytes(prefixType));
  const first = FIRST_BYTES[prefixType];
  if (first !== undefined && bytes[0] !== first) throw malformed(`it does not begin with a ${prefixType} prefix`);
  const wrappedAt = prefix.length + LENGTH_BYTES;
  if (bytes.length < wrappedAt) throw malformed("it ends before the length of its wrapped key");
  const wrappedBytes = lengthIn(bytes, prefixType);
  if (wrappedBytes === undefined) throw malformed(`its wrapped key is not of 1 to ${WRAPPED_BYTES_MAX} bytes`);
  const nonceAt = wrappedAt + wrappedBytes;
  if (bytes.length < nonceAt + nonceBytes) throw malformed("it ends within its wrapped key or nonce");
  return {
    prefix,
    wrapped: bytes.subarray(wrappedAt, nonceAt),
    nonce: bytes.subarray(nonceAt, nonceAt + nonceBytes),
  };
}

function lengthIn(bytes: Uint8Array, prefixType: PrefixType): number | undefined {
  const at = prefixBytes(prefixType);
  const wrappedBytes = Buffer.from(bytes.subarray(at, at + LENGTH_BYTES)).readUInt32BE();
  return wrappedBytes >= 1 && wrappedBytes <= WRAPPED_BYTES_MAX ? wrappedBytes : undefined;
}

export const startSize = ({ prefix, wrapped, nonce }: Start): number =>
  prefix.length + LENGTH_BYTES + wrapped.length + nonce.length;

/** Throws SEAL_UNSUPPORTED for a wrapped key that no reader would take. */
export function startBytes({ prefix, wrapped, nonce }: Start): Buffer {
  if (wrapped.length < 1 || wrapped.length > WRAPPED_BYTES_MAX) {
    throw unsupported(`a wrapped key of ${wrapped.length} bytes: Tink reads 1 to ${WRAPPED_BYTES_MAX}`);
  }
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(wrapped.length);
  return Buffer.concat([prefix, length, wrapped, nonce]);
}
