/** An object's bytes in memory: segments (the parts of an upload) of chunks, never joined; encrypted where the key is a customer's. */
import { createCipheriv, randomBytes } from "node:crypto";

export interface Segment {
  readonly chunks: readonly Buffer[];
  readonly sizeBytes: number;
  /** Present where the chunks are AES-256-CTR ciphertext. */
  readonly counter?: Buffer | undefined;
}

export function makeSegment(chunks: readonly Buffer[], sizeBytes: number, key: Buffer | undefined): Segment {
  if (!key) return { chunks, sizeBytes };
  const counter = randomBytes(16);
  const cipher = createCipheriv("aes-256-ctr", key, counter);
  return { chunks: chunks.map((chunk) => cipher.update(chunk)), sizeBytes, counter };
}

/** Bytes [start, end) of the segments. */
export function* readSegments(
  segments: readonly Segment[],
  key: Buffer | undefined,
  start: number,
  end: number,
): Generator<Buffer> {
  let at = 0;
  for (const segment of segments) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, segment.sizeBytes);
    if (from < to) {
      const raw = cut(segment.chunks, from, to);
      yield* segment.counter && key ? decrypt(raw, key, segment.counter, from) : raw;
    }
    at += segment.sizeBytes;
    if (at >= end) return;
  }
}

function* cut(chunks: readonly Buffer[], from: number, to: number): Generator<Buffer> {
  let at = 0;
  for (const chunk of chunks) {
    if (at >= to) return;
    if (at + chunk.length > from) {
      const whole = at >= from && at + chunk.length <= to;
      yield whole ? chunk : chunk.subarray(Math.max(from - at, 0), to - at);
    }
    at += chunk.length;
  }
}

function* decrypt(chunks: Iterable<Buffer>, key: Buffer, counter: Buffer, offset: number): Generator<Buffer> {
  const block = (BigInt(`0x${counter.toString("hex")}`) + BigInt(Math.floor(offset / 16))) % (1n << 128n);
  const cipher = createCipheriv("aes-256-ctr", key, Buffer.from(block.toString(16).padStart(32, "0"), "hex"));
  cipher.update(Buffer.alloc(offset % 16)); // Wound forward inside the first block.
  for (const chunk of chunks) yield cipher.update(chunk);
}

export const sizeOf = (segments: readonly Segment[]): number =>
  segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
