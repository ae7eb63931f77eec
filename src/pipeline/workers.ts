/** Worker processes as Redis sees them: a hash each that expires without heartbeat. They size the window and fill `status`. */
import type { Redis } from "ioredis";
import type { Pace } from "../core/pace.ts";
import { WORKERS } from "./keys.ts";

export interface WorkerStatus {
  readonly name: string;
  readonly kind: string;
  readonly pid: number;
  /** Pages, or shards, that it takes at once. */
  readonly slots: number;
  readonly rssBytes: number;
  readonly lagMs: number;
  readonly at: string;
  /** How it asks rationed resources: the busiest few. */
  readonly paces?: readonly Pace[];
}

const PACES_MAX = 8;

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
        paces: pacesOf(beat["paces"]),
      });
    }
  }
  return found;
}

/** Shown and nothing else: whoever can write to Redis could write this. */
function pacesOf(text: string | undefined): readonly Pace[] {
  try {
    const value: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(value) ? value.slice(0, PACES_MAX).flatMap(paceOf) : [];
  } catch {
    return [];
  }
}

function paceOf(value: Readonly<Record<string, unknown>> | null): Pace[] {
  const resource = value?.["resource"];
  if (typeof resource !== "string" || !/^[\w./:-]{1,200}$/.test(resource)) return [];
  const number = (field: keyof Pace) => Number(value?.[field]) || 0;
  return [
    {
      resource,
      requests: number("requests"),
      throttled: number("throttled"),
      rate: number("rate"),
      achieved: number("achieved"),
      waitMs: number("waitMs"),
    },
  ];
}

export async function beat(redis: Redis, worker: WorkerStatus, ttlMs: number): Promise<void> {
  const { name, paces = [], ...fields } = worker;
  const busiest = [...paces].sort((a, b) => b.requests - a.requests).slice(0, PACES_MAX);
  await redis
    .multi()
    .hset(WORKERS + name, { ...fields, paces: JSON.stringify(busiest) })
    .pexpire(WORKERS + name, ttlMs)
    .exec();
}

/** Pages waiting or in hand per slot; enough that no worker waits for a lister. */
const PAGES_A_SLOT = 4;
const WINDOW_MIN = 64;
const WINDOW_MAX = 5000;
const WINDOW_TTL_MS = 5000;

const known = new WeakMap<Redis, { readonly workers: Promise<WorkerStatus[]>; readonly at: number }>();

/** The living workers, asked for anew every few seconds. */
function livingWorkers(redis: Redis, nowMs: number): Promise<WorkerStatus[]> {
  const last = known.get(redis);
  if (last && Math.abs(nowMs - last.at) < WINDOW_TTL_MS) return last.workers;
  const workers = workerStatus(redis);
  known.set(redis, { workers, at: nowMs });
  workers.catch(() => known.delete(redis));
  return workers;
}

async function slotsOf(kind: string, redis: Redis, nowMs: number): Promise<number> {
  const workers = await livingWorkers(redis, nowMs);
  return workers.reduce((sum, worker) => sum + (worker.kind === kind ? worker.slots : 0), 0);
}

/** How many pages may be queued over all migrations of this Redis. */
export async function windowPages(redis: Redis, nowMs: number): Promise<number> {
  return Math.min(Math.max((await slotsOf("copy", redis, nowMs)) * PAGES_A_SLOT, WINDOW_MIN), WINDOW_MAX);
}

/** How many shards can be listed at once. */
export const listSlots = (redis: Redis, nowMs: number): Promise<number> => slotsOf("list", redis, nowMs);
