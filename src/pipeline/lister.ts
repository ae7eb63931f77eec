/**
 * Lists a shard, page by page: ledger first (the page's record), then Redis (it may be copied), then BullMQ (a hint that it waits).
 * A crash between any two leaves a page that the next run of this job adopts, or a missing hint that the sweeper gives again.
 */
import { DelayedError, type Job, UnrecoverableError } from "bullmq";
import { asSealiftError, SealiftError } from "../core/error.ts";
import { failpoint } from "../core/failpoint.ts";
import type { KeyRange, ListedObject } from "../core/object.ts";
import {
  canSplit,
  checkBond,
  halvesOf,
  type Page,
  type PageHeader,
  type PlanRecord,
  planSha256,
  type Shard,
} from "../ledger/ledger.ts";
import type { ListPage, ObjectStore } from "../store/store.ts";
import { middleOf } from "./bisect.ts";
import { isRunning, type PipelineContext, type Work, windowOf } from "./context.ts";
import { isNewer, PAYLOAD_VERSION, pageJobId, payload, type ShardJob, shardJob, shardJobId } from "./job.ts";
import { REDIS_FULL, redisFullness } from "./redis.ts";
import type { ShardWindow, Window } from "./window.ts";
import { listSlots, windowPages } from "./workers.ts";

/** Small objects on one page are at most this much work. */
const PAGE_BYTES_MAX = 8 * 1024 ** 3;
const WINDOW_CLOSED_MS = 400;
const NEWER_JOB_MS = 60_000;
/** Pages that a shard may be ahead of its watermark. */
const SHARD_AHEAD_MAX = 10_000;
/** Huge objects that are begun or wait to be: their names are in Redis, and each is work for many. */
const BIG_AHEAD_MAX = 1000;

export async function listShard(context: PipelineContext, job: Job, token: string | undefined): Promise<void> {
  if (isNewer(job.data)) return delay(job, token, NEWER_JOB_MS);
  const id = payload(shardJob, job.data);
  const ended = await listTurn(context, id);
  if (!ended) await delay(job, token, context.draining.aborted ? 0 : WINDOW_CLOSED_MS);
}

/** True when there is nothing more to list here, false when the rest must wait. */
export async function listTurn(context: PipelineContext, id: ShardJob): Promise<boolean> {
  const window = windowOf(context, id.mid);
  if (!(await isRunning(context, window))) return true;
  const work = await context.works.get(id.mid, context.signal);
  const shard =
    work.plan.shards.find(({ sid }) => sid === id.sid) ?? (await context.ledger.shard(id.mid, id.sid, context.signal));
  if (!shard) throw new UnrecoverableError(`ghost job: migration ${id.mid} has no shard ${id.sid}`);
  const at = await window.shard(id.sid);
  if (!at) throw new SealiftError("STATE_LOST", `shard ${id.sid} of ${id.mid} is not in Redis`);
  if (at.last !== undefined) return true;
  // Asked before anything else: a closed window is met far more often than an open one, and a listing thrown away costs a request.
  if (!(await hasRoom(context, window, id.sid))) return false;
  return listFrom({ context, work, shard, window, id }, at);
}

/** One lister's turn at one shard. */
interface Turn {
  readonly context: PipelineContext;
  readonly work: Work;
  readonly shard: Shard;
  readonly window: Window;
  readonly id: ShardJob;
}

/** True when the shard's last page is out, false when the rest must wait. */
async function listFrom(turn: Turn, at: ShardWindow): Promise<boolean> {
  const { context, work, shard, window, id } = turn;
  let previous = at.next === 1 ? undefined : await context.ledger.page(id.mid, id.sid, at.next - 1, context.signal);
  if (at.next > 1 && !previous) throw await ahead(window, id.sid, at.next - 1);
  if (previous) checkBond(work.plan, previous);
  const after = previous ? previous.header.end : shard.after;
  const { source, sourcePrefix } = work.shores;
  const listing = source.list(sourcePrefix, { after, until: shard.until }, context.signal);
  for await (const batch of batches(listing, work.pageObjects)) {
    if (context.draining.aborted || !(await isRunning(context, window)) || !(await hasRoom(context, window, id.sid)))
      return false;
    const splitAt = previous && !batch.last ? await whereToSplit(turn, previous) : undefined;
    const page =
      previous && splitAt !== undefined
        ? await writeSplit(turn, previous, splitAt)
        : await writePage(turn, previous, { ...batch, objects: await recalled(turn, batch.objects) });
    failpoint("page.written");
    await emitPage(turn, page);
    if (page.header.isLast) return true;
    // An adopted page may end elsewhere than the batch it stands for: then listing starts again behind it.
    if (page.header.end !== batch.objects.at(-1)?.key) return false;
    previous = page;
  }
  throw new SealiftError("LIST_BROKEN", `the listing of shard ${id.sid} stopped without a last page`);
}

/** With what an earlier migration knows of them. It only saves requests: where its ledger cannot be read, they are made. */
async function recalled({ context, id }: Turn, objects: readonly ListedObject[]): Promise<readonly ListedObject[]> {
  const earlier = await context.works.earlier(id.mid, context.signal);
  if (!earlier) return objects;
  try {
    return await earlier.recall(id.sid, objects, context.signal);
  } catch (error) {
    context.signal.throwIfAborted();
    context.works.forgetEarlier(id.mid);
    const reason = asSealiftError(error).message;
    context.log.warn(
      { migration: id.mid, since: earlier.mid, reason },
      "every object is asked about: the ledger of the earlier migration cannot be read",
    );
    return objects;
  }
}

/** Redis names a page that the ledger does not have: the ledger is right, or a rebuild finds that it is broken. */
async function ahead(window: Window, sid: string, seq: number): Promise<SealiftError> {
  await window.lose();
  return new SealiftError(
    "STATE_LOST",
    `page ${seq} of shard ${sid} of ${window.mid} is in Redis and not in the ledger`,
  );
}

function writePage(turn: Turn, previous: Page | undefined, batch: Batch): Promise<Page> {
  return putPage(turn, previous, fieldsOf(batch, turn.shard), batch.objects);
}

export function fieldsOf({ objects, last }: Batch, shard: Shard): Fields {
  const end = last ? shard.until : objects.at(-1)?.key;
  const bytes = objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { end, count: objects.length, bytes, isLast: last };
}

function writeSplit(turn: Turn, previous: Page, at: string): Promise<Page> {
  const { end } = previous.header;
  return putPage(turn, previous, { end, count: 0, bytes: 0, isLast: true, split: { at } }, []);
}

type Fields = Pick<PageHeader, "count" | "bytes" | "isLast" | "split"> & { readonly end: string | undefined };

/** What stands in the ledger under the next number afterwards, whoever wrote it. */
function putPage(
  { context, work, shard }: Turn,
  previous: Page | undefined,
  fields: Fields,
  objects: readonly ListedObject[],
): Promise<Page> {
  return context.ledger.putPage(nextHeader(work.plan, shard, previous, fields), objects, context.signal);
}

/** Of the page behind `previous`. */
export function nextHeader(plan: PlanRecord, shard: Shard, previous: Page | undefined, fields: Fields): PageHeader {
  const { end, ...counted } = fields;
  const after = previous ? previous.header.end : shard.after;
  return {
    v: 1,
    mid: plan.mid,
    sid: shard.sid,
    seq: (previous?.header.seq ?? 0) + 1,
    ...(after === undefined ? {} : { after }),
    ...(end === undefined ? {} : { end }),
    ...counted,
    ...(previous ? { prevSha256: previous.sha256 } : {}),
    planSha256: planSha256(plan),
  };
}

async function emitPage({ context, window, shard }: Turn, { header }: Page): Promise<void> {
  const { mid, sid, seq } = header;
  const halves = halvesOf(shard, header);
  if (halves.length > 0) failpoint("split.written");
  for (const half of halves) await context.ledger.nameShard(mid, half, context.signal);
  if (halves.length > 0) failpoint("split.named");
  await window.emit(header, halves);
  failpoint(halves.length > 0 ? "split.emitted" : "page.emitted");
  const page = { v: PAYLOAD_VERSION, mid, sid, seq, epoch: 0 };
  await context.queues.copy.add("page", page, { jobId: pageJobId(page) });
  for (const half of halves) {
    const job = { v: PAYLOAD_VERSION, mid, sid: half.sid };
    await context.queues.list.add("shard", job, { jobId: shardJobId(job) });
  }
  failpoint(halves.length > 0 ? "split.queued" : "page.queued");
}

/** A shard has to be worth so many pages before it is split: each split costs some twenty requests. */
const SPLIT_PAGES_MIN = 6;
const SHARDS_MAX = 10_000;
/** Part of the window up to which copiers are thought to wait for pages. */
const HUNGRY = 0.5;

/**
 * Where to leave the far half of this shard to a lister that has nothing to do: only while listing is what everybody waits for,
 * and only where keys are left on both sides.
 */
async function whereToSplit(turn: Turn, { header }: Page): Promise<string | undefined> {
  const { context, work, shard, window } = turn;
  if (header.seq < SPLIT_PAGES_MIN || header.end === undefined || !canSplit(shard)) return undefined;
  const [{ open, shards }, slots] = await Promise.all([
    window.listing(),
    listSlots(context.redis, context.now().getTime()),
  ]);
  if (open >= slots || shards + 2 > SHARDS_MAX || (await queueFullness(context)) > HUNGRY) return undefined;
  const { source, sourcePrefix } = work.shores;
  return middleOf({ after: header.end, until: shard.until }, (range) =>
    firstKey(source, sourcePrefix, range, context.signal),
  );
}

async function firstKey(
  source: ObjectStore,
  prefix: string,
  range: KeyRange,
  signal: AbortSignal,
): Promise<string | undefined> {
  for await (const { objects } of source.list(prefix, range, signal)) {
    const [first] = objects;
    if (first) return first.key;
  }
  return undefined;
}

/**
 * Whether another page may be given out. The bound comes from the queue itself, so it cannot leak as credits would; the bound on
 * the shard keeps the set of out-of-order pages small while one page is stuck.
 */
async function hasRoom(context: PipelineContext, window: Window, sid: string): Promise<boolean> {
  if ((await queueFullness(context)) >= 1) return false;
  const shard = await window.shard(sid);
  if (!shard || shard.next - shard.watermark >= SHARD_AHEAD_MAX) return false;
  if ((await window.big.left()) >= BIG_AHEAD_MAX) return false;
  // `status` says so itself, as long as it is so.
  return (await redisFullness(context.redis)) < REDIS_FULL;
}

/** Pages that are queued or in hand, as part of the window. */
async function queueFullness({ queues, redis, now }: PipelineContext): Promise<number> {
  const counts = await queues.copy.getJobCounts("waiting", "active", "delayed");
  const queued = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return queued / (await windowPages(redis, now().getTime()));
}

export interface Batch {
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
