/** What every job of a huge object begins and ends with: its records, its place in the queue, and its outcome. */
import { DelayedError, type Job, WaitingError } from "bullmq";
import { asSealiftError, SealiftError } from "../core/error.ts";
import { failpoint } from "../core/failpoint.ts";
import type { ListedObject } from "../core/object.ts";
import type { Receipt } from "../core/receipt.ts";
import { type BigDoneRecord, type BigPlace, type Page, placeOf } from "../ledger/ledger.ts";
import { taskOf } from "../transfer/huge.ts";
import { abortUploads } from "../transfer/leftovers.ts";
import { failure } from "../transfer/page.ts";
import { retrying } from "../transfer/retry.ts";
import type { Crossing } from "../transfer/shores.ts";
import { isRunning, type PipelineContext, windowOf } from "./context.ts";
import { crashReceipt, finalizeIf, isProblem, problemOf } from "./copier.ts";
import { type BigJob, isNewer, payload } from "./job.ts";
import { forgetMarks, withCare } from "./poison.ts";
import type { Window } from "./window.ts";

const NEWER_JOB_MS = 60_000;
const ALONE_MS = 10_000;

/** One huge object as a worker has it in hand. */
export interface Big {
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

/** What both jobs begin and end with: not of a newer program, running, known, and given back when the worker has to end. */
export async function inHand<T extends BigJob>(
  context: PipelineContext,
  job: Job,
  token: string | undefined,
  shape: Parameters<typeof payload<T>>[0],
  name: (id: T) => string,
  act: (big: Big, id: T) => Promise<void>,
): Promise<void> {
  if (isNewer(job.data)) {
    await job.moveToDelayed(Date.now() + NEWER_JOB_MS, token);
    throw new DelayedError();
  }
  const id = payload(shape, job.data);
  const window = windowOf(context, id.mid);
  const running = await isRunning(context, window);
  if (!(await window.big.has(id.bid))) return;
  const big = await open(context, window, job, id.mid, id.bid);
  // Redis names an object that the ledger knows nothing of: what is right is in the ledger.
  if (!big) return window.lose();
  if (!running) return leave(big);
  try {
    await carefully(big, name(id), () => act(big, id));
  } catch (error) {
    if (!context.draining.aborted || asSealiftError(error).code !== "INTERRUPTED") throw error;
    await job.moveToWait(token);
    throw new WaitingError();
  }
}

/** One object, and still it may be what ends its worker: as pages are, it is marked while it is in hand (poison.ts). */
async function carefully(big: Big, name: string, act: () => Promise<void>): Promise<void> {
  const { context, mid, object } = big;
  const { redis, pages: slots, draining } = context;
  await withCare({ redis, mid, page: name, slots, draining }, async (care) => {
    if (care.dead.includes(object.key)) return settle(big, await conclude(big, crashReceipt(object.key)));
    if (care.alone) await care.name(object.key);
    await act();
  });
  await forgetMarks(context, mid, name);
}

/** Paused: it stays as it is, for the sweeper to give again. Cancelled: nobody will complete what was begun. */
export async function leave({ context, window, object, crossing, createdMs }: Big): Promise<void> {
  if ((await window.meta())?.state !== "cancelled") return;
  await abortUploads(taskOf(object, crossing).key, createdMs, undefined, crossing);
  context.log.debug({ migration: window.mid, object: object.key }, "uploads of a cancelled migration aborted");
}

/**
 * Two at once would do no harm but each other's work. Whoever comes while somebody is at it asks for another look and goes; a
 * holder that was killed is followed by the sweeper when its lock has run out.
 */
export async function alone({ window, bid }: Big, act: () => Promise<void>): Promise<void> {
  do {
    let release = await window.big.lock(bid, ALONE_MS);
    if (!release) {
      await window.big.askAgain(bid);
      // Gone in between: then it has not seen what was asked.
      release = await window.big.lock(bid, ALONE_MS);
      if (!release) return;
    }
    try {
      await act();
    } finally {
      await release();
    }
  } while (await window.big.wasAskedAgain(bid));
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

export async function tried<T>(big: Big, work: () => Promise<T>): Promise<T | { readonly receipt: Receipt }> {
  const { attempts, delayMs } = big.crossing.rules;
  const patience = { attempts, delayMs, signal: big.crossing.signal, random: Math.random };
  const result = await retrying(patience, work);
  return "value" in result ? result.value : { receipt: failed(big, result.error, result.attempts) };
}

/** What cannot be mended is an outcome; what may be is thrown, for BullMQ to try again, until its last attempt. */
export function failed({ job, object }: Big, error: SealiftError, attempts: number): Receipt {
  const last = job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
  // Neither the end of a worker nor expired credentials are the object's fault.
  const ours = error.code === "INTERRUPTED" || error.code === "CREDENTIALS_EXPIRED";
  if (ours || (error.retry !== "never" && !last)) throw error;
  return failure(object.key, error, attempts);
}

/** What stands in the ledger afterwards, whoever wrote it. */
export async function conclude(big: Big, receipt: Receipt): Promise<BigDoneRecord> {
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
    ...(isProblem(receipt) || !receipt.advisories ? {} : { advisories: [...receipt.advisories] }),
    pageSha256: page.sha256,
    worker: context.name,
    startedAt,
    endedAt: context.now().toISOString(),
  };
  return context.ledger.big.putDone(done, context.signal);
}

/** Ledger, destination, Redis: the outcome is written; what is left of its uploads goes; then it is counted, once. */
export async function settle(big: Big, done: BigDoneRecord): Promise<void> {
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
