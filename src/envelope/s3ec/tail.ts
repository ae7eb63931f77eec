/** Holds back the last bytes of a stream, mostly 16: the tag of GCM, the padded block of CBC. */
const TAIL_BYTES = 16;

export class Tail {
  readonly #bytes: number;
  #held = Buffer.alloc(0);
  #totalBytes = 0;

  constructor(bytes = TAIL_BYTES) {
    this.#bytes = bytes;
  }

  /** What certainly does not belong to the last bytes; may be empty. The chunk may be reused afterwards. */
  push(chunk: Uint8Array): Uint8Array {
    this.#totalBytes += chunk.length;
    const joined = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const cut = Math.max(joined.length - this.#bytes, 0);
    this.#held = Buffer.from(joined.subarray(cut));
    return joined.subarray(0, cut);
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Shorter than was asked for only where the stream was. */
  get bytes(): Uint8Array {
    return this.#held;
  }
}
