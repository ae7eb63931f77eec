/**
 * The body of one answer, between the connection that fills it and the reader that empties it. A small one is a single buffer of
 * its own; a large one is read straight into large buffers, two of which may wait for a slow reader.
 */
import { CHUNK_BYTES, Lease } from "../buffers.ts";
import { DRAIN_BYTES_MAX, tooMuch } from "../sendable.ts";

/** What a body may ask of its connection. */
export interface Flow {
  readonly origin: string;
  /** Reads on, after `isFull`. */
  resume(): void;
  /** The rest will not be read: the connection is closed. */
  drop(): void;
}

/** Bodies up to this size are copied into one buffer of just their size. */
export const SMALL_BYTES_MAX = CHUNK_BYTES;
const WAITING_BYTES_MAX = 2 * CHUNK_BYTES;
/** What comes without a length begins in a buffer of this size. */
const FIRST_BYTES = 16 * 1024;

type Result = IteratorResult<Uint8Array, undefined>;
interface Waiting {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}
type Mode = "read" | "whole" | "discard";

const END: Result = { done: true, value: undefined };

export class Body implements AsyncIterableIterator<Uint8Array, undefined, undefined> {
  readonly #flow: Flow;
  /** Where it is known; -1 where not. */
  readonly #length: number;
  #mode: Mode = "read";
  /** Bytes [#from, #until) of it have come and are not yet read. */
  #buffer: Buffer | undefined;
  /** Of a large buffer. */
  #lease: Lease | undefined;
  #from = 0;
  #until = 0;
  readonly #queue: Buffer[] = [];
  #queuedBytes = 0;
  #discardedBytes = 0;
  #isOver = false;
  #error: { readonly error: unknown } | undefined;
  #waiting: Waiting | undefined;

  constructor(flow: Flow, length: number | undefined) {
    this.#flow = flow;
    this.#length = length ?? -1;
  }

  // the connection's side

  get isFull(): boolean {
    return this.#queuedBytes >= WAITING_BYTES_MAX;
  }

  /** Large and wanted: its bytes may be read straight to where `space` says. */
  get isStraight(): boolean {
    return this.#length > SMALL_BYTES_MAX && this.#mode !== "discard";
  }

  /** Where the next of `count` bytes to come belong, with room for one more that should not come. Until `filled`, nothing else moves it. */
  space(count: number): Buffer {
    const buffer = this.#room();
    const room = CHUNK_BYTES - this.#until;
    return buffer.subarray(this.#until, this.#until + (count <= room ? count + 1 : room));
  }

  filled(count: number): void {
    this.#until += count;
    if (this.#until < CHUNK_BYTES) return;
    this.#rotate();
    this.#serve();
  }

  append(bytes: Buffer, from: number, until: number): void {
    if (this.#mode === "discard") return this.#discard(until - from);
    for (let at = from; at < until; ) {
      const buffer = this.#room();
      const count = Math.min(until - at, this.#capacity(buffer) - this.#until);
      bytes.copy(buffer, this.#until, at, at + count);
      this.#until += count;
      at += count;
      if (this.#until === this.#capacity(buffer)) this.#rotate();
    }
    if (this.#queue.length > 0) this.#serve();
  }

  /** Nothing more has come so far: a reader that waits gets what is there. */
  pause(): void {
    if (this.#waiting === undefined || this.#mode !== "read") return;
    this.#serve();
  }

  finish(): void {
    this.#isOver = true;
    this.#rotate();
    this.#serve();
  }

  /** `atOnce`: what has come and was not read is lost as well. */
  fail(error: unknown, atOnce: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (atOnce) this.#forget();
    else this.#rotate();
    this.#error = { error };
    this.#serve();
  }

  // the reader's side

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    const ready = this.#take();
    if (ready !== undefined) return Promise.resolve({ done: false, value: ready });
    if (this.#isOver) return this.#end();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  async return(): Promise<Result> {
    this.#abandon();
    return END;
  }

  async collect(bytesMax: number): Promise<Buffer> {
    const { origin } = this.#flow;
    if (this.#length > bytesMax) {
      this.#abandon();
      throw tooMuch(origin, bytesMax);
    }
    // A small body of known length is one buffer, if nobody takes parts of it.
    this.#mode = this.#length >= 0 && this.#length <= SMALL_BYTES_MAX ? "whole" : "read";
    const first = await this.next();
    if (first.done) return Buffer.alloc(0);
    if (first.value.length === this.#length) return first.value as Buffer;
    return this.#gather(first.value, bytesMax);
  }

  /** Reads small rests to their end; larger ones close the connection. Never throws. */
  async dismiss(): Promise<void> {
    const seen = this.#queuedBytes + this.#until - this.#from;
    this.#mode = "discard";
    this.#forget();
    this.#discard(seen);
    if (this.#length > DRAIN_BYTES_MAX && !this.#isOver) this.#abandon();
    if (this.#isOver) return;
    this.#flow.resume();
    await this.next().catch(() => undefined);
  }

  async #gather(first: Uint8Array, bytesMax: number): Promise<Buffer> {
    const chunks = [first];
    let size = first.length;
    for (let more = await this.next(); !more.done; more = await this.next()) {
      size += more.value.length;
      if (size > bytesMax) break;
      chunks.push(more.value);
    }
    if (size <= bytesMax) return Buffer.concat(chunks, size);
    this.#abandon();
    throw tooMuch(this.#flow.origin, bytesMax);
  }

  #abandon(): void {
    this.#forget();
    if (this.#isOver) {
      this.#error = undefined;
      return;
    }
    this.#isOver = true;
    this.#flow.drop();
    this.#serve();
  }

  /** A large buffer is left to the collector: the socket may be about to write to it. */
  #forget(): void {
    this.#forgetBuffer();
    this.#queue.length = 0;
    this.#queuedBytes = 0;
  }

  #forgetBuffer(): void {
    this.#buffer = undefined;
    this.#lease = undefined;
    this.#from = 0;
    this.#until = 0;
  }

  #discard(count: number): void {
    this.#discardedBytes += count;
    if (this.#discardedBytes > DRAIN_BYTES_MAX && !this.#isOver) this.#abandon();
  }

  /** An error is told once, to whoever reads to the end. */
  #end(): Promise<Result> {
    const failure = this.#error;
    this.#error = undefined;
    return failure === undefined ? Promise.resolve(END) : Promise.reject(failure.error as Error);
  }

  #serve(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const ready = this.#take();
    if (ready === undefined && !this.#isOver) return;
    this.#waiting = undefined;
    if (ready !== undefined) waiting.resolve({ done: false, value: ready });
    else this.#end().then(waiting.resolve, waiting.reject);
  }

  #take(): Buffer | undefined {
    if (this.#queue.length === 0 && this.#mode === "read") this.#cut();
    const chunk = this.#queue.shift();
    if (chunk === undefined) return undefined;
    const wasFull = this.isFull;
    this.#queuedBytes -= chunk.length;
    if (wasFull && !this.isFull && !this.#isOver) this.#flow.resume();
    return chunk;
  }

  /** Hands out what has come of a buffer that is not full yet; it is filled on behind that. */
  #cut(): void {
    const buffer = this.#buffer;
    if (buffer === undefined || this.#until === this.#from) return;
    this.#enqueue(this.#lease?.lend(this.#from, this.#until) ?? buffer.subarray(this.#from, this.#until));
    this.#from = this.#until;
  }

  /** The next bytes begin another buffer. */
  #rotate(): void {
    this.#cut();
    this.#lease?.close();
    this.#forgetBuffer();
  }

  #enqueue(chunk: Buffer): void {
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
  }

  #capacity(buffer: Buffer): number {
    return this.#lease === undefined ? buffer.length : CHUNK_BYTES;
  }

  #room(): Buffer {
    if (this.#buffer !== undefined) return this.#buffer;
    // The length is the other side's word: memory is set aside for it only up to a chunk.
    const isLarge = this.#length > SMALL_BYTES_MAX || (this.#length < 0 && this.#queuedBytes > 0);
    const size = this.#length < 0 ? FIRST_BYTES : this.#length;
    if (isLarge) this.#lease = new Lease();
    this.#buffer = this.#lease?.bytes ?? (size < FIRST_BYTES ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size));
    return this.#buffer;
  }
}
