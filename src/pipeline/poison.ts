/**
 * Objects that end the worker that touches them. A page in hand is marked in Redis, and the mark is taken away when the work ends
 * in peace, be it done, failed or given back: a mark that is found belongs to a worker that died. A page with several such marks
 * is suspect. It is worked alone in its process, one object at a time, each named before it is touched, so that the next death
 * has one cause; an object that several such deaths had in hand is given up, and one that survives is cleared.
 *
 * The marks are hints: with Redis they are lost, and the counting starts again.
 */
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { Budget } from "../core/budget.ts";
import { SealiftError } from "../core/error.ts";
import { of } from "./keys.ts";

/** Deaths of workers that had the page in hand, after which it is suspect. One is anybody's bad luck. */
const DEATHS_SUSPECT = 2;
/** Deaths with the object in hand and nothing else, after which it is given up. */
export const CRASHES_MAX = 3;
/** Marks of a migration that never ends go by themselves. */
const MARK_TTL_MS = 7 * 24 * 3600 * 1000;

/**
 * Finds the mark of the one before, counts it and takes it away. KEYS page. Answers the page's fields.
 * Fields: holder (of the page in hand), deaths, current (the object in hand), and a count for each object, named "=" and its key.
 */
const FIND = `
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
if redis.call('HEXISTS', KEYS[1], 'holder') == 1 then
  redis.call('HINCRBY', KEYS[1], 'deaths', 1)
  local current = redis.call('HGET', KEYS[1], 'current')
  if current then redis.call('HINCRBY', KEYS[1], '=' .. current, 1) end
  redis.call('HDEL', KEYS[1], 'holder', 'current')
end
return redis.call('HGETALL', KEYS[1])
`;

/** Names the object in hand; the one before has survived. Only the holder names. KEYS page. ARGV holder, key, key before or "". */
const NAME = `
if ARGV[3] ~= '' then redis.call('HDEL', KEYS[1], '=' .. ARGV[3]) end
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('HSET', KEYS[1], 'current', ARGV[2]) end
return 1
`;

/** KEYS page. ARGV holder. */
const PEACE = `
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('HDEL', KEYS[1], 'holder', 'current') end
return 1
`;

/** How a page is to be worked. */
export interface Care {
  /** One object at a time, each handed to `name` first. */
  readonly alone: boolean;
  /** A worker died with this page in hand. */
  readonly afterDeath: boolean;
  /** Keys that are given up. */
  readonly dead: readonly string[];
  readonly name: (key: string) => Promise<void>;
}

export interface PageInHand {
  readonly redis: Redis;
  readonly mid: string;
  /** Shard, number and epoch. */
  readonly page: string;
  /** One for each page that the process works at once; a suspect page takes them all. */
  readonly slots: Budget;
  /** Gives up waiting for slots. */
  readonly draining: AbortSignal;
}

export async function withCare<T>(inHand: PageInHand, work: (care: Care) => Promise<T>): Promise<T> {
  const { redis, slots, draining } = inHand;
  const key = of(inHand.mid).poison(inHand.page);
  const found = await find(redis, key);
  const alone = found.deaths >= DEATHS_SUSPECT;
  const release = await slots.take(alone ? slots.limit : 1, draining).catch(() => {
    throw new SealiftError("INTERRUPTED", "the worker is ending");
  });
  const holder = randomUUID();
  try {
    await redis.multi().hset(key, { holder }).pexpire(key, MARK_TTL_MS).exec();
    return await work({ alone, afterDeath: found.deaths > 0, dead: found.dead, name: naming(redis, key, holder) });
  } finally {
    release();
    await redis.eval(PEACE, 1, key, holder).catch(() => undefined);
  }
}

/** When the page's outcome is in the ledger. */
export async function forgetMarks({ redis }: Pick<PageInHand, "redis">, mid: string, page: string): Promise<void> {
  await redis.del(of(mid).poison(page));
}

async function find(redis: Redis, key: string): Promise<{ deaths: number; dead: string[] }> {
  const flat = (await redis.eval(FIND, 1, key)) as string[];
  const dead: string[] = [];
  let deaths = 0;
  for (let at = 0; at < flat.length; at += 2) {
    const field = flat[at] as string;
    const count = Number(flat[at + 1]);
    if (field === "deaths") deaths = count;
    if (field.startsWith("=") && count >= CRASHES_MAX) dead.push(field.slice(1));
  }
  return { deaths, dead };
}

function naming(redis: Redis, key: string, holder: string): Care["name"] {
  let before = "";
  return async (object) => {
    await redis.eval(NAME, 1, key, holder, object, before);
    before = object;
  };
}
