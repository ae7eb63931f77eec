/** What the pocket key services grant a second, to all callers together: a token bucket, as the real ones have, counted by caller. */

export interface QuotaCounts {
  served: number;
  throttled: number;
}

export class Quota {
  readonly #now: () => number;
  #perSecond: number | undefined;
  #tokens = 0;
  #at = 0;
  readonly callers = new Map<string, QuotaCounts>();

  constructor(perSecond: number | undefined, now: () => number = () => performance.now()) {
    this.#now = now;
    this.set(perSecond);
  }

  /** From now on, with a full bucket and the counts at nought; undefined: no limit. */
  set(perSecond: number | undefined): void {
    this.#perSecond = perSecond;
    this.#tokens = perSecond ?? 0;
    this.#at = this.#now();
    this.callers.clear();
  }

  get perSecond(): number | undefined {
    return this.#perSecond;
  }

  /** False: this request is one too many. A second's worth may come at once. */
  take(caller: string): boolean {
    const counts = this.callers.get(caller) ?? { served: 0, throttled: 0 };
    this.callers.set(caller, counts);
    const granted = this.#grant();
    if (granted) counts.served++;
    else counts.throttled++;
    return granted;
  }

  #grant(): boolean {
    if (this.#perSecond === undefined) return true;
    const nowMs = this.#now();
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((nowMs - this.#at) * this.#perSecond) / 1000);
    this.#at = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  get served(): number {
    return [...this.callers.values()].reduce((sum, { served }) => sum + served, 0);
  }
}
