/**
 * Makes the queues agree with the window, and the window with the ledger, every few seconds, in whichever process wins the lock.
 * Nothing in the pipeline waits for a job that BullMQ or Redis may have lost: what is missing is given again, by id.
 */
import { asSealiftError } from "../core/error.ts";
import { placeOf } from "../ledger/ledger.ts";
import { type PipelineContext, windowOf } from "./context.ts";
import { ensure } from "./ensure.ts";
import { haltMigration } from "./finalize.ts";
import { findMigrations, ledgerState } from "./known.ts";
import { bigJobId, finalizeJobId, PAYLOAD_VERSION, pageJobId, shardJobId } from "./job.ts";
import { ACTIVE, SWEEP_LOCK } from "./keys.ts";
import { rebuild } from "./rebuild.ts";
import { isRedisFull } from "./room.ts";
import type { ShardWindow, Window } from "./window.ts";

/** Pages of a retry that are queued at once. */
const RETRY_WINDOW = 200;
/** Huge objects that are looked at in one round: each look asks the destination what it holds. */
const BIG_WINDOW = 200;
/** Sums are written down every so many pages, so that a rebuild of a long shard reads its last stretch only. */
const CHECKPOINT_PAGES = 500;

/** One round. False where another process is sweeping. */
export async function sweep(context: PipelineContext, lockMs: number): Promise<boolean> {
  if (!(await takeSweep(context, lockMs))) return false;
  await findMigrations(context, lockMs);
  for (const mid of await context.redis.smembers(ACTIVE)) {
    try {
      await sweepMigration(context, mid);
    } catch (error) {
      if (isRedisFull(error)) throw error;
      await reactTo(context, mid, error);
    }
  }
  return true;
}

/** A lock that would hold for ever is none of ours: it is taken away, and the next round may sweep. */
async function takeSweep({ redis, name }: PipelineContext, lockMs: number): Promise<boolean> {
  if ((await redis.set(SWEEP_LOCK, name, "PX", lockMs, "NX")) !== null) return true;
  if ((await redis.pttl(SWEEP_LOCK)) === -1) await redis.del(SWEEP_LOCK);
  return false;
}

/** Keys of another type answer no command of ours: the window is lost, and a rebuild puts others in their place. */
async function reactTo(context: PipelineContext, mid: string, thrown: unknown): Promise<void> {
  const error = asSealiftError(thrown);
  context.log.warn({ migration: mid, errorCode: error.code }, `sweep: ${error.message}`);
  if (String(thrown).includes("WRONGTYPE")) await windowOf(context, mid).lose();
  if (error.code === "LEDGER_BROKEN") await haltMigration(context, mid, error);
}

async function sweepMigration(context: PipelineContext, mid: string): Promise<void> {
  const window = windowOf(context, mid);
  let meta = await window.meta();
  if (!meta) {
    // Its ledger may be what it was halted for: a person looks first, and `resume` rebuilds.
    if ((await ledgerState(context, mid)).state === "halted") return;
    if (!(await rebuild(context, mid))) return;
    meta = await window.meta();
  }
  if (meta?.state !== "running") return;
  const open = await window.openShards();
  for (const sid of open) await sweepShard(context, window, sid);
  for (const bid of await window.big.open(BIG_WINDOW)) {
    // A name that no page gives would be waited for without an end.
    if (!placeOf(bid)) return window.lose();
    await ensureBig(context, mid, bid);
  }
  if (open.length > 0) return;
  for (const { sid, seq } of await window.retryPages(meta.epoch, RETRY_WINDOW))
    await ensurePage(context, mid, sid, seq, meta.epoch);
  if ((await window.retryLeft(meta.epoch)) > 0 || (await window.big.left()) > 0) return;
  await ensure(context, context.queues.control, "finalize", finalizeJobId(mid), { v: PAYLOAD_VERSION, mid });
}

async function sweepShard(context: PipelineContext, window: Window, sid: string): Promise<void> {
  const { mid } = window;
  const shard = await window.shard(sid);
  if (!shard || (await contradicts(window, sid, shard))) {
    context.log.warn({ migration: mid, shard: sid }, "the window contradicts itself; rebuilding from the ledger");
    return window.lose();
  }
  if (shard.last === undefined) {
    const data = { v: PAYLOAD_VERSION, mid, sid };
    await ensure(context, context.queues.list, "shard", shardJobId(data), data);
  }
  await ensurePages(context, window, sid, shard);
  if (shard.watermark >= CHECKPOINT_PAGES)
    await context.ledger.checkpoint(mid, sid, shard.watermark, CHECKPOINT_PAGES, context.signal);
}

/**
 * Numbers that no step of ours leaves behind. What they would hide from the sweep would be waited for without an end; numbers that
 * are wrong and agree with each other are found by the audit.
 */
async function contradicts(window: Window, sid: string, { next, watermark, last }: ShardWindow): Promise<boolean> {
  if (!Number.isSafeInteger(next) || !Number.isSafeInteger(watermark) || watermark < 0 || watermark >= next)
    return true;
  if (last === undefined) return false;
  if (last !== next - 1) return true;
  // Committing the last page closes the shard in the same step.
  return watermark >= last && (await window.openShards()).includes(sid);
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
