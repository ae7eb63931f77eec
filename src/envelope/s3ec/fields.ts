/** Strict readers of single metadata values. Nothing is trimmed, padded or repaired. */
import { malformed } from "./names.ts";

/** Largest CiphertextBlob of AWS KMS (API reference, Decrypt); other KMSs return less for a data key. */
const WRAPPED_KEY_BYTES_MAX = 6144;

/** Present and not empty. */
export function required(values: ReadonlyMap<string, string>, name: string): string {
  const value = values.get(name);
  if (value === undefined || value === "") throw malformed(`${name} is missing`);
  return value;
}

/** No longer than a wrapped key may be. Standard alphabet, padded, no line breaks, no stray bits at the end: the only text that encodes these bytes (RFC 4648, 4). */
export function base64Field(values: ReadonlyMap<string, string>, name: string): Uint8Array {
  const text = required(values, name);
  if (text.length > Math.ceil(WRAPPED_KEY_BYTES_MAX / 3) * 4) throw malformed(`${name} is too long`);
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw malformed(`${name} is not base64`);
  return bytes;
}

export function base64OfSize(values: ReadonlyMap<string, string>, name: string, sizeBytes: number): Uint8Array {
  const bytes = base64Field(values, name);
  if (bytes.length !== sizeBytes) throw malformed(`${name} holds ${bytes.length} bytes, not ${sizeBytes}`);
  return bytes;
}

/** undefined where absent. */
export function decimalField(values: ReadonlyMap<string, string>, name: string): number | undefined {
  const text = values.get(name);
  if (text === undefined) return undefined;
  // 15 digits are always an exact number.
  if (!/^(0|[1-9]\d{0,14})$/.test(text)) throw malformed(`${name} is not a length`);
  return Number(text);
}

/** A value of a seal that this format made itself. */
export const bytesOf = (fixed: ReadonlyMap<string, string>, name: string): Uint8Array =>
  Buffer.from(fixed.get(name) ?? "", "base64");
