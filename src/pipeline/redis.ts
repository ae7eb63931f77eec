/** Connections to Redis, and the conditions under which it may hold a migration's window. Guest: ioredis. */
import { Redis } from "ioredis";
import { SealiftError } from "../core/error.ts";
import { PREFIX } from "./keys.ts";

/** `redis://`, `rediss://`, or the path of a unix socket. */
export type RedisAddress = string;

/** Commands wait through an outage: a worker has nothing better to do, and BullMQ demands it. */
export function connectRedis(address: RedisAddress, onError: (message: string) => void = () => undefined): Redis {
  const options = {
    maxRetriesPerRequest: null,
    enableReadyCheck: true,
    retryStrategy: (times: number) => Math.min(times * 100, 2000),
  };
  const redis = address.startsWith("/") ? new Redis({ ...options, path: address }) : new Redis(address, options);
  redis.on("error", (error: Error) => onError(error.message));
  return redis;
}

/** A connection that gives up when it breaks. */
export function connectOnce(address: RedisAddress, waitMs = 5000): Redis {
  const options = { maxRetriesPerRequest: 0, lazyConnect: true, connectTimeout: waitMs, retryStrategy: () => null };
  const redis = address.startsWith("/") ? new Redis({ ...options, path: address }) : new Redis(address, options);
  redis.on("error", () => undefined);
  return redis;
}

/** PREFLIGHT_REDIS where nobody answers within `waitMs`. */
export async function pingRedis(address: RedisAddress, waitMs: number): Promise<void> {
  const shown = address.replace(/\/\/[^@/]*@/, "//***@");
  const fail = (why: string) => new SealiftError("PREFLIGHT_REDIS", `Redis at ${shown} does not answer: ${why}`);
  const redis = connectOnce(address, waitMs);
  let last = "no connection";
  redis.on("error", (error: Error) => {
    last = error.message;
  });
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    throw fail(error instanceof Error && error.message !== "Connection is closed." ? error.message : last);
  } finally {
    redis.disconnect();
  }
}

const VERSION_MIN = [6, 2] as const;
/** Of the version in the lock file; a test compares. */
export const BULLMQ_MAJOR = "6";
const SKEW_MS_MAX = 5 * 60 * 1000;

/**
 * Refused, not warned about: each of these has lost queues in the field. `allowVolatile` waives persistence alone, because the
 * ledger makes up for it.
 */
export async function checkRedis(redis: Redis, allowVolatile: boolean): Promise<void> {
  const refuse = (what: string) => {
    throw new SealiftError("PREFLIGHT_REDIS", what);
  };
  const info = await redis.info();
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
  const [major = 0, minor = 0] = field("redis_version").split(".").map(Number);
  if (major < VERSION_MIN[0] || (major === VERSION_MIN[0] && minor < VERSION_MIN[1]))
    refuse(`Redis ${field("redis_version")} is older than 6.2`);
  const policy = field("maxmemory_policy");
  if (policy !== "noeviction")
    refuse(`Redis evicts keys (maxmemory-policy ${policy}): set maxmemory-policy noeviction`);
  if (field("maxmemory") === "0")
    refuse("Redis has no memory limit: set maxmemory (256mb is plenty), so that sealift can stay below it");
  if (field("aof_enabled") !== "1" && !allowVolatile) {
    refuse(
      "Redis keeps nothing on disk: set appendonly yes, or pass --allow-volatile-redis (slower to recover, nothing is lost)",
    );
  }
  if (Number(await redis.eval("return 1", 0)) !== 1) refuse("Redis runs no Lua scripts");
  const [seconds = 0] = (await redis.time()).map(Number);
  const skewMs = Math.abs(Date.now() - seconds * 1000);
  if (skewMs > SKEW_MS_MAX)
    refuse(
      `this machine's clock and that of Redis are ${Math.round(skewMs / 1000)} s apart: signatures and locks need time that is right`,
    );
}

/** BullMQ's scripts of two majors do not share a queue. The version is what the first worker or queue wrote down. */
export async function checkBullmq(redis: Redis): Promise<void> {
  const written = await redis.hget(`${PREFIX}:copy:meta`, "version");
  const [, major] = /^bullmq:(\d+)\./.exec(written ?? "") ?? [];
  if (major === undefined || major === BULLMQ_MAJOR) return;
  throw new SealiftError(
    "PREFLIGHT_REDIS",
    `other workers of this Redis run BullMQ ${major}, this one ${BULLMQ_MAJOR}: run one version of sealift`,
  );
}

/** Part of maxmemory that is used; 0 where there is no limit. */
export async function redisFullness(redis: Redis): Promise<number> {
  const info = await redis.info("memory");
  const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
  const max = field("maxmemory");
  return max === 0 ? 0 : field("used_memory") / max;
}

/** Above this part of maxmemory nothing more is listed: at 100 % BullMQ could not even drain. */
export const REDIS_FULL = 0.6;
