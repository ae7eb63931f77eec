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

const POLYNOMIAL = 0x82f63b78; // reflected Castagnoli

/** CRC of A||B from crc(A), crc(B) and B's length: multiply crc(A) by x^(8*length) in GF(2), as zlib's crc32_combine does. */
export function combineCrc32c(crcA: number, crcB: number, bytesB: number): number {
  let square = matrixOfZeroByte();
  let crc = crcA >>> 0;
  for (let n = bytesB; n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) crc = times(square, crc);
    square = square.map((column) => times(square, column));
  }
  return (crc ^ crcB) >>> 0;
}

/** Column i is the register after eight zero bits, started at 1 << i. */
function matrixOfZeroByte(): number[] {
  return Array.from({ length: 32 }, (_, i) => {
    let register = (1 << i) >>> 0;
    for (let bit = 0; bit < 8; bit++) register = register & 1 ? (register >>> 1) ^ POLYNOMIAL : register >>> 1;
    return register >>> 0;
  });
}

function times(matrix: readonly number[], vector: number): number {
  let sum = 0;
  for (let i = 0; i < 32; i++) if ((vector >>> i) & 1) sum ^= matrix[i] as number;
  return sum >>> 0;
}
