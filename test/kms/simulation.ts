/** Time that passes only when nothing is left to do, and a quota that somebody else draws on too. */
import { SealiftError } from "../../src/core/error.ts";
import type { Clock } from "../../src/core/pace.ts";

interface Due {
  readonly at: number;
  readonly order: number;
  act: (() => void) | undefined;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #heap: Due[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, act: () => void): () => void {
    const due: Due = { at: this.#nowMs + ms, order: this.#order++, act };
    this.#push(due);
    return () => {
      due.act = undefined;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Every promise settles before time goes on. */
  async runUntil(endMs: number): Promise<void> {
    await settled();
    for (let due = this.#heap[0]; due && due.at <= endMs; due = this.#heap[0]) {
      this.#pop();
      if (!due.act) continue;
      this.#nowMs = due.at;
      due.act();
      await settled();
    }
    this.#nowMs = endMs;
  }

  #push(due: Due): void {
    let at = this.#heap.push(due) - 1;
    for (let up = (at - 1) >> 1; at > 0 && isBefore(due, this.#heap[up] as Due); up = (at - 1) >> 1) {
      this.#heap[at] = this.#heap[up] as Due;
      at = up;
    }
    this.#heap[at] = due;
  }

  #pop(): void {
    const last = this.#heap.pop() as Due;
    if (this.#heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      const [left, right] = [this.#heap[down], this.#heap[down + 1]];
      if (left && right && isBefore(right, left)) down++;
      const below = this.#heap[down];
      if (!below || isBefore(last, below)) break;
      this.#heap[at] = below;
      at = down;
    }
    this.#heap[at] = last;
  }
}

const isBefore = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A token bucket on simulated time: a second's worth may come at once. */
export class SharedQuota {
  readonly perSecond: number;
  readonly #clock: VirtualClock;
  #tokens: number;
  #at = 0;

  constructor(perSecond: number, clock: VirtualClock) {
    this.perSecond = perSecond;
    this.#clock = clock;
    this.#tokens = perSecond;
  }

  take(): boolean {
    const nowMs = this.#clock.now();
    this.#tokens = Math.min(this.perSecond, this.#tokens + ((nowMs - this.#at) * this.perSecond) / 1000);
    this.#at = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

export const throttle = (retryAfterMs?: number) => new SealiftError("THROTTLED", "slow down", { retryAfterMs });
