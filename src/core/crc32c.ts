/** CRC32C (Castagnoli, RFC 3720 B.4), the checksum that S3 and GCS both store. Guest: @node-rs/crc32 (native, 4.5 GiB/s). */
import { crc32c as native } from "@node-rs/crc32";

/** Extends `crc` (0 to begin) by `bytes`. */
export const crc32c = (bytes: Uint8Array, crc = 0): number => native(bytes, crc) >>> 0;

/** The providers' text form: base64 of four big-endian bytes. */
export function crc32cText(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc >>> 0);
  return bytes.toString("base64");
}

/** undefined where the text is not a full-object CRC32C (composite values end in `-N`). */
export function parseCrc32c(text: string | undefined | null): number | undefined {
  if (!text || !/^[A-Za-z0-9+/]{6}==$/.test(text)) return undefined;
  return Buffer.from(text, "base64").readUInt32BE(0);
}
