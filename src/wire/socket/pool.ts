/**
 * The connections to one origin: the one used last is used first, so that the others may go; whoever finds none waits in line, and
 * leaves it at once when called off.
 */
import { SealiftError } from "../../core/error.ts";
import type { HttpOptions } from "../http.ts";
import { CONNECT_TIMEOUT_MS, CONNECTIONS, TIMEOUT_MS } from "../sendable.ts";
import { Connection, type Owner, type Patience } from "./connection.ts";
import type { Door } from "./open.ts";
import type { Carrier, Exchange } from "./request.ts";

const SCRATCH_BYTES = 64 * 1024;
const TICK_MS_MAX = 500;
const TICK_MS_MIN = 5;
const TICKS_OF_SILENCE = 16;

export class Pool implements Owner, Carrier {
  readonly #door: Door;
  readonly #max: number;
  readonly #tickMs: number;
  readonly #patience: Patience;
  readonly #all = new Set<Connection>();
  readonly #idle: Connection[] = [];
  readonly #waiting = new Set<Exchange>();
  #opening = 0;
  #clock: NodeJS.Timeout | undefined;
  #isClosed = false;
  tick = 0;
  /** One for all connections: a read is used up before the next one begins. */
  readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  constructor(door: Door, { connections = CONNECTIONS, timeoutMs = TIMEOUT_MS }: HttpOptions) {
    this.#door = door;
    this.#max = connections;
    this.#tickMs = Math.min(TICK_MS_MAX, Math.max(TICK_MS_MIN, Math.ceil(timeoutMs / TICKS_OF_SILENCE)));
    this.#patience = {
      connect: Math.ceil(CONNECT_TIMEOUT_MS / this.#tickMs),
      silence: Math.ceil(timeoutMs / this.#tickMs),
      timeoutMs,
    };
  }

  run(exchange: Exchange): void {
    if (this.#isClosed) return exchange.reject(this.#closed());
    const connection = this.#waiting.size === 0 ? this.#freshest() : undefined;
    if (connection !== undefined) return connection.start(exchange);
    exchange.watch(this);
    this.#waiting.add(exchange);
    this.#grow();
  }

  /** Of one that waits. */
  abort(exchange: Exchange, reason: unknown): void {
    this.#waiting.delete(exchange);
    exchange.reject(reason);
  }

  opened(connection: Connection): void {
    this.#opening--;
    this.free(connection);
  }

  free(connection: Connection): void {
    const [first] = this.#waiting;
    if (first === undefined) {
      this.#idle.push(connection);
      return;
    }
    this.#waiting.delete(first);
    connection.start(first);
  }

  gone(connection: Connection, error: unknown): void {
    this.#all.delete(connection);
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    if (error !== undefined) this.#opening--;
    // Somebody must hear of it, or a line would wait for an origin that is not there.
    const [first] = this.#waiting;
    if (error !== undefined && first !== undefined) {
      this.#waiting.delete(first);
      first.reject(error);
    }
    if (this.#all.size === 0) this.#stopClock();
    this.#grow();
  }

  /** Not on one that has been kept as long: unless there is room for no other. */
  again(exchange: Exchange): void {
    if (this.#isClosed || this.#all.size >= this.#max) return this.run(exchange);
    exchange.watch(this);
    this.#waiting.add(exchange);
    this.#grow();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const exchange of waiting) exchange.reject(this.#closed());
    await Promise.all([...this.#all].map((connection) => connection.closed()));
    this.#stopClock();
  }

  #closed(): SealiftError {
    return new SealiftError("NET_UNREACHABLE", `${this.#door.origin}: the client is closed`);
  }

  #freshest(): Connection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined || connection.isFresh) return connection;
      connection.destroy();
    }
  }

  /** As many are on their way as wait for one. */
  #grow(): void {
    while (!this.#isClosed && this.#opening < this.#waiting.size && this.#all.size < this.#max) {
      this.#opening++;
      this.#all.add(new Connection(this.#door, this));
      this.#startClock();
    }
  }

  #startClock(): void {
    this.#clock ??= setInterval(() => {
      this.tick++;
      for (const connection of this.#all) connection.check(this.#patience);
    }, this.#tickMs).unref();
  }

  #stopClock(): void {
    clearInterval(this.#clock);
    this.#clock = undefined;
  }
}
