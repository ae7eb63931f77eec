/**
 * The rate one process allows itself, by additive increase and multiplicative decrease: nobody tells us the quota, and others use
 * it too. Until the first throttle the rate climbs in proportion; it grows only while requests wait, because a rate that nobody has
 * tried says nothing about the quota. Under a ceiling it may stand above what the ceiling gives, so that all who share the ceiling
 * take equal leases; a cut begins at what was really asked.
 */

/** Requests a second at the start. */
export const START_RATE = 100;
/** Growth in one second before the first throttle. */
const CLIMB = 2;
/** Requests a second that are added in one second, after it. */
const GROWTH = 3;
const CUT = 0.7;
/** It never stops: only asking tells when the quota is free again. */
const RATE_MIN = 1;
const RATE_MAX = 100_000;
/** Between two cuts: a round trip, and not less than this, because quotas are counted over whole seconds. */
const CUT_MS_MIN = 100;
/** Growth is not made up for time in which nobody asked. */
const GROWTH_MS_MAX = 1000;
const WINDOW_MS = 500;

export class Rate {
  #perSecond = START_RATE;
  #climbing = true;
  #grownAt: number;
  #cutAt = Number.NEGATIVE_INFINITY;
  readonly #window: Recent;

  constructor(nowMs: number) {
    this.#grownAt = nowMs;
    this.#window = new Recent(nowMs);
  }

  get perSecond(): number {
    return this.#perSecond;
  }

  achieved(nowMs: number): number {
    return this.#window.perSecond(nowMs) ?? 0;
  }

  /** One request goes out; `held`: it had to wait. `most`: the ceiling. */
  spend(nowMs: number, held: boolean, most: number): void {
    this.#window.count(nowMs);
    const elapsedMs = Math.min(nowMs - this.#grownAt, GROWTH_MS_MAX);
    this.#grownAt = nowMs;
    if (held) {
      this.#perSecond = this.#climbing
        ? this.#perSecond * CLIMB ** (elapsedMs / 1000)
        : this.#perSecond + (GROWTH * elapsedMs) / 1000;
    }
    this.#perSecond = Math.max(RATE_MIN, Math.min(this.#perSecond, most, RATE_MAX));
  }

  /**
   * A request that went out at `startedMs` was throttled. Those that were under way at the last cut tell nothing new. What is cut
   * is what was really asked for, where that is less than what would have been allowed.
   */
  throttled(startedMs: number, nowMs: number): void {
    this.#climbing = false;
    if (startedMs < this.#cutAt || nowMs - this.#cutAt < CUT_MS_MIN) return;
    this.#cutAt = nowMs;
    this.#grownAt = nowMs;
    const asked = this.#window.perSecond(nowMs) ?? this.#perSecond;
    this.#perSecond = Math.max(RATE_MIN, Math.min(this.#perSecond, asked) * CUT);
  }
}

/** Requests of the last half to whole second, in two counters. */
class Recent {
  #startedAt: number;
  #before: number | undefined;
  #current = 0;

  constructor(nowMs: number) {
    this.#startedAt = nowMs;
  }

  count(nowMs: number): void {
    this.#turn(nowMs);
    this.#current++;
  }

  /** undefined: too early to say. */
  perSecond(nowMs: number): number | undefined {
    this.#turn(nowMs);
    if (this.#before === undefined) return undefined;
    return ((this.#before + this.#current) * 1000) / (WINDOW_MS + nowMs - this.#startedAt);
  }

  #turn(nowMs: number): void {
    const windows = Math.floor((nowMs - this.#startedAt) / WINDOW_MS);
    if (windows <= 0) return;
    this.#before = windows === 1 ? this.#current : 0;
    this.#current = 0;
    this.#startedAt += windows * WINDOW_MS;
  }
}
