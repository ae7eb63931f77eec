/**
 * Large buffers that bodies are read into, used again where their readers give them back. Memory that is new to the process costs a
 * page fault every 4 KiB, a fifth of what reading costs; whoever does not give back loses only that.
 */
export const CHUNK_BYTES = 256 * 1024;
/** Room behind a chunk, for the byte that should not come. */
const SPARE_BYTES = 64;

/** 16 MiB: what 64 bodies at once have in hand. */
const KEPT_MAX = 64;
const free: Buffer[] = [];
/** By the very view that was lent: a second return, or that of a slice, finds nothing here. */
const lent = new WeakMap<Uint8Array, Lease>();

/** One buffer in use: filled once from its start to its end, and lent in parts that follow each other. */
export class Lease {
  readonly bytes: Buffer = free.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES + SPARE_BYTES);
  #out = 0;
  #isClosed = false;

  /** Bytes [from, until) are the reader's from now on: for as long as it likes, or until it gives them back. */
  lend(from: number, until: number): Buffer {
    const chunk = this.bytes.subarray(from, until);
    lent.set(chunk, this);
    this.#out++;
    return chunk;
  }

  /** Nothing will be written to it any more. Without this it is never used again. */
  close(): void {
    this.#isClosed = true;
    this.#keep();
  }

  returned(): void {
    this.#out--;
    this.#keep();
  }

  #keep(): void {
    if (this.#isClosed && this.#out === 0 && free.length < KEPT_MAX) free.push(this.bytes);
  }
}

/** Only by whoever reads no byte of it again. Chunks from elsewhere, slices of chunks and chunks given back before are ignored. */
export function giveBack(chunk: Uint8Array): void {
  const lease = lent.get(chunk);
  if (lease === undefined || !lent.delete(chunk)) return;
  lease.returned();
}
