/**
 * One kept connection, which carries one request at a time: the next is written only after the answer to the last has been read
 * to its end, by its own framing, and nothing came behind it.
 */
import type { Socket } from "node:net";
import { SealiftError } from "../../core/error.ts";
import { IDLE_MS, networkError } from "../sendable.ts";
import { Answer } from "./answer.ts";
import { Body, type Flow } from "./body.ts";
import type { AnswerHead } from "./head.ts";
import type { Door } from "./open.ts";
import { type AnswerSink, AnswerParser } from "./parser.ts";
import type { Carrier, Exchange } from "./request.ts";
import { transmit } from "./transmit.ts";

/** Whoever has the connections of an origin. */
export interface Owner {
  /** Coarse time: it moves on while there is something to wait for. */
  readonly tick: number;
  /** Where heads and small bodies are read to; its bytes are used up before the next read. */
  readonly scratch: Buffer;
  /** It has come to be, and may carry its first request. */
  opened(connection: Connection): void;
  /** It may carry the next request. */
  free(connection: Connection): void;
  /** It carries none any more. `error`: it never came to be. */
  gone(connection: Connection, error: unknown): void;
  /** Its request met the end of a kept connection, and nothing was heard of it. */
  again(exchange: Exchange): void;
}

/** In ticks. */
export interface Patience {
  readonly connect: number;
  readonly silence: number;
  readonly timeoutMs: number;
}

type State = "opening" | "idle" | "busy" | "gone";

/** So much earlier than the other side says: a request must not meet its end. */
const EARLIER_MS = 1000;

export class Connection implements AnswerSink, Flow, Carrier {
  readonly origin: string;
  readonly #owner: Owner;
  readonly #parser: AnswerParser;
  readonly #socket: Socket;
  #state: State = "opening";
  #exchange: Exchange | undefined;
  #body: Body | undefined;
  #head: AnswerHead | undefined;
  /** The part of a body that the socket was told to read to. */
  #target: Buffer | undefined;
  #isSent = true;
  /** It has carried a request before this one. */
  #isKept = false;
  /** Something of the answer has come. */
  #isHeard = false;
  #isPaused = false;
  #isHeld = true;
  /** The tick at which something last moved. */
  #since: number;
  #staleAtMs = Number.POSITIVE_INFINITY;

  constructor(door: Door, owner: Owner) {
    this.origin = door.origin;
    this.#owner = owner;
    this.#since = owner.tick;
    this.#parser = new AnswerParser(door.origin, this);
    const onread = {
      buffer: () => this.#nextBuffer(),
      callback: (count: number, bytes: Uint8Array) => this.#read(count, bytes),
    };
    this.#socket = door.open(onread, () => this.#opened());
    this.#socket.on("error", (error) => this.#lost(networkError(error, this.origin)));
    this.#socket.on("end", () => this.#ended());
    this.#socket.on("close", () => this.#ended());
  }

  /** False where it has been idle for longer than either side keeps it, or the other side has closed it. */
  get isFresh(): boolean {
    return this.#state === "idle" && performance.now() < this.#staleAtMs && !this.#socket.destroyed;
  }

  start(exchange: Exchange): void {
    if (this.#state !== "idle") throw new SealiftError("INTERNAL", `${this.origin}: a request for a connection in use`);
    this.#state = "busy";
    this.#exchange = exchange;
    this.#body = undefined;
    this.#head = undefined;
    this.#since = this.#owner.tick;
    if (!this.#isHeld) {
      this.#isHeld = true;
      this.#socket.ref();
    }
    exchange.watch(this);
    this.#parser.begin(exchange.method);
    this.#isSent = false;
    this.#isHeard = false;
    transmit(this.#socket, exchange, (isLast) => {
      this.#isSent = isLast;
      this.#since = this.#owner.tick;
    });
  }

  // told by the socket

  #opened(): void {
    if (this.#state !== "opening") return;
    this.#state = "idle";
    this.#owner.opened(this);
  }

  #nextBuffer(): Buffer {
    const count = this.#parser.straightBytes;
    this.#target = count > 0 && this.#body?.isStraight ? this.#body.space(count) : undefined;
    return this.#target ?? this.#owner.scratch;
  }

  /** False: read no more until `resume`. */
  #read(count: number, bytes: Uint8Array): boolean {
    this.#since = this.#owner.tick;
    // An answer that nobody asked for; the next request would take it for its own.
    if (this.#state !== "busy") {
      this.destroy();
      return false;
    }
    this.#isHeard = true;
    try {
      const used = this.#take(count, bytes as Buffer);
      if (this.#parser.isDone) {
        this.#complete(used === count);
        return true;
      }
    } catch (error) {
      this.#fail(error);
      return false;
    }
    if (count < bytes.length) this.#body?.pause();
    this.#isPaused = this.#body?.isFull === true;
    return !this.#isPaused;
  }

  /** How many of the bytes belong to the answer. */
  #take(count: number, bytes: Buffer): number {
    const body = this.#body;
    if (bytes !== this.#target || !body?.isStraight) return this.#parser.feed(bytes.subarray(0, count));
    const used = Math.min(count, this.#parser.straightBytes);
    body.filled(used);
    this.#parser.advance(used);
    return used;
  }

  #ended(): void {
    if (this.#state !== "busy") return this.#fail(this.#closed("before it was used"));
    try {
      if (!this.#parser.close()) this.#lost(this.#closed(this.#head ? "within its answer" : "before its answer"));
      else this.#complete(false);
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * The other side may close a kept connection while the next request is on its way to it. Where that request changes nothing, it is
   * asked once more, on another connection (RFC 9112, 9.3.1); any other is told, and whoever sent it looks what became of it.
   */
  #lost(error: unknown): void {
    const exchange = this.#exchange;
    const isAgain = this.#isKept && !this.#isHeard && exchange?.isSafe === true && !exchange.isRepeated;
    if (this.#state !== "busy" || !isAgain) return this.#fail(error);
    exchange.unwatch();
    exchange.isRepeated = true;
    this.#exchange = undefined;
    this.#fail(error);
    this.#owner.again(exchange);
  }

  #closed(when: string): SealiftError {
    return new SealiftError("NET_UNREACHABLE", `${this.origin}: the other side closed the connection ${when}`);
  }

  // told by the parser

  head(head: AnswerHead): void {
    this.#head = head;
    const { framing } = head;
    this.#body = new Body(this, typeof framing === "number" ? framing : undefined);
    this.#exchange?.resolve(new Answer(head, this.#body));
  }

  body(bytes: Buffer, from: number, until: number): void {
    this.#body?.append(bytes, from, until);
  }

  /** The parser is asked once it has returned: the next request must not begin within a read of this one. */
  end(): void {}

  #complete(isExact: boolean): void {
    const head = this.#head as AnswerHead;
    this.#exchange?.unwatch();
    this.#exchange = undefined;
    this.#body?.finish();
    this.#body = undefined;
    const isWritten = this.#isSent && this.#socket.writableLength === 0;
    const keptMs = Math.min(IDLE_MS, (head.keepsMs ?? Number.POSITIVE_INFINITY) - EARLIER_MS);
    if (!isExact || !isWritten || !head.keeps || keptMs <= 0) return this.destroy();
    this.#staleAtMs = performance.now() + keptMs;
    this.#state = "idle";
    this.#isKept = true;
    this.#since = this.#owner.tick;
    this.#owner.free(this);
  }

  // told by the body's reader, the signal and the clock

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#since = this.#owner.tick;
    this.#socket.resume();
  }

  drop(): void {
    this.destroy();
  }

  abort(exchange: Exchange, reason: unknown): void {
    if (exchange === this.#exchange) this.#fail(reason, true);
  }

  check({ connect, silence, timeoutMs }: Patience): void {
    const quiet = this.#owner.tick - this.#since;
    if (this.#state === "opening" && quiet > connect) {
      this.#fail(new SealiftError("NET_TIMEOUT", `${this.origin}: no connection in time`));
    } else if (this.#state === "busy" && !this.#isPaused && quiet > silence) {
      this.#fail(new SealiftError("NET_TIMEOUT", `${this.origin}: silent for ${timeoutMs} ms`));
    } else if (this.#state === "idle") this.#rest();
  }

  /** A connection that nobody uses keeps no program alive, and is not kept for ever. */
  #rest(): void {
    if (!this.isFresh) return this.destroy();
    if (this.#isHeld) this.#socket.unref();
    this.#isHeld = false;
  }

  destroy(): void {
    this.#fail(new SealiftError("NET_UNREACHABLE", `${this.origin}: the connection was closed here`));
  }

  /** Resolves once its socket is closed. */
  closed(): Promise<void> {
    this.destroy();
    if (this.#socket.closed) return Promise.resolve();
    return new Promise((resolve) => this.#socket.once("close", () => resolve()));
  }

  #fail(error: unknown, atOnce = false): void {
    if (this.#state === "gone") return;
    const [wasOpening, exchange, body] = [this.#state === "opening", this.#exchange, this.#body];
    this.#state = "gone";
    this.#exchange = undefined;
    this.#body = undefined;
    this.#socket.destroy();
    exchange?.unwatch();
    if (body === undefined) exchange?.reject(error);
    else body.fail(error, atOnce);
    this.#owner.gone(this, wasOpening ? error : undefined);
  }
}
