/**
 * A counted allowance (sockets, buffered bytes) shared by everything in one process. First come, first served, so that a large
 * request is not starved by small ones.
 */
import { onAbort } from "./abort.ts";

export class Budget {
  readonly limit: number;
  #free: number;
  readonly #queue: { readonly amount: number; readonly grant: () => void }[] = [];

  constructor(limit: number) {
    this.limit = limit;
    this.#free = limit;
  }

  /** Waits for `amount` (capped at the limit, so that no request waits for ever) and returns its release. */
  async take(amount: number, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const wanted = Math.min(amount, this.limit);
    if (this.#queue.length > 0 || this.#free < wanted) await this.#wait(wanted, signal);
    else this.#free -= wanted;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#free += wanted;
      this.#serve();
    };
  }

  #wait(amount: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const entry = {
        amount,
        grant: () => {
          unwatch?.();
          resolve();
        },
      };
      const leave = () => {
        const at = this.#queue.indexOf(entry);
        if (at < 0) return;
        this.#queue.splice(at, 1);
        reject(signal?.reason);
        this.#serve();
      };
      this.#queue.push(entry);
      const unwatch = signal && onAbort(signal, leave);
    });
  }

  #serve(): void {
    for (let first = this.#queue[0]; first && first.amount <= this.#free; first = this.#queue[0]) {
      this.#queue.shift();
      this.#free -= first.amount;
      first.grant();
    }
  }
}
