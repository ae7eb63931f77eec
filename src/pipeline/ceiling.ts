/**
 * A rate that all processes of one Redis share, leased from it in turns. One number a resource is kept there: until when the rate is
 * given away. A lease moves it on, so that turns never overlap, whoever asks and in whatever order; Redis's clock is the only one.
 * Where Redis does not answer, a process takes its part of the rate as of the workers last seen.
 */
import type { Redis } from "ioredis";
import { type Ceiling, type Lease, OwnCeiling } from "../core/pace.ts";
import { PACE } from "./keys.ts";
import { workerStatus } from "./workers.ts";

/**
 * KEYS pace. ARGV perSecond, wanted. Answers how many were granted, and after how many microseconds their turn begins (or when to
 * ask again). Turns are given out for 2 seconds ahead and no further; a number far above that was written before the clock was set
 * back, or by another clock.
 */
const LEASE = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local free = tonumber(redis.call('GET', KEYS[1]) or '') or now
if free < now or free > now + 10000000 then free = now end
if free > now + 2000000 then return { 0, free - now - 2000000 } end
local wanted = tonumber(ARGV[2])
local taken = free + math.ceil(wanted * 1000000 / tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', taken), 'PX', 60000)
return { wanted, free - now }
`;

/** Longer than this a lease is not waited for: the process goes on alone. */
const ANSWER_MS = 1000;
const WORKERS_MS = 15_000;

export class RedisCeiling implements Ceiling {
  readonly #redis: Redis;
  readonly #now: () => number;
  readonly #alone: OwnCeiling;
  #workers = 1;
  #countedAt = Number.NEGATIVE_INFINITY;
  /** The last answer that did not come in time: until it does, Redis is not asked again. */
  #overdue: Promise<unknown> | undefined;

  constructor(redis: Redis, now: () => number = () => performance.now()) {
    this.#redis = redis;
    this.#now = now;
    this.#alone = new OwnCeiling(now);
  }

  async lease(resource: string, perSecond: number, wanted: number): Promise<Lease> {
    const answer = await this.#ask(resource, perSecond, wanted).catch(() => undefined);
    if (!answer) return this.#alone.lease(resource, perSecond / this.#workers, wanted);
    this.#count();
    return answer;
  }

  async #ask(resource: string, perSecond: number, wanted: number): Promise<Lease | undefined> {
    // Commands to a Redis that is gone would wait for it to come back.
    if (this.#overdue || this.#redis.status !== "ready") return undefined;
    const answer = this.#redis.eval(LEASE, 1, PACE + resource, perSecond, wanted);
    const found = await Promise.race([answer, after(ANSWER_MS)]);
    if (Array.isArray(found)) return { granted: Number(found[0]), waitMs: Number(found[1]) / 1000 };
    const done = () => void (this.#overdue = undefined);
    this.#overdue = answer.then(done, done);
    return undefined;
  }

  /** How many would share, should Redis go away. */
  #count(): void {
    if (this.#now() - this.#countedAt < WORKERS_MS) return;
    this.#countedAt = this.#now();
    workerStatus(this.#redis).then(
      (workers) => {
        this.#workers = Math.max(1, workers.filter(({ kind }) => kind === "copy").length);
      },
      () => undefined,
    );
  }
}

const after = (ms: number): Promise<undefined> =>
  new Promise((resolve) => setTimeout(() => resolve(undefined), ms).unref());
