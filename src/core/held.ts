/**
 * Bodies that wait in memory, in slabs of one size that are used again. Buffers of their own, of 5 to 30 MB each and hundreds a
 * minute, would lie about until the garbage collector hears of them: as much again as the allowance (docs/benchmarks.md).
 * What is in the slabs is ciphertext, or the bytes of objects without an envelope: never a data key.
 */
import type { Budget } from "./budget.ts";

const SLAB_BYTES = 256 * 1024;
/** Up to here a buffer of its own costs less than the rest of a slab. */
const SMALL_BYTES = SLAB_BYTES / 4;
/** Slabs kept for the next body. */
const FREE_MAX = 512;

const free: Buffer[] = [];

export class Held {
  readonly sizeBytes: number;
  readonly #pieces: Buffer[];
  readonly #giveBack: () => void;
  #filled = 0;

  private constructor(sizeBytes: number, giveBack: () => void) {
    this.sizeBytes = sizeBytes;
    this.#giveBack = giveBack;
    this.#pieces = piecesFor(sizeBytes);
  }

  /** Room for so many bytes, when the allowance has it. */
  static async room(sizeBytes: number, budget: Budget, signal: AbortSignal): Promise<Held> {
    const costBytes = sizeBytes <= SMALL_BYTES ? sizeBytes : Math.ceil(sizeBytes / SLAB_BYTES) * SLAB_BYTES;
    return new Held(sizeBytes, await budget.take(costBytes, signal));
  }

  /** Copies what fits, and returns what does not. */
  fill(chunk: Uint8Array): Uint8Array {
    let rest = chunk;
    while (rest.length > 0 && this.#filled < this.sizeBytes) {
      const piece = this.#pieces[Math.floor(this.#filled / SLAB_BYTES)] as Buffer;
      const at = this.#filled % SLAB_BYTES;
      const fitting = rest.subarray(0, piece.length - at);
      piece.set(fitting, at);
      this.#filled += fitting.length;
      rest = rest.subarray(fitting.length);
    }
    return rest;
  }

  /** In order; whoever sends them has done with them before the release. */
  get pieces(): readonly Uint8Array[] {
    return this.#pieces;
  }

  /** Once; the slabs are another body's after it. */
  release(): void {
    for (const piece of this.#pieces.splice(0)) {
      if (piece.buffer.byteLength === SLAB_BYTES && free.length < FREE_MAX) free.push(Buffer.from(piece.buffer));
    }
    this.#giveBack();
  }
}

function piecesFor(sizeBytes: number): Buffer[] {
  if (sizeBytes <= SMALL_BYTES) return [Buffer.allocUnsafeSlow(sizeBytes)];
  const pieces: Buffer[] = [];
  for (let left = sizeBytes; left > 0; left -= SLAB_BYTES) {
    pieces.push((free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES)).subarray(0, Math.min(left, SLAB_BYTES)));
  }
  return pieces;
}
