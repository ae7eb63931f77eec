/** CRC32C (Castagnoli, RFC 3720 B.4), the checksum that S3 and GCS both store. Guest: @node-rs/crc32 (native, 4.5 GiB/s). */
import { crc32c as native } from "@node-rs/crc32";

/** Extends `crc` (0 to begin) by `bytes`. */
export const crc32c = (bytes: Uint8Array, crc = 0): number => native(bytes, crc) >>> 0;

interface Passing {
  readonly from: number;
  readonly to: number;
}
const passing = new WeakMap<Uint8Array, Passing>();

/**
 * The same for a chunk on its way through several hands, each of which runs the body's checksum along: computed by the first, known
 * to those behind it (three of four passes over a body were this). Only for chunks that nobody writes to on their way; one that was
 * written to would leave with a checksum that is not its own, and be refused by the provider that is told it.
 */
export function crc32cInPassing(chunk: Uint8Array, crc: number): number {
  const known = passing.get(chunk);
  if (known?.from === crc) return known.to;
  const to = crc32c(chunk, crc);
  passing.set(chunk, { from: crc, to });
  return to;
}

/** The CRC32C of bytes at the end of a run, from that of the run with and without them. */
export const crc32cOfEnd = (whole: number, before: number, endBytes: number): number =>
  (whole ^ combineCrc32c(before, 0, endBytes)) >>> 0;

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

const POLYNOMIAL = 0x82f63b78;
/** What 2^n zero bytes do to a CRC's register, as the 32 columns of a matrix over GF(2). Grown as it is needed. */
const zeros: number[][] = [];

function zerosOf(n: number): readonly number[] {
  for (let power = zeros.length; power <= n; power++) {
    const half = zeros[power - 1];
    zeros.push(half ? half.map((column) => applied(half, column)) : oneZeroByte());
  }
  return zeros[n] as number[];
}

function oneZeroByte(): number[] {
  return Array.from({ length: 32 }, (_, bit) => {
    let register = (1 << bit) >>> 0;
    for (let step = 0; step < 8; step++) register = register & 1 ? (register >>> 1) ^ POLYNOMIAL : register >>> 1;
    return register >>> 0;
  });
}

function applied(columns: readonly number[], vector: number): number {
  let sum = 0;
  for (let rest = vector >>> 0, bit = 0; rest !== 0; rest >>>= 1, bit++) if (rest & 1) sum ^= columns[bit] as number;
  return sum >>> 0;
}

/**
 * The CRC32C of two runs of bytes joined, from those of each and the length of the second: what lets parts be checked where they
 * are copied and the whole where it is completed. (As zlib's crc32_combine; any length below 2^53.)
 */
export function combineCrc32c(first: number, second: number, secondBytes: number): number {
  let register = first;
  for (let rest = secondBytes, power = 0; rest > 0; rest = Math.floor(rest / 2), power++) {
    if (rest % 2 === 1) register = applied(zerosOf(power), register);
  }
  return (register ^ second) >>> 0;
}
