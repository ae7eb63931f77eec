/**
 * Redis at its memory limit. Every write is refused then, even those that would take a job off a queue, and BullMQ asks again at
 * once: workers would do nothing but collect refusals. So the workers of a process rest as soon as one of them is refused, and go
 * on when there is room. What was in hand is written to the ledger, and counted when its lock has run out and it comes again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Worker } from "bullmq";
import { SealiftError } from "../core/error.ts";
import type { PipelineContext } from "./context.ts";
import { redisFullness } from "./redis.ts";

const LOOK_MS = 1000;
/** Room that is gone again at once is waited for longer. */
const LOOK_MS_MAX = 16_000;
const HELD_MS = 60_000;

/** A transaction that is refused says so of its commands only. */
export function isRedisFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { previousErrors } = error as { readonly previousErrors?: unknown };
  if (Array.isArray(previousErrors) && previousErrors.some(isRedisFull)) return true;
  return error.message.includes("OOM command not allowed");
}

/** REDIS_FULL in place of Redis's own words; everything else as it is. */
export async function orFull<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw isRedisFull(error) ? fullError(error) : error;
  }
}

export const fullError = (cause?: unknown): SealiftError =>
  new SealiftError("REDIS_FULL", "Redis has reached its maxmemory and refuses every write", { cause });

export class Room {
  readonly #context: Pick<PipelineContext, "redis" | "log" | "draining">;
  readonly #workers: readonly Worker[];
  #full = false;
  #lookMs = LOOK_MS;
  #lastFullMs = 0;

  constructor(context: Pick<PipelineContext, "redis" | "log" | "draining">, workers: readonly Worker[]) {
    this.#context = context;
    this.#workers = workers;
  }

  /** While true, nothing is worth trying. */
  get full(): boolean {
    return this.#full;
  }

  /** Whether this error says that Redis is full; then the workers rest until it is not. */
  noticed(error: unknown): boolean {
    if (!isRedisFull(error) && !(error instanceof SealiftError && error.code === "REDIS_FULL")) return false;
    if (!this.#full) {
      this.#full = true;
      void this.#rest();
    }
    return true;
  }

  async #rest(): Promise<void> {
    const { log, draining } = this.#context;
    const again = Date.now() - this.#lastFullMs < HELD_MS;
    this.#lookMs = again ? Math.min(this.#lookMs * 2, LOOK_MS_MAX) : LOOK_MS;
    log.warn({ errorCode: "REDIS_FULL" }, "Redis is at its maxmemory: this process rests until there is room");
    await Promise.allSettled(this.#workers.map((worker) => worker.pause(true)));
    do {
      await sleep(this.#lookMs, undefined, { signal: draining }).catch(() => undefined);
      if (draining.aborted) return;
    } while ((await redisFullness(this.#context.redis).catch(() => 1)) >= 1);
    this.#lastFullMs = Date.now();
    this.#full = false;
    log.info({}, "Redis has room again");
    for (const worker of this.#workers) await worker.resume();
  }
}
