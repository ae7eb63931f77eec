/**
 * Makes the queues agree with the window, and the window with the ledger, every few seconds, in whichever process wins the lock.
 * Nothing in the pipeline waits for a job that BullMQ or Redis may have lost: what is missing is given again, by id.
 */
import type { Queue } from "bullmq";
import { asSealiftError } from "../core/error.ts";
import { type PipelineContext, windowOf } from "./context.ts";
import { finalizeJobId, PAYLOAD_VERSION, pageJobId, shardJobId } from "./job.ts";
import { ACTIVE, KNOWN, SWEEP_LOCK } from "./keys.ts";
import { rebuild, stateOf } from "./rebuild.ts";
import { isRedisFull } from "./room.ts";
import type { RunState, ShardWindow, Window } from "./window.ts";

/** Pages of a retry that are queued at once. */
const RETRY_WINDOW = 200;
/** Sums are written down every so many pages, so that a rebuild of a long shard reads its last stretch only. */
const CHECKPOINT_PAGES = 500;

/** One round. False where another process is sweeping. */
export async function sweep(context: PipelineContext, lockMs: number): Promise<boolean> {
  if ((await context.redis.set(SWEEP_LOCK, context.name, "PX", lockMs, "NX")) === null) return false;
  if ((await context.redis.exists(KNOWN)) === 0) await findMigrations(context);
  for (const mid of await context.redis.smembers(ACTIVE)) {
    try {
      await sweepMigration(context, mid);
    } catch (error) {
      if (isRedisFull(error)) throw error;
      const { code, message } = asSealiftError(error);
      context.log.warn({ migration: mid, errorCode: code }, `sweep: ${message}`);
    }
  }
  return true;
}

/** After a flush nobody knows which migrations there are: the ledger does. */
async function findMigrations(context: PipelineContext): Promise<void> {
  const { ledger, redis, signal } = context;
  for await (const mid of ledger.migrations(signal)) {
    const state = await stateFound(context, mid);
    if (state === "running" || state === "paused" || state === "halted") await redis.sadd(ACTIVE, mid);
  }
  await redis.set(KNOWN, "1");
}

/** undefined: its records are broken. That is for a person to look at, and must not keep the other migrations from being found. */
async function stateFound({ ledger, log, signal }: PipelineContext, mid: string): Promise<RunState | undefined> {
  try {
    return await stateOf(ledger, await ledger.plan(mid, signal), await ledger.epoch(mid, signal), signal);
  } catch (thrown) {
    const error = asSealiftError(thrown);
    if (error.code !== "LEDGER_BROKEN") throw error;
    log.error({ migration: mid, errorCode: error.code }, error.line());
    return undefined;
  }
}

async function sweepMigration(context: PipelineContext, mid: string): Promise<void> {
  const window = windowOf(context, mid);
  let meta = await window.meta();
  if (!meta) {
    if (!(await rebuild(context, mid))) return;
    meta = await window.meta();
  }
  if (meta?.state !== "running") return;
  const open = await window.openShards();
  for (const sid of open) await sweepShard(context, window, sid);
  if (open.length > 0) return;
  for (const { sid, seq } of await window.retryPages(meta.epoch, RETRY_WINDOW))
    await ensurePage(context, mid, sid, seq, meta.epoch);
  if ((await window.retryLeft(meta.epoch)) > 0) return;
  await ensure(context, context.queues.control, "finalize", finalizeJobId(mid), { v: PAYLOAD_VERSION, mid });
}

async function sweepShard(context: PipelineContext, window: Window, sid: string): Promise<void> {
  const shard = await window.shard(sid);
  if (!shard) return window.lose();
  const { mid } = window;
  if (shard.last === undefined) {
    const data = { v: PAYLOAD_VERSION, mid, sid };
    await ensure(context, context.queues.list, "shard", shardJobId(data), data);
  }
  await ensurePages(context, window, sid, shard);
  if (shard.watermark >= CHECKPOINT_PAGES)
    await context.ledger.checkpoint(mid, sid, shard.watermark, CHECKPOINT_PAGES, context.signal);
}

async function ensurePages(context: PipelineContext, window: Window, sid: string, shard: ShardWindow): Promise<void> {
  const above = await window.committedAbove(sid);
  for (let seq = shard.watermark + 1; seq < shard.next; seq++) {
    if (!above.has(seq)) await ensurePage(context, window.mid, sid, seq, 0);
  }
}

async function ensurePage(
  context: PipelineContext,
  mid: string,
  sid: string,
  seq: number,
  epoch: number,
): Promise<void> {
  const data = { v: PAYLOAD_VERSION, mid, sid, seq, epoch };
  await ensure(context, context.queues.copy, "page", pageJobId(data), data);
}

/**
 * The job waits, runs, or is added. BullMQ drops an id that exists in any state without a word, and an orphaned hash (its id
 * fell out of every list) blocks its id for ever: both are removed first.
 */
async function ensure(
  context: PipelineContext,
  queue: Queue,
  name: string,
  jobId: string,
  data: object,
): Promise<void> {
  const state = await queue.getJobState(jobId);
  if (state !== "unknown" && state !== "failed" && state !== "completed") return;
  if (state === "unknown") await context.redis.del(queue.toKey(jobId));
  else await queue.remove(jobId);
  await queue.add(name, data, { jobId });
  context.log.debug({ queue: queue.name, job: jobId, was: state }, "job given again");
}
