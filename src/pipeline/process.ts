/** A worker process from its first connection to its last: assembled here, used by `workers/list.ts` and `workers/copy.ts`. */
import { hostname } from "node:os";
import { Budget } from "../core/budget.ts";
import type { Log } from "../core/log.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { type OpenWork, type PipelineContext, Works } from "./context.ts";
import { closeQueues, openQueues } from "./job.ts";
import { checkRedis, connectRedis, pingRedis, type RedisAddress } from "./redis.ts";
import { DEFAULT_TIMES, type WorkerKind, WorkerProcess, type WorkerTimes } from "./worker.ts";

export interface ProcessOptions {
  readonly kind: WorkerKind;
  readonly redis: RedisAddress;
  readonly ledger: Ledger;
  readonly open: OpenWork;
  readonly log: Log;
  /** Objects in flight at once in this process. */
  readonly transfers: number;
  readonly times?: Partial<WorkerTimes>;
  readonly allowVolatileRedis?: boolean;
}

export interface RunningProcess {
  /** Gives work back and ends; resolves when everything is closed. */
  close(): Promise<void>;
}

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
  const drain = new AbortController();
  const stop = new AbortController();
  const context: PipelineContext = {
    redis,
    queues: openQueues(redis),
    ledger,
    log,
    name: `${hostname()}:${process.pid}:${options.kind}`,
    works: new Works(ledger, options.open),
    objects: new Budget(options.transfers),
    now: () => new Date(),
    draining: drain.signal,
    signal: stop.signal,
  };
  const worker = new WorkerProcess(context, options.kind, { ...DEFAULT_TIMES, ...options.times }, connect);
  const close = async () => {
    drain.abort();
    await worker.close();
    stop.abort();
    await closeQueues(context.queues);
    await context.works.close();
    for (const connection of connections) connection.disconnect();
  };
  return { close };
}

/** Past this nothing is waited for: the page in hand is given to another worker when its lock runs out. */
const DRAIN_MS = 25_000;

/** SIGTERM and SIGINT end the process gracefully, once. */
export function endOnSignals(running: RunningProcess, log: Log): void {
  let ending = false;
  const end = (signal: string) => {
    if (ending) return;
    ending = true;
    log.info({ signal }, "ending: work in hand is finished or given back");
    setTimeout(() => process.exit(0), DRAIN_MS).unref();
    running.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on("SIGTERM", () => end("SIGTERM"));
  process.on("SIGINT", () => end("SIGINT"));
}
