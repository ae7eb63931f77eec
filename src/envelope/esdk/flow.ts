/** A body read in exact portions as it comes. Whatever is missing or left over is forged. */
import type { ByteStream } from "../../core/object.ts";
import { forged } from "./refusal.ts";

export class Flow {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);
  #done = false;

  constructor(source: ByteStream) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Its own copy of the next bytes; for portions that memory can hold. Throws SEAL_FORGED where there are fewer. */
  async take(sizeBytes: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for await (const piece of this.pieces(sizeBytes)) parts.push(Uint8Array.from(piece));
    return Buffer.concat(parts);
  }

  /** The next bytes in pieces as they come, each to be used before the next is asked for. */
  async *pieces(sizeBytes: number): ByteStream {
    let left = sizeBytes;
    while (left > 0) {
      if (this.#held.length === 0 && !(await this.#more())) throw forged();
      const piece = this.#held.subarray(0, left);
      this.#held = this.#held.subarray(piece.length);
      left -= piece.length;
      if (piece.length > 0) yield piece;
    }
  }

  /** Throws SEAL_FORGED where there is anything more. */
  async end(): Promise<void> {
    while (this.#held.length === 0) if (!(await this.#more())) return;
    throw forged();
  }

  async close(): Promise<void> {
    if (!this.#done) await this.#source.return?.();
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    this.#done = next.done === true;
    if (next.done) return false;
    const { buffer, byteOffset, byteLength } = next.value;
    this.#held = Buffer.from(buffer, byteOffset, byteLength);
    return true;
  }
}
