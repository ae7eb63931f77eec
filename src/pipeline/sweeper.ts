/**
 * Makes the queues agree with the window, and the window with the ledger, every few seconds, in whichever process wins the lock.
 * Nothing in the pipeline waits for a job that BullMQ or Redis may have lost: what is missing is given again, by id.
 */
import { asSealiftError } from "../core/error.ts";
import { type PipelineContext, windowOf } from "./context.ts";
import { ensure } from "./ensure.ts";
import { bigJobId, finalizeJobId, PAYLOAD_VERSION, pageJobId, shardJobId } from "./job.ts";
import { ACTIVE, KNOWN, SWEEP_LOCK } from "./keys.ts";
import { rebuild, stateOf } from "./rebuild.ts";
import type { ShardWindow, Window } from "./window.ts";

/** Pages of a retry that are queued at once. */
const RETRY_WINDOW = 200;
/** Huge objects that are looked at in one round: each look asks the destination what it holds. */
const BIG_WINDOW = 200;
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
    const state = await stateOf(ledger, await ledger.plan(mid, signal), await ledger.epoch(mid, signal), signal);
    if (state === "running" || state === "paused" || state === "halted") await redis.sadd(ACTIVE, mid);
  }
  await redis.set(KNOWN, "1");
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
  for (const bid of await window.big.open(BIG_WINDOW)) await ensureBig(context, mid, bid);
  if (open.length > 0) return;
  for (const { sid, seq } of await window.retryPages(meta.epoch, RETRY_WINDOW))
    await ensurePage(context, mid, sid, seq, meta.epoch);
  if ((await window.retryLeft(meta.epoch)) > 0 || (await window.big.left()) > 0) return;
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

/** The object's own job looks what is missing of it, gives that again, or finishes it. */
async function ensureBig(context: PipelineContext, mid: string, bid: string): Promise<void> {
  const data = { v: PAYLOAD_VERSION, mid, bid };
  await ensure(context, context.queues.copy, "big", bigJobId(data), data);
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
