/** Worker processes as Redis sees them: a hash each that expires without heartbeat. They size the window and fill `status`. */
import type { Redis } from "ioredis";
import { WORKERS } from "./keys.ts";

export interface WorkerStatus {
  readonly name: string;
  readonly kind: string;
  readonly pid: number;
  /** Pages it takes at once. */
  readonly slots: number;
  readonly rssBytes: number;
  readonly lagMs: number;
  readonly at: string;
}

/** Those that gave a sign of life within the last seconds. */
export async function workerStatus(redis: Redis): Promise<WorkerStatus[]> {
  const found: WorkerStatus[] = [];
  for await (const keys of redis.scanStream({ match: `${WORKERS}*`, count: 500 }) as AsyncIterable<string[]>) {
    for (const key of keys) {
      const beat = await redis.hgetall(key);
      const number = (field: string) => Number(beat[field] ?? 0);
      found.push({
        name: key.slice(WORKERS.length),
        kind: beat["kind"] ?? "",
        pid: number("pid"),
        slots: number("slots"),
        rssBytes: number("rssBytes"),
        lagMs: number("lagMs"),
        at: beat["at"] ?? "",
      });
    }
  }
  return found;
}

export async function beat(redis: Redis, worker: WorkerStatus, ttlMs: number): Promise<void> {
  const { name, ...fields } = worker;
  await redis
    .multi()
    .hset(WORKERS + name, fields)
    .pexpire(WORKERS + name, ttlMs)
    .exec();
}

/** Pages waiting or in hand per slot; enough that no worker waits for a lister. */
const PAGES_A_SLOT = 4;
const WINDOW_MIN = 64;
const WINDOW_MAX = 5000;
const WINDOW_TTL_MS = 5000;

const windows = new WeakMap<Redis, { readonly pages: Promise<number>; readonly at: number }>();

/** How many pages may be queued over all migrations of this Redis; asked anew every few seconds. */
export function windowPages(redis: Redis, nowMs: number): Promise<number> {
  const known = windows.get(redis);
  if (known && nowMs - known.at < WINDOW_TTL_MS) return known.pages;
  const pages = workerStatus(redis).then((workers) => {
    const slots = workers.reduce((sum, worker) => sum + worker.slots, 0);
    return Math.min(Math.max(slots * PAGES_A_SLOT, WINDOW_MIN), WINDOW_MAX);
  });
  windows.set(redis, { pages, at: nowMs });
  pages.catch(() => windows.delete(redis));
  return pages;
}
