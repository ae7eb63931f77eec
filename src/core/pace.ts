/**
 * How fast a rationed resource may be asked. Its name says whose ration it is (`aws-kms/111122223333/eu-central-1`); the limiter that
 * keeps the pace lives in `kms`, the ceiling that processes share lives in Redis, and neither knows the other.
 */

/** Requests that may be made: so many, evenly from `waitMs` on, at the ceiling's own rate. */
export interface Lease {
  /** 0: none now, ask again after `waitMs`. */
  readonly granted: number;
  readonly waitMs: number;
}

/** A rate that several processes share. Never throws: where those that share cannot be reached, it grants what is safe alone. */
export interface Ceiling {
  lease(resource: string, perSecond: number, wanted: number): Promise<Lease>;
}

/** One resource in one process, in numbers. */
export interface Pace {
  readonly resource: string;
  readonly requests: number;
  readonly throttled: number;
  /** Requests a second that it allows itself. */
  readonly rate: number;
  /** Requests of the last second. */
  readonly achieved: number;
  /** Waited for permits, over all requests. */
  readonly waitMs: number;
}

/** Time, given from outside so that a test can simulate it. */
export interface Clock {
  /** Milliseconds that only grow. */
  now(): number;
  /** Returns what calls it off. */
  after(ms: number, act: () => void): () => void;
}

/** A ceiling over one process alone. */
export class OwnCeiling implements Ceiling {
  readonly #now: () => number;
  readonly #turns = new Map<string, Turns>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  async lease(resource: string, perSecond: number, wanted: number): Promise<Lease> {
    const turns = this.#turns.get(resource) ?? new Turns();
    this.#turns.set(resource, turns);
    return turns.take(this.#now(), perSecond, wanted);
  }
}

/** One rate, handed out in turns that do not overlap: what was not taken is not saved. */
class Turns {
  #freeAtMs = 0;

  take(nowMs: number, perSecond: number, wanted: number): Lease {
    const start = Math.max(this.#freeAtMs, nowMs);
    this.#freeAtMs = start + (wanted * 1000) / perSecond;
    return { granted: wanted, waitMs: start - nowMs };
  }
}
