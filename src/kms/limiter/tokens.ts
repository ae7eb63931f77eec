/**
 * What a process holds of a shared ceiling: leases of permits, each spread evenly over its own turn. The next lease is asked for
 * while the last is being used, so that a round trip costs no time; permits that nobody used in time are given up, so that no
 * process saves up for a burst.
 */
import type { Ceiling, Clock } from "../../core/pace.ts";

/** A turn lasts about this long. */
const TURN_MS = 50;
const LEASE_MIN = 20;
const LEASE_MAX = 200;
/** Permits live this long after their turn began, or as long as the turn itself: no second sees more than its own and these. */
const LIFE_MS = 150;
/** A ceiling that fails against its contract is asked again after this. */
const AGAIN_MS = 1000;
/** How late a timer may fire without a permit being lost. */
export const SLACK_MS = 50;

interface Held {
  left: number;
  /** When the next permit of it may be used. */
  nextAt: number;
  readonly gapMs: number;
  readonly diesAt: number;
}

/** The largest lease at this rate: 20 to 200, but never more than a second's worth. */
export const leaseMax = (perSecond: number): number =>
  Math.max(1, Math.floor(Math.min(Math.max((perSecond * TURN_MS) / 1000, LEASE_MIN), LEASE_MAX, perSecond)));

/** What a process of this rate can use before it dies. */
export const usable = (rate: number): number => Math.ceil((rate * LIFE_MS) / 1000);

export class Tokens {
  readonly #resource: string;
  readonly #ceiling: Ceiling;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #held: Held[] = [];
  #asking = false;
  #askAt = 0;

  /** `onChange`: there may be more permits than a moment ago. */
  constructor(resource: string, ceiling: Ceiling, clock: Clock, onChange: () => void) {
    this.#resource = resource;
    this.#ceiling = ceiling;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Takes a permit and answers 0, or says after how long to try again; Infinity: `onChange` will tell. */
  take(nowMs: number, perSecond: number, demand: number): number {
    this.#held = this.#held.filter(({ left, diesAt }) => left > 0 && nowMs < diesAt);
    this.#ask(nowMs, perSecond, demand);
    const [first] = this.#held;
    if (!first) return this.#asking ? Number.POSITIVE_INFINITY : Math.max(this.#askAt - nowMs, 1);
    if (nowMs < first.nextAt) return first.nextAt - nowMs;
    first.left--;
    first.nextAt = Math.max(first.nextAt, nowMs - SLACK_MS) + first.gapMs;
    return 0;
  }

  /** No more than is waited for: an idle process holds nothing that another could use. */
  #ask(nowMs: number, perSecond: number, demand: number): void {
    const most = leaseMax(perSecond);
    const left = this.#held.reduce((sum, held) => sum + held.left, 0);
    const wanted = Math.min(most, demand - left);
    if (this.#asking || nowMs < this.#askAt || wanted <= 0 || left > most / 2) return;
    this.#asking = true;
    void this.#lease(perSecond, wanted).finally(() => {
      this.#asking = false;
      this.#onChange();
    });
  }

  async #lease(perSecond: number, wanted: number): Promise<void> {
    try {
      const { granted, waitMs } = await this.#ceiling.lease(this.#resource, perSecond, wanted);
      const startsAt = this.#clock.now() + waitMs;
      if (granted <= 0) this.#askAt = startsAt;
      else this.#held.push({ left: granted, nextAt: startsAt, gapMs: 1000 / perSecond, diesAt: startsAt + LIFE_MS });
    } catch {
      // Slower, never over the ceiling.
      this.#askAt = this.#clock.now() + AGAIN_MS;
    }
  }
}
