/** A body taken into memory under the process's allowance: whole, or part by part, and never longer or shorter than announced. */
import type { Budget } from "../core/budget.ts";
import { crc32cInPassing, crc32cOfEnd } from "../core/crc32c.ts";
import { SealiftError } from "../core/error.ts";
import { Held } from "../core/held.ts";
import type { ByteStream } from "../core/object.ts";
import { giveBack } from "../wire/buffers.ts";
import { checksum, cut } from "./fit.ts";
import type { PutOptions } from "./store.ts";

export interface Part {
  /** From 1. */
  readonly number: number;
  readonly pieces: readonly Uint8Array[];
  readonly sizeBytes: number;
  readonly crc32c: number;
  /** CRC32C of the body up to and with this part. */
  readonly crc32cSoFar: number;
  /** Gives the memory back; whoever receives the part owes it. */
  readonly release: () => void;
}

export type Announced = Pick<PutOptions, "sizeBytes" | "crc32c" | "signal">;

/**
 * Parts of `partBytes`, the last one smaller. The last part is given out only after the body has ended where it should and its
 * CRC32C is the one announced: until then nothing that was sent can become an object. An empty body is one empty part.
 */
export async function* partsOf(
  key: string,
  body: ByteStream,
  announced: Announced,
  partBytes: number,
  budget: Budget,
): AsyncGenerator<Part> {
  const { sizeBytes, signal } = announced;
  const parts = new PartBuffer(sizeBytes, partBytes, budget, signal);
  try {
    let actualBytes = 0;
    await parts.begin();
    for await (const chunk of body) {
      signal.throwIfAborted();
      actualBytes += chunk.length;
      if (actualBytes > sizeBytes) throw cut(key, actualBytes, sizeBytes);
      for (let rest = parts.fill(chunk); rest.length > 0; rest = parts.fill(rest)) {
        yield parts.take();
        await parts.begin();
      }
    }
    signal.throwIfAborted();
    if (actualBytes !== sizeBytes) throw cut(key, actualBytes, sizeBytes);
    const last = parts.take();
    if (announced.crc32c !== undefined && announced.crc32c !== last.crc32cSoFar) {
      last.release();
      throw checksum(key, "the body differs from the CRC32C announced for it");
    }
    yield last;
  } finally {
    parts.drop();
  }
}

class PartBuffer {
  readonly #sizeBytes: number;
  readonly #partBytes: number;
  readonly #budget: Budget;
  readonly #signal: AbortSignal;
  #number = 0;
  #held: Held | undefined;
  /** Of the body up to this part, and up to its last byte so far. */
  #crcBefore = 0;
  #crcSoFar = 0;

  constructor(sizeBytes: number, partBytes: number, budget: Budget, signal: AbortSignal) {
    this.#sizeBytes = sizeBytes;
    this.#partBytes = partBytes;
    this.#budget = budget;
    this.#signal = signal;
  }

  async begin(): Promise<void> {
    const wanted = Math.min(this.#partBytes, this.#sizeBytes - this.#number * this.#partBytes);
    this.#held = await Held.room(wanted, this.#budget, this.#signal);
    this.#crcBefore = this.#crcSoFar;
    this.#number++;
  }

  /** Copies (callers wipe their chunks) and returns what did not fit. */
  fill(chunk: Uint8Array): Uint8Array {
    const rest = this.#inHand().fill(chunk);
    const fitting = rest.length === 0 ? chunk : chunk.subarray(0, chunk.length - rest.length);
    this.#crcSoFar = crc32cInPassing(fitting, this.#crcSoFar);
    // It is copied, and whoever yields a chunk reads it no more.
    if (rest.length === 0) giveBack(chunk);
    return rest;
  }

  take(): Part {
    const held = this.#inHand();
    this.#held = undefined;
    const { pieces, sizeBytes } = held;
    const release = () => held.release();
    const crc32cSoFar = this.#crcSoFar;
    const crc32c = this.#number === 1 ? crc32cSoFar : crc32cOfEnd(crc32cSoFar, this.#crcBefore, sizeBytes);
    return { number: this.#number, pieces, sizeBytes, crc32c, crc32cSoFar, release };
  }

  drop(): void {
    this.#held?.release();
    this.#held = undefined;
  }

  #inHand(): Held {
    if (this.#held) return this.#held;
    throw new SealiftError("INTERNAL", "a part was filled before it was begun");
  }
}
