/** Bytes on their way: counted, run through CRC32C, and held to what was promised about them. */
import { crc32cInPassing } from "../core/crc32c.ts";
import { SealiftError } from "../core/error.ts";
import type { ByteStream } from "../core/object.ts";

interface Promised {
  readonly sizeBytes: number;
  /** Where the source states it. */
  readonly crc32c?: number | undefined;
}

/**
 * A body that can be read once. Its last chunk is held back until length and checksum are known to be right: a put that is short
 * of even one byte can be withdrawn, one that has been given all it was promised may already have been made visible.
 */
export class Passage implements AsyncIterable<Uint8Array> {
  readonly #body: ByteStream;
  readonly #promised: Promised;
  #bytes = 0;
  #crc32c = 0;
  #whole = false;
  #failed = false;

  constructor(body: ByteStream, promised: Promised) {
    this.#body = body;
    this.#promised = promised;
  }

  get crc32c(): number {
    return this.#crc32c;
  }

  /** True once every byte has been handed on. */
  get whole(): boolean {
    return this.#whole;
  }

  /** True where this body, and not whoever reads it, was the cause of the end. */
  get failed(): boolean {
    return this.#failed;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const iterator = this.#body[Symbol.asyncIterator]();
    let held: Uint8Array | undefined;
    try {
      for (let chunk = await this.#next(iterator); chunk; chunk = await this.#next(iterator)) {
        if (held) yield held;
        held = chunk;
      }
      if (held) yield held;
      this.#whole = true;
    } finally {
      if (!this.#whole) await iterator.return?.();
    }
  }

  async #next(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
    try {
      for (;;) {
        const next = await iterator.next();
        if (next.done) {
          this.#check();
          return undefined;
        }
        this.#count(next.value);
        if (next.value.length > 0) return next.value;
      }
    } catch (error) {
      this.#failed = true;
      throw error;
    }
  }

  #count(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    this.#crc32c = crc32cInPassing(chunk, this.#crc32c);
    if (this.#bytes <= this.#promised.sizeBytes) return;
    throw new SealiftError("STORE_CUT", `the body went past its ${this.#promised.sizeBytes} bytes`);
  }

  #check(): void {
    const { sizeBytes, crc32c: stated } = this.#promised;
    if (this.#bytes !== sizeBytes) {
      throw new SealiftError("STORE_CUT", `the body ended at ${this.#bytes} of ${sizeBytes} bytes`);
    }
    if (stated !== undefined && stated !== this.#crc32c) {
      throw new SealiftError("STORE_CHECKSUM", "the bytes that came differ from the CRC32C that the source states");
    }
  }
}
