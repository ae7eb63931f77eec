/** The part of the window that is about huge objects: which have no outcome yet, and who is at one of them. */
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { of } from "./keys.ts";
import { RENEW } from "./scripts.ts";

/** A wish that nobody heard is no longer needed: the sweeper has looked by then. */
const AGAIN_MS = 60_000;

type Reader = <T>(answer: Promise<T>) => Promise<T>;

export class BigWindow {
  readonly #redis: Redis;
  readonly #keys: ReturnType<typeof of>;
  readonly #read: Reader;

  /** `read`: gives the window up where a key holds something else than it should. */
  constructor(redis: Redis, keys: ReturnType<typeof of>, read: Reader) {
    this.#redis = redis;
    this.#keys = keys;
    this.#read = read;
  }

  async has(bid: string): Promise<boolean> {
    return (await this.#read(this.#redis.sismember(this.#keys.big, bid))) === 1;
  }

  left(): Promise<number> {
    return this.#read(this.#redis.scard(this.#keys.big));
  }

  /** Up to `limit` that have no outcome yet. */
  open(limit: number): Promise<string[]> {
    return this.#read(this.#redis.srandmember(this.#keys.big, limit));
  }

  /** One process at a time goes on with it; answers its release, or undefined. */
  async lock(bid: string, ttlMs: number): Promise<(() => Promise<void>) | undefined> {
    const key = this.#keys.bigLock(bid);
    const token = randomUUID();
    if ((await this.#redis.set(key, token, "PX", ttlMs, "NX")) === null) return undefined;
    return async () => void (await this.#redis.eval(RENEW, 1, key, token, 0));
  }

  /** To whoever holds the lock: look once more when you have given it back. */
  async askAgain(bid: string): Promise<void> {
    await this.#redis.set(this.#keys.bigAgain(bid), "1", "PX", AGAIN_MS);
  }

  async wasAskedAgain(bid: string): Promise<boolean> {
    return (await this.#redis.del(this.#keys.bigAgain(bid))) === 1;
  }

  /** For `status` only. */
  async noteParts(bid: string, held: number, all: number): Promise<void> {
    await this.#redis.hset(this.#keys.parts, { [bid]: `${held}/${all}` });
  }

  /** Of those open that have been begun. */
  async partsNoted(): Promise<{ held: number; all: number }> {
    const sums = { held: 0, all: 0 };
    for (const noted of Object.values(await this.#read(this.#redis.hgetall(this.#keys.parts)))) {
      const [held = 0, all = 0] = noted.split("/").map(Number);
      sums.held += held;
      sums.all += all;
    }
    return sums;
  }
}
