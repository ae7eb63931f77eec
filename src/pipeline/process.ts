/** A worker process from its first connection to its last: assembled here, used by `workers/list.ts` and `workers/copy.ts`. */
import { setMaxListeners } from "node:events";
import { hostname } from "node:os";
import { Budget } from "../core/budget.ts";
import type { Log } from "../core/log.ts";
import type { Pace } from "../core/pace.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { RedisCeiling } from "./ceiling.ts";
import { type OpenWork, type PipelineContext, Works } from "./context.ts";
import { closeQueues, openQueues } from "./job.ts";
import { checkBullmq, checkRedis, connectRedis, pingRedis, type RedisAddress } from "./redis.ts";
import { DEFAULT_TIMES, type WorkerKind, WorkerProcess, type WorkerTimes } from "./worker.ts";

export interface ProcessOptions {
  readonly kind: WorkerKind;
  readonly redis: RedisAddress;
  readonly ledger: Ledger;
  readonly open: OpenWork;
  readonly log: Log;
  /** Objects in flight at once in this process. */
  readonly transfers: number;
  readonly paces?: () => readonly Pace[];
  readonly times?: Partial<WorkerTimes>;
  readonly allowVolatileRedis?: boolean;
}

export interface RunningProcess {
  /** Gives work back and ends; resolves when everything is closed. */
  close(): Promise<void>;
}

/** Objects in hand may end; then they are broken off and their pages given back, so that nobody takes the end for a crash. */
const GRACE_MS = 18_000;

export async function startWorkerProcess(options: ProcessOptions): Promise<RunningProcess> {
  const { ledger, log } = options;
  await pingRedis(options.redis, 10_000);
  const connections: ReturnType<typeof connectRedis>[] = [];
  const connect = () => {
    const redis = connectRedis(options.redis, (message) => log.debug({ reason: message }, "redis connection"));
    connections.push(redis);
    return redis;
  };
  const redis = connect();
  await checkRedis(redis, options.allowVolatileRedis ?? false);
  await checkBullmq(redis);
  const drain = new AbortController();
  const stop = new AbortController();
  // Every object in flight listens to these two.
  setMaxListeners(0, drain.signal, stop.signal);
  const times = { ...DEFAULT_TIMES[options.kind], ...options.times };
  const context: PipelineContext = {
    redis,
    queues: openQueues(redis),
    ledger,
    log,
    name: `${hostname()}:${process.pid}:${options.kind}`,
    works: new Works(ledger, options.open, new RedisCeiling(redis)),
    objects: new Budget(options.transfers),
    pages: new Budget(times.pages),
    paces: options.paces ?? (() => []),
    now: () => new Date(),
    draining: drain.signal,
    signal: stop.signal,
  };
  const worker = new WorkerProcess(context, options.kind, times, connect, () => process.exit(1));
  const close = async () => {
    drain.abort();
    const late = setTimeout(() => stop.abort(), GRACE_MS);
    await worker.close();
    clearTimeout(late);
    stop.abort();
    await closeQueues(context.queues);
    await context.works.close();
    for (const connection of connections) connection.disconnect();
  };
  return { close };
}
