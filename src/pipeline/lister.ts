/**
 * Lists a shard, page by page: ledger first (the page's record), then Redis (it may be copied), then BullMQ (a hint that it waits).
 * A crash between any two leaves a page that the next run of this job adopts, or a missing hint that the sweeper gives again.
 */
import { DelayedError, type Job, UnrecoverableError } from "bullmq";
import { SealiftError } from "../core/error.ts";
import { failpoint } from "../core/failpoint.ts";
import type { ListedObject } from "../core/object.ts";
import { checkBond, type Page, planSha256, type Shard } from "../ledger/ledger.ts";
import type { ListPage } from "../store/store.ts";
import { isRunning, type PipelineContext, type Work, windowOf } from "./context.ts";
import { isNewer, PAYLOAD_VERSION, pageJobId, payload, type ShardJob, shardJob } from "./job.ts";
import type { ShardWindow, Window } from "./window.ts";
import { windowPages } from "./workers.ts";

/** Small objects on one page are at most this much work. */
const PAGE_BYTES_MAX = 8 * 1024 ** 3;
const WINDOW_CLOSED_MS = 400;
const NEWER_JOB_MS = 60_000;
/** Pages that a shard may be ahead of its watermark. */
const SHARD_AHEAD_MAX = 10_000;
/** Above this part of maxmemory nothing more is emitted: at 100 % BullMQ could not even drain. */
const REDIS_FULL = 0.6;

export async function listShard(context: PipelineContext, job: Job, token: string | undefined): Promise<void> {
  if (isNewer(job.data)) return delay(job, token, NEWER_JOB_MS);
  const id = payload(shardJob, job.data);
  const window = windowOf(context, id.mid);
  if (!(await isRunning(context, window))) return;
  const work = await context.works.get(id.mid, context.signal);
  const shard = work.plan.shards.find(({ sid }) => sid === id.sid);
  if (!shard) throw new UnrecoverableError(`ghost job: migration ${id.mid} has no shard ${id.sid}`);
  const at = await window.shard(id.sid);
  if (!at) throw new SealiftError("STATE_LOST", `shard ${id.sid} of ${id.mid} is not in Redis`);
  if (at.last !== undefined) return;
  const ended = await listFrom(context, work, shard, at, window, id);
  if (!ended) await delay(job, token, context.draining.aborted ? 0 : WINDOW_CLOSED_MS);
}

/** True when the shard's last page is out, false when the rest must wait. */
async function listFrom(
  context: PipelineContext,
  work: Work,
  shard: Shard,
  at: ShardWindow,
  window: Window,
  id: ShardJob,
): Promise<boolean> {
  let previous = at.next === 1 ? undefined : await context.ledger.page(id.mid, id.sid, at.next - 1, context.signal);
  if (at.next > 1 && !previous)
    throw new SealiftError("LEDGER_BROKEN", `page ${at.next - 1} of shard ${id.sid} is missing`);
  if (previous) checkBond(work.plan, previous);
  const after = previous ? previous.header.end : shard.after;
  const { source, sourcePrefix } = work.shores;
  const listing = source.list(sourcePrefix, { after, until: shard.until }, context.signal);
  for await (const batch of batches(listing, work.pageObjects)) {
    if (context.draining.aborted || !(await isRunning(context, window)) || !(await hasRoom(context, window, id.sid)))
      return false;
    const page = await writePage(context, work, shard, previous, batch, id);
    failpoint("page.written");
    await emitPage(context, window, page);
    if (page.header.isLast) return true;
    // An adopted page may end elsewhere than the batch it stands for: then listing starts again behind it.
    if (page.header.end !== batch.objects.at(-1)?.key) return false;
    previous = page;
  }
  throw new SealiftError("LIST_BROKEN", `the listing of shard ${id.sid} stopped without a last page`);
}

async function writePage(
  context: PipelineContext,
  { plan }: Work,
  shard: Shard,
  previous: Page | undefined,
  batch: Batch,
  id: ShardJob,
): Promise<Page> {
  const { objects, last } = batch;
  const after = previous ? previous.header.end : shard.after;
  const end = last ? shard.until : objects.at(-1)?.key;
  const header = {
    v: 1 as const,
    mid: id.mid,
    sid: id.sid,
    seq: (previous?.header.seq ?? 0) + 1,
    ...(after === undefined ? {} : { after }),
    ...(end === undefined ? {} : { end }),
    count: objects.length,
    bytes: objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    isLast: last,
    ...(previous ? { prevSha256: previous.sha256 } : {}),
    planSha256: planSha256(plan),
  };
  return context.ledger.putPage(header, objects, context.signal);
}

async function emitPage(context: PipelineContext, window: Window, page: Page): Promise<void> {
  const { mid, sid, seq, end, isLast, count, bytes } = page.header;
  await window.emit(sid, seq, end, isLast, count, bytes);
  failpoint("page.emitted");
  const data = { v: PAYLOAD_VERSION, mid, sid, seq, epoch: 0 };
  await context.queues.copy.add("page", data, { jobId: pageJobId(data) });
  failpoint("page.queued");
}

/**
 * Whether another page may be given out. The bound comes from the queue itself, so it cannot leak as credits would; the bound on
 * the shard keeps the set of out-of-order pages small while one page is stuck.
 */
async function hasRoom(context: PipelineContext, window: Window, sid: string): Promise<boolean> {
  const counts = await context.queues.copy.getJobCounts("waiting", "active", "delayed");
  const queued = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (queued >= (await windowPages(context.redis, context.now().getTime()))) return false;
  const shard = await window.shard(sid);
  if (!shard || shard.next - shard.watermark >= SHARD_AHEAD_MAX) return false;
  const full = await redisFullness(context);
  if (full < REDIS_FULL) return true;
  await window.setTrouble(`Redis is ${Math.round(full * 100)} % full: listing waits`);
  return false;
}

async function redisFullness({ redis }: PipelineContext): Promise<number> {
  const info = await redis.info("memory");
  const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
  const max = field("maxmemory");
  return max === 0 ? 0 : field("used_memory") / max;
}

interface Batch {
  readonly objects: readonly ListedObject[];
  readonly last: boolean;
}

/** A listing cut into pages; the last one (perhaps empty) says so. One batch is held back until it is known whether more follows. */
export async function* batches(listing: AsyncIterable<ListPage>, objectsMax: number): AsyncGenerator<Batch> {
  let held: ListedObject[] = [];
  let bytes = 0;
  for await (const page of listing) {
    for (const object of page.objects) {
      if (held.length > 0 && (held.length >= objectsMax || bytes + object.sizeBytes > PAGE_BYTES_MAX)) {
        yield { objects: held, last: false };
        held = [];
        bytes = 0;
      }
      held.push(object);
      bytes += object.sizeBytes;
    }
  }
  yield { objects: held, last: true };
}

async function delay(job: Job, token: string | undefined, ms: number): Promise<never> {
  await job.moveToDelayed(Date.now() + ms, token);
  throw new DelayedError();
}
