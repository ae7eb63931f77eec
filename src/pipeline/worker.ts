/** One worker process: BullMQ workers for its queues, the sweeper, a heartbeat, and an end that gives work back. */
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { DelayedError, type Job, UnrecoverableError, WaitingError, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { asSealiftError, type SealiftError } from "../core/error.ts";
import { type PipelineContext, windowOf } from "./context.ts";
import { bigObjectJob, groupObjectJob } from "./big.ts";
import { copyPageJob } from "./copier.ts";
import { finalizeMigration, haltMigration } from "./finalize.ts";
import { PREFIX, WORKERS } from "./keys.ts";
import { beat } from "./workers.ts";
import { listShard } from "./lister.ts";
import { isRedisFull, fullError, Room } from "./room.ts";
import { sweep } from "./sweeper.ts";

export type WorkerKind = "list" | "copy";

export interface WorkerTimes {
  /** Silence after which a job of a dead worker is given to another. */
  readonly lockMs: number;
  readonly stalledMs: number;
  readonly sweepMs: number;
  /** Pages in hand at once in one process; their objects share one allowance. */
  readonly pages: number;
}

const COMMON = { stalledMs: 30_000, sweepMs: 15_000, pages: 4 };
export const DEFAULT_TIMES: Readonly<Record<WorkerKind, WorkerTimes>> = {
  list: { ...COMMON, lockMs: 60_000 },
  copy: { ...COMMON, lockMs: 90_000 },
};

const LIST_SHARDS = 8;
/** A job is found stalled by a worker's death, not by its own fault: BullMQ's own limit would fail it at the second death. */
const STALLS_MAX = 1000;
const HEARTBEAT_MS = 2000;
const STUCK_MS = 120_000;
const SLOW_MS = 1000;

/** What travels on the queue `copy`; a name that is none of these is an injected job. */
const COPY_JOBS: Readonly<Record<string, Processor>> = { page: copyPageJob, big: bigObjectJob, group: groupObjectJob };

const copyJob: Processor = (context, job, token) => {
  const processor = Object.hasOwn(COPY_JOBS, job.name) ? COPY_JOBS[job.name] : undefined;
  if (!processor) throw new UnrecoverableError("ghost job: it has no name of ours");
  return processor(context, job, token);
};

type Processor = (context: PipelineContext, job: Job, token: string | undefined) => Promise<void>;

export class WorkerProcess {
  readonly #context: PipelineContext;
  readonly #kind: WorkerKind;
  readonly #times: WorkerTimes;
  readonly #workers: Worker[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #lag = monitorEventLoopDelay({ resolution: 20 });
  readonly #onStuck: () => void;
  readonly #room: Room;
  #sweeping = Promise.resolve();
  #inHand = 0;
  #lastJobMs = performance.now();

  /** `onStuck`: jobs wait and this process cannot get at them any more. */
  constructor(
    context: PipelineContext,
    kind: WorkerKind,
    times: WorkerTimes,
    connect: () => Redis,
    onStuck: () => void,
  ) {
    this.#context = context;
    this.#onStuck = onStuck;
    this.#kind = kind;
    this.#times = times;
    this.#room = new Room(context, this.#workers);
    if (kind === "list") this.#listen("list", listShard, LIST_SHARDS, connect);
    else this.#listen("copy", copyJob, times.pages, connect);
    this.#listen("control", finalizeMigration, 1, connect);
    this.#every(times.sweepMs, () => this.#sweep());
    this.#every(HEARTBEAT_MS, () => this.#beat());
    this.#lag.enable();
  }

  #listen(queue: string, processor: Processor, concurrency: number, connect: () => Redis): void {
    const worker = new Worker(queue, (job, token) => this.#run(processor, job, token), {
      connection: connect(),
      prefix: PREFIX,
      concurrency,
      lockDuration: this.#times.lockMs,
      stalledInterval: this.#times.stalledMs,
      maxStalledCount: STALLS_MAX,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 500 },
    });
    worker.on("error", (error) => {
      if (!this.#room.noticed(error)) this.#context.log.debug({ queue, reason: error.message }, "queue connection");
    });
    this.#workers.push(worker);
  }

  /** Errors become BullMQ's: those that no retry mends halt the migration, so that a person looks. */
  async #run(processor: Processor, job: Job, token: string | undefined): Promise<void> {
    this.#inHand++;
    try {
      await processor(this.#context, job, token);
    } catch (thrown) {
      if (thrown instanceof DelayedError || thrown instanceof WaitingError || thrown instanceof UnrecoverableError)
        throw thrown;
      this.#room.noticed(thrown);
      const error = isRedisFull(thrown) ? fullError(thrown) : asSealiftError(thrown);
      if (error.code === "JOB_UNKNOWN") throw new UnrecoverableError(`ghost job: ${error.message}`);
      await this.#report(job, error);
      throw error;
    } finally {
      this.#inHand--;
      this.#lastJobMs = performance.now();
    }
  }

  async #report(job: Job, error: SealiftError): Promise<void> {
    const mid = String((job.data as { mid?: unknown }).mid);
    const fields = { migration: mid, job: job.id, errorCode: error.code, attempt: job.attemptsMade + 1 };
    if (error.code === "INTERRUPTED" || error.code === "REDIS_FULL") return;
    this.#context.log.warn(fields, error.line());
    try {
      if (error.retry === "never" && error.code !== "INTERNAL") await haltMigration(this.#context, mid, error);
      else if (error.code !== "STATE_LOST") await windowOf(this.#context, mid).setTrouble(error.line());
    } catch (second) {
      this.#context.log.debug(fields, `could not be noted: ${asSealiftError(second).message}`);
    }
  }

  #every(ms: number, act: () => Promise<void>): void {
    const round = () => {
      if (this.#room.full) return;
      act().catch((error: unknown) => {
        if (!this.#context.draining.aborted && !this.#room.noticed(error))
          this.#context.log.warn({ errorCode: asSealiftError(error).code }, String(error));
      });
    };
    round();
    this.#timers.push(setInterval(round, ms));
  }

  async #sweep(): Promise<void> {
    // Rounds do not overlap in one process; between processes the lock sees to it.
    const lockMs = Math.max(this.#times.sweepMs - 100, 100);
    const round = this.#sweeping.then(
      async () => void (this.#context.draining.aborted || (await sweep(this.#context, lockMs))),
    );
    this.#sweeping = round.catch(() => undefined);
    return round;
  }

  async #beat(): Promise<void> {
    const { redis, name, paces } = this.#context;
    const lagMs = Math.round(this.#lag.percentile(99) / 1e6);
    this.#lag.reset();
    if (lagMs > SLOW_MS) this.#context.log.warn({ lagMs }, "the event loop is slow: this process has too much in hand");
    const rssBytes = process.memoryUsage.rss();
    const slots = this.#kind === "copy" ? this.#times.pages : LIST_SHARDS;
    const at = this.#context.now().toISOString();
    const status = { name, kind: this.#kind, pid: process.pid, slots, rssBytes, lagMs, at, paces: paces() };
    await beat(redis, status, HEARTBEAT_MS * 5);
    await this.#watch();
  }

  /**
   * Queue clients have been seen to stop fetching after an outage while everything looked well: a process that takes no job
   * while jobs wait ends, and another takes its place.
   */
  async #watch(): Promise<void> {
    const queue = this.#context.queues[this.#kind];
    if (this.#room.full) this.#lastJobMs = performance.now();
    const idle = this.#inHand === 0 && performance.now() - this.#lastJobMs > STUCK_MS;
    if (!idle || this.#context.draining.aborted) return;
    const waiting = await queue.getWaitingCount();
    if (waiting === 0 || (await queue.isPaused())) {
      this.#lastJobMs = performance.now();
      return;
    }
    this.#context.log.error({ queue: queue.name, waiting }, "jobs wait and none reaches this process: ending it");
    this.#onStuck();
  }

  /** Ends when jobs in hand are done or given back; the caller has fired `draining`. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.allSettled(this.#workers.map((worker) => worker.close()));
    await this.#sweeping;
    this.#lag.disable();
    await this.#context.redis.del(WORKERS + this.#context.name).catch(() => undefined);
  }
}
