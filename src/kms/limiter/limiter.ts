/**
 * The pace of one resource in one process: calls go out one by one, first come, first served, as fast as the rate and the ceiling
 * let them. A call that is throttled is made again, before all that came later, for as long as it takes: whoever asked sees an
 * answer or another error, and never a throttle.
 */
import { onAbort } from "../../core/abort.ts";
import { SealiftError } from "../../core/error.ts";
import type { Ceiling, Clock, Pace } from "../../core/pace.ts";
import { Rate } from "./rate.ts";
import { SLACK_MS, Tokens, usable } from "./tokens.ts";

/** A provider that asks for a longer pause is asked again after this. */
const RETRY_AFTER_MAX_MS = 300_000;
/** Leases are asked for with what goes out in this time in mind. */
const AHEAD_MS = 100;

interface Place {
  /** Of arrival: a throttled call keeps its own. */
  readonly order: number;
  readonly since: number;
  grant(): void;
}

interface Hold {
  readonly perSecond: number;
  readonly tokens: Tokens;
}

export class Limiter {
  readonly resource: string;
  readonly #clock: Clock;
  readonly #rate: Rate;
  readonly #queue: Place[] = [];
  readonly #holds = new Set<Hold>();
  #arrivals = 0;
  #nextAt: number;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  /** The first of the queue has waited for a permit, and not for a pause that was asked for. */
  #held = false;
  #callOff: () => void = () => undefined;
  #requests = 0;
  #throttled = 0;
  #waitMs = 0;

  constructor(resource: string, clock: Clock) {
    this.resource = resource;
    this.#clock = clock;
    this.#rate = new Rate(clock.now());
    this.#nextAt = clock.now();
  }

  /** No faster than this, together with all who share the ceiling, until the answer is called. The strictest one counts. */
  hold(perSecond: number, ceiling: Ceiling): () => void {
    const hold = { perSecond, tokens: new Tokens(this.resource, ceiling, this.#clock, () => this.#pump()) };
    this.#holds.add(hold);
    return () => {
      this.#holds.delete(hold);
      this.#pump();
    };
  }

  /** Throws whatever the call throws, but no throttle; the signal's reason once it fires. */
  async run<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const order = this.#arrivals++;
    for (;;) {
      if (!this.#passes(signal)) await this.#permit(order, signal);
      const startedMs = this.#clock.now();
      try {
        return await call();
      } catch (error) {
        if (!(error instanceof SealiftError) || error.retry !== "throttled") throw error;
        this.#slow(startedMs, error.retryAfterMs ?? 0);
      }
    }
  }

  get pace(): Pace {
    const nowMs = this.#clock.now();
    return {
      resource: this.resource,
      requests: this.#requests,
      throttled: this.#throttled,
      rate: Math.round(this.#rate.perSecond),
      achieved: Math.round(this.#rate.achieved(nowMs)),
      waitMs: Math.round(this.#waitMs),
    };
  }

  #slow(startedMs: number, retryAfterMs: number): void {
    const nowMs = this.#clock.now();
    this.#throttled++;
    this.#rate.throttled(startedMs, nowMs);
    this.#pausedUntil = Math.max(this.#pausedUntil, nowMs + Math.min(retryAfterMs, RETRY_AFTER_MAX_MS));
  }

  /** Nobody waits and nothing is in the way, as it mostly is where no ceiling is shared: then nothing has to be set up for it. */
  #passes(signal: AbortSignal): boolean {
    signal.throwIfAborted();
    if (this.#queue.length > 0 || this.#holds.size > 0) return false;
    const nowMs = this.#clock.now();
    if (this.#blockedMs(nowMs) > 0) return false;
    this.#spend(nowMs, nowMs);
    return true;
  }

  #spend(nowMs: number, sinceMs: number): void {
    this.#requests++;
    this.#waitMs += nowMs - sinceMs;
    this.#rate.spend(nowMs, this.#held, this.#strictest()?.perSecond ?? Number.POSITIVE_INFINITY);
    this.#held = false;
    // A late timer may catch up, but not for long: a process that stood still does not come back with a burst.
    this.#nextAt = Math.max(this.#nextAt, nowMs - SLACK_MS) + 1000 / this.#rate.perSecond;
  }

  #permit(order: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const leave = () => {
        this.#queue.splice(this.#queue.indexOf(place), 1);
        reject(signal.reason);
        this.#pump();
      };
      const grant = () => {
        unwatch();
        resolve();
      };
      const place: Place = { order, since: this.#clock.now(), grant };
      this.#enter(place);
      const unwatch = onAbort(signal, leave);
      this.#pump();
    });
  }

  #enter(place: Place): void {
    const last = this.#queue.at(-1);
    if (!last || last.order < place.order) this.#queue.push(place);
    else
      this.#queue.splice(
        this.#queue.findIndex(({ order }) => order > place.order),
        0,
        place,
      );
  }

  #pump(): void {
    this.#callOff();
    this.#callOff = () => undefined;
    for (let first = this.#queue[0]; first; first = this.#queue[0]) {
      const nowMs = this.#clock.now();
      const blockedMs = this.#blockedMs(nowMs);
      if (blockedMs > 0) {
        if (Number.isFinite(blockedMs)) this.#callOff = this.#clock.after(blockedMs, () => this.#pump());
        return;
      }
      this.#queue.shift();
      this.#spend(nowMs, first.since);
      first.grant();
    }
  }

  /** 0: the first may go now. */
  #blockedMs(nowMs: number): number {
    const pausedMs = this.#pausedUntil - nowMs;
    if (pausedMs > 0) return pausedMs;
    const blockedMs = Math.max(this.#nextAt - nowMs, 0) || this.#ceilingMs(nowMs);
    if (blockedMs > 0) this.#held = true;
    return blockedMs;
  }

  #ceilingMs(nowMs: number): number {
    const strictest = this.#strictest();
    if (!strictest) return 0;
    const demand = this.#queue.length + Math.ceil((this.#rate.achieved(nowMs) * AHEAD_MS) / 1000);
    return strictest.tokens.take(nowMs, strictest.perSecond, Math.min(demand, usable(this.#rate.perSecond)));
  }

  #strictest(): Hold | undefined {
    let strictest: Hold | undefined;
    for (const hold of this.#holds) if (!strictest || hold.perSecond < strictest.perSecond) strictest = hold;
    return strictest;
  }
}
