/**
 * Huge objects: what a page has deferred is begun once, copied in groups of parts by whichever workers are free, and finished by
 * whoever finds all of it there. Each step looks at the ledger and at what the destination holds, never at queues: it can be taken
 * twice, by two at once, or again after any crash.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DelayedError, type Job, WaitingError } from "bullmq";
import { asSealiftError, SealiftError } from "../core/error.ts";
import { failpoint } from "../core/failpoint.ts";
import type { ListedObject } from "../core/object.ts";
import type { Receipt } from "../core/receipt.ts";
import { type BigDoneRecord, type BigPlace, type BigRecord, type Page, placeOf } from "../ledger/ledger.ts";
import { copyGroup } from "../transfer/group.ts";
import { beginHuge, finishHuge, partsOf, taskOf, uploadName } from "../transfer/huge.ts";
import { abortUploads } from "../transfer/leftovers.ts";
import { failure } from "../transfer/page.ts";
import { groupCount, groupOf, partCount, partsIn } from "../transfer/partplan.ts";
import { interruptIf, retrying } from "../transfer/retry.ts";
import type { Crossing } from "../transfer/shores.ts";
import { isRunning, type PipelineContext, windowOf } from "./context.ts";
import { crashReceipt, finalizeIf, isProblem, POISON_STARTS, problemOf } from "./copier.ts";
import { ensure } from "./ensure.ts";
import { type BigJob, bigJob, groupJob, groupJobId, isNewer, PAYLOAD_VERSION, payload, wakeJobId } from "./job.ts";
import type { Window } from "./window.ts";

/** Groups of one object that are queued or in hand at once. */
const GROUPS_AHEAD = 16;
/** Uploads of one object that may be lost (a lifecycle rule, a provider's conflict) before it counts as failed. */
const TURNS_MAX = 3;
const NEWER_JOB_MS = 60_000;
const ALONE_MS = 10_000;
const LOOK_MS = 200;

/** One huge object as a worker has it in hand. */
interface Big {
  readonly context: PipelineContext;
  readonly window: Window;
  readonly job: Job;
  readonly mid: string;
  readonly bid: string;
  readonly place: BigPlace;
  readonly page: Page;
  readonly object: ListedObject;
  readonly crossing: Crossing;
  readonly createdMs: number;
  readonly startedAt: string;
}

/** Begins, gives out what is missing, or finishes. */
export async function bigObjectJob(context: PipelineContext, job: Job, token: string | undefined): Promise<void> {
  await inHand(context, job, token, bigJob, async (big) => {
    const release = await alone(big);
    try {
      const done = await advance(big);
      if (done) await settle(big, done);
    } finally {
      await release();
    }
  });
}

/** Copies one group of parts. */
export async function groupObjectJob(context: PipelineContext, job: Job, token: string | undefined): Promise<void> {
  await inHand(context, job, token, groupJob, async (big, id) => {
    const { mid, bid, turn, group } = id;
    const upload = await context.ledger.big.upload(mid, bid, turn, context.signal);
    // Of an upload that was never begun, or a group that it does not have: an injected job.
    if (!upload || group >= groupCount(upload)) return;
    const done = (await context.ledger.big.done(mid, bid, context.signal)) ?? (await workGroup(big, upload, group));
    if (done) return settle(big, done);
    const data = { v: PAYLOAD_VERSION, mid, bid };
    await context.queues.copy.add("big", data, { jobId: wakeJobId(id) });
  });
}

/** What both jobs begin and end with: not of a newer program, running, known, and given back when the worker has to end. */
async function inHand<T extends BigJob>(
  context: PipelineContext,
  job: Job,
  token: string | undefined,
  shape: Parameters<typeof payload<T>>[0],
  act: (big: Big, id: T) => Promise<void>,
): Promise<void> {
  if (isNewer(job.data)) {
    await job.moveToDelayed(Date.now() + NEWER_JOB_MS, token);
    throw new DelayedError();
  }
  const id = payload(shape, job.data);
  const window = windowOf(context, id.mid);
  const running = await isRunning(context, window);
  if (!(await window.isBig(id.bid))) return;
  const big = await open(context, window, job, id.mid, id.bid);
  // Redis names an object that the ledger knows nothing of: what is right is in the ledger.
  if (!big) return window.lose();
  if (!running) return leave(big);
  try {
    await act(big, id);
  } catch (error) {
    if (!context.draining.aborted || asSealiftError(error).code !== "INTERRUPTED") throw error;
    await job.moveToWait(token);
    throw new WaitingError();
  }
}

/** Paused: it stays as it is, for the sweeper to give again. Cancelled: nobody will complete what was begun. */
async function leave({ context, window, object, crossing, createdMs }: Big): Promise<void> {
  if ((await window.meta())?.state !== "cancelled") return;
  await abortUploads(taskOf(object, crossing).key, createdMs, undefined, crossing);
  context.log.debug({ migration: window.mid, object: object.key }, "uploads of a cancelled migration aborted");
}

/** Two at once do no harm but each other's work. A holder that was killed is waited for as long as its lock lasts. */
async function alone({ window, bid, context }: Big): Promise<() => Promise<void>> {
  for (;;) {
    const release = await window.lockBig(bid, ALONE_MS);
    if (release) return release;
    interruptIf(context.draining);
    await sleep(LOOK_MS);
  }
}

async function open(
  context: PipelineContext,
  window: Window,
  job: Job,
  mid: string,
  bid: string,
): Promise<Big | undefined> {
  const { ledger, signal } = context;
  const place = placeOf(bid);
  if (!place) return undefined;
  const { sid, seq, index, epoch } = place;
  const [page, done] = await Promise.all([
    ledger.page(mid, sid, seq, signal),
    ledger.done(mid, sid, seq, epoch, signal),
  ]);
  const object = page?.objects[index];
  if (!page || !object || !done?.deferred?.includes(index)) return undefined;
  const { plan, shores, rules } = await context.works.get(mid, signal);
  const crossing = { shores, rules, signal };
  const startedAt = context.now().toISOString();
  const createdMs = Date.parse(plan.createdAt);
  return { context, window, job, mid, bid, place, page, object, crossing, createdMs, startedAt };
}

/** The outcome; undefined where parts are still to be copied by others. */
async function advance(big: Big): Promise<BigDoneRecord | undefined> {
  const { context, mid, bid, object, crossing } = big;
  const { ledger, signal } = context;
  const existing = await ledger.big.done(mid, bid, signal);
  if (existing) return existing;
  if (isPoison(big)) return conclude(big, crashReceipt(object.key));
  let begun = (await ledger.big.latest(mid, bid, signal)) ?? (await begin(big, 1));
  for (;;) {
    if (!("uploadId" in begun)) return begun;
    const upload = begun;
    const finished = await tried(big, async () =>
      finishHuge(object, upload, await ledger.big.witnesses(upload, signal), crossing),
    );
    if ("receipt" in finished) return conclude(big, finished.receipt);
    if ("missing" in finished) return giveGroups(big, upload, finished.missing);
    await abortUploads(taskOf(object, crossing).key, big.createdMs, undefined, crossing);
    if (upload.turn >= TURNS_MAX) return conclude(big, failure(object.key, finished.lost, upload.turn));
    context.log.warn(
      { migration: mid, object: bid, errorCode: finished.lost.code },
      `begun again: ${finished.lost.message}`,
    );
    begun = await begin(big, upload.turn + 1);
  }
}

/** The upload that counts: this one, or that of whoever was faster. */
async function begin(big: Big, turn: number): Promise<BigRecord | BigDoneRecord> {
  const { context, mid, bid, page, object, crossing } = big;
  const begun = await tried(big, () => beginHuge(object, crossing));
  if ("lost" in begun || "missing" in begun) throw new SealiftError("INTERNAL", "a beginning that is none");
  if ("receipt" in begun) return conclude(big, begun.receipt);
  const { replaces, serverKeyName, ...upload } = begun.upload;
  const mine: BigRecord = {
    v: 1,
    mid,
    bid,
    turn,
    pageSha256: page.sha256,
    ...upload,
    fixed: { names: [...upload.fixed.names], sha256: upload.fixed.sha256 },
    ...(replaces === undefined ? {} : { replaces: pin(replaces) }),
    ...(serverKeyName === undefined ? {} : { serverKeyName }),
    worker: context.name,
    at: context.now().toISOString(),
  };
  const winner = await context.ledger.big.begin(mine, context.signal);
  failpoint("big.recorded", object.key);
  const task = taskOf(object, crossing);
  if (winner.uploadId !== mine.uploadId) await partsOf(crossing).abort(uploadName(task, mine), context.signal);
  return winner;
}

const pin = ({ version, etag }: { version?: string | undefined; etag: string }) => ({
  etag,
  ...(version === undefined ? {} : { version }),
});

/** Activations that ended neither well nor with an error: their worker was gone. */
const isPoison = ({ job }: Big): boolean => job.attemptsStarted - job.attemptsMade >= POISON_STARTS;

async function tried<T>(big: Big, work: () => Promise<T>): Promise<T | { readonly receipt: Receipt }> {
  const { attempts, delayMs } = big.crossing.rules;
  const patience = { attempts, delayMs, signal: big.crossing.signal, random: Math.random };
  const result = await retrying(patience, work);
  return "value" in result ? result.value : { receipt: failed(big, result.error, result.attempts) };
}

/** What cannot be mended is an outcome; what may be is thrown, for BullMQ to try again, until its last attempt. */
function failed({ job, object }: Big, error: SealiftError, attempts: number): Receipt {
  const last = job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
  // Neither the end of a worker nor expired credentials are the object's fault.
  const ours = error.code === "INTERRUPTED" || error.code === "CREDENTIALS_EXPIRED";
  if (ours || (error.retry !== "never" && !last)) throw error;
  return failure(object.key, error, attempts);
}

async function giveGroups(big: Big, upload: BigRecord, missing: readonly number[]): Promise<undefined> {
  const { context, window, mid, bid } = big;
  await window.noteParts(bid, partCount(upload) - missing.length, partCount(upload));
  const groups = [...new Set(missing.map((number) => groupOf(upload, number)))].slice(0, GROUPS_AHEAD);
  for (const group of groups) {
    const data = { v: PAYLOAD_VERSION, mid, bid, turn: upload.turn, group };
    await ensure(context, context.queues.copy, "group", groupJobId(data), data);
  }
}

/** undefined: the group is there (or its upload is not), and the object's own job has to look on. */
async function workGroup(big: Big, upload: BigRecord, group: number): Promise<BigDoneRecord | undefined> {
  const { context, object, crossing } = big;
  const { ledger, signal, draining } = context;
  if (isPoison(big)) return conclude(big, crashReceipt(object.key));
  const onPart = async () => {
    if (draining.aborted) throw new SealiftError("INTERRUPTED", "the worker is ending");
  };
  const limits = { objects: context.objects, onPart };
  const witnesses = await ledger.big.witnesses(upload, signal);
  try {
    const sent = await copyGroup(object, upload, group, witnesses, crossing, limits);
    if (sent && sent.length > 0) await witness(big, upload, group, sent);
    const fields = { migration: big.mid, object: big.bid, group, parts: sent?.length, worker: context.name };
    context.log.debug(fields, "group copied");
  } catch (error) {
    return conclude(big, failed(big, asSealiftError(error), crossing.rules.attempts));
  }
  failpoint("big.grouped", object.key);
  return undefined;
}

/** Where the destination states no CRC32C of its parts, the ledger keeps what was sent. */
async function witness(
  { context, object, crossing }: Big,
  upload: BigRecord,
  group: number,
  sent: readonly { readonly first: number; readonly tag: string; readonly crc32c?: number | undefined }[],
): Promise<void> {
  const held = await partsOf(crossing).list(uploadName(taskOf(object, crossing), upload), context.signal);
  const wanted = new Set(partsIn(upload, group));
  if (!held?.some(({ first, crc32c }) => wanted.has(first) && crc32c === undefined)) return;
  const parts = sent.map(({ first, tag, crc32c = 0 }) => [first, tag, crc32c] as const);
  await context.ledger.big.putWitness(upload, group, parts, context.signal);
}

/** What stands in the ledger afterwards, whoever wrote it. */
async function conclude(big: Big, receipt: Receipt): Promise<BigDoneRecord> {
  const { context, mid, bid, page, object, startedAt } = big;
  const done: BigDoneRecord = {
    v: 1,
    mid,
    bid,
    outcome: receipt.outcome,
    bytes: receipt.bytes,
    verified: receipt.verified,
    ...(receipt.crc32c === undefined ? {} : { crc32c: receipt.crc32c }),
    ...(isProblem(receipt) ? { problem: problemOf(receipt, object.version) } : {}),
    pageSha256: page.sha256,
    worker: context.name,
    startedAt,
    endedAt: context.now().toISOString(),
  };
  return context.ledger.big.putDone(done, context.signal);
}

/** Ledger, destination, Redis: the outcome is written; what is left of its uploads goes; then it is counted, once. */
async function settle(big: Big, done: BigDoneRecord): Promise<void> {
  const { context, window, mid, bid, object, place, crossing } = big;
  failpoint("big.written", object.key);
  const left = await abortUploads(taskOf(object, crossing).key, big.createdMs, undefined, crossing);
  if (left !== undefined) {
    const { code, message } = asSealiftError(left);
    context.log.warn(
      { migration: mid, object: bid, errorCode: code },
      `an upload is left at the destination: ${message}`,
    );
  }
  const counted = await window.commitBig(done, place.epoch);
  failpoint("big.committed", object.key);
  await finalizeIf(context, mid, counted);
}
