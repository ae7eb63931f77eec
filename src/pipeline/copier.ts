/**
 * Copies one page: its record from the ledger, its objects through `transfer`, its outcome into the ledger (first writer wins),
 * and only then one count in Redis. Errors of objects are outcomes; errors of the page are retried by BullMQ and the sweeper.
 */
import { DelayedError, type Job, UnrecoverableError, WaitingError } from "bullmq";
import { addAdvisories, type AdvisoryCounts, countOnce } from "../core/advisory.ts";
import { asSealiftError, SealiftError } from "../core/error.ts";
import { failpoint } from "../core/failpoint.ts";
import type { ListedObject } from "../core/object.ts";
import { DEFERRED_LETTER, noCounts, OUTCOME_LETTER, OUTCOMES, type Outcome } from "../core/plan.ts";
import type { Receipt } from "../core/receipt.ts";
import { NOTHING_STOOD } from "../core/stood.ts";
import { bidOf, checkBond, type DoneRecord, type Page, type Problem, type StandingRecord } from "../ledger/ledger.ts";
import { type Neighbours, neighboursIn } from "../transfer/divided.ts";
import { hugeAmong } from "../transfer/huge.ts";
import { abortLeftovers } from "../transfer/leftovers.ts";
import { copyPage } from "../transfer/page.ts";
import { isRunning, type PipelineContext, type Work, windowOf } from "./context.ts";
import { bigJobId, finalizeJobId, isNewer, PAYLOAD_VERSION, type PageJob, pageJob, payload } from "./job.ts";
import { type Care, CRASHES_MAX, forgetMarks, withCare } from "./poison.ts";
import type { Window } from "./window.ts";

const NEWER_JOB_MS = 60_000;

export async function copyPageJob(context: PipelineContext, job: Job, token: string | undefined): Promise<void> {
  if (isNewer(job.data)) {
    await job.moveToDelayed(Date.now() + NEWER_JOB_MS, token);
    throw new DelayedError();
  }
  const id = payload(pageJob, job.data);
  const window = windowOf(context, id.mid);
  // Paused or cancelled: the page stays outstanding, and the sweeper gives it again when the migration runs.
  if (!(await isRunning(context, window))) return;
  await refuseUnknown(window, id);
  const before = id.epoch === 0 ? undefined : await latest(context, id, id.epoch - 1);
  const existing = await context.ledger.done(id.mid, id.sid, id.seq, id.epoch, context.signal);
  const done = existing ?? (await workOrGiveBack(context, id, before, job, token));
  failpoint("done.written");
  const counted = await window.commit(done, before);
  failpoint("done.committed");
  await forgetMarks(context, id.mid, pageName(id));
  await giveBig(context, done);
  await finalizeIf(context, id.mid, counted);
}

/** Its huge objects are open since the commit; these jobs are hints, as all of them. */
async function giveBig(context: PipelineContext, { mid, sid, seq, epoch, deferred = [] }: DoneRecord): Promise<void> {
  for (const index of deferred) {
    const data = { v: PAYLOAD_VERSION, mid, bid: bidOf({ sid, seq, index, epoch }) };
    await context.queues.copy.add("big", data, { jobId: bigJobId(data) });
    failpoint("big.queued");
  }
}

/** `counted` is what a commit answered: 2 where nothing is open any more. */
export async function finalizeIf(context: PipelineContext, mid: string, counted: number): Promise<void> {
  if (counted !== 2) return;
  const data = { v: PAYLOAD_VERSION, mid };
  await context.queues.control.add("finalize", data, { jobId: finalizeJobId(mid) });
  failpoint("finalize.queued");
}

/** A page that was never given out is an injected job: it ends here, and nothing of the migration with it. */
async function refuseUnknown(window: Window, id: PageJob): Promise<void> {
  const [shard, meta] = await Promise.all([window.shard(id.sid), window.meta()]);
  if (!shard || !meta || id.seq >= shard.next || id.epoch > meta.epoch)
    throw new UnrecoverableError("ghost job: no such page was given out");
}

/** SIGTERM: objects in hand end, the page goes back to the queue without costing an attempt. */
async function workOrGiveBack(
  context: PipelineContext,
  id: PageJob,
  before: DoneRecord | undefined,
  job: Job,
  token: string | undefined,
): Promise<DoneRecord> {
  const { redis, pages: slots, draining } = context;
  const inHand = { redis, mid: id.mid, page: pageName(id), slots, draining };
  try {
    return await withCare(inHand, (care) => workPage(context, id, before, care));
  } catch (error) {
    if (!context.draining.aborted || asSealiftError(error).code !== "INTERRUPTED") throw error;
    await job.moveToWait(token);
    throw new WaitingError();
  }
}

async function workPage(
  context: PipelineContext,
  id: PageJob,
  before: DoneRecord | undefined,
  care: Care,
): Promise<DoneRecord> {
  const startedAt = context.now().toISOString();
  const work = await context.works.get(id.mid, context.signal);
  const page = await context.ledger.page(id.mid, id.sid, id.seq, context.signal);
  if (!page) {
    // Redis ahead of the ledger; where it is the ledger that has lost the page, the rebuild says so.
    await windowOf(context, id.mid).lose();
    throw new SealiftError("STATE_LOST", `page ${id.seq} of shard ${id.sid} of ${id.mid} is not in the ledger`);
  }
  checkBond(work.plan, page);
  const chosen = await chooseObjects(context, id, page, before);
  const crossing = { shores: work.shores, rules: work.rules, signal: context.signal };
  const neighbours = neighboursIn(page.objects);
  const huge = await hugeAmong(chosen, crossing, neighbours);
  const small = chosen.filter(({ key }) => !huge.has(key));
  // A worker that was killed in the middle of this page may have left uploads that nobody will complete.
  if (care.afterDeath) await abortLeftovers(small, Date.parse(work.plan.createdAt), crossing);
  const receipts = await copyCarefully(context, work, page, { objects: small, neighbours }, care);
  refuseExpired(receipts);
  const standing = standingOf(id, page, receipts);
  if (standing) await context.ledger.hints.putStanding(standing, context.signal);
  failpoint("standing.written");
  const done = outcomeOf(id, page, before, receipts, huge, {
    worker: context.name,
    startedAt,
    endedAt: context.now().toISOString(),
  });
  return context.ledger.putDone(done, context.signal);
}

/** Expired credentials are nobody's object's fault: the page waits for new ones instead of failing a thousand objects. */
function refuseExpired(receipts: readonly Receipt[]): void {
  const expired = receipts.find(({ code }) => code === "CREDENTIALS_EXPIRED");
  if (expired) throw new SealiftError("CREDENTIALS_EXPIRED", expired.message ?? "the credentials have expired");
}

const pageName = (id: PageJob): string => `${id.sid}.${id.seq}.${id.epoch}`;

async function latest(context: PipelineContext, id: PageJob, epochMax: number): Promise<DoneRecord> {
  const outcome = await context.ledger.outcome(id.mid, id.sid, id.seq, epochMax, context.signal);
  if (outcome && outcome.open.length === 0) return outcome.done;
  throw new SealiftError("LEDGER_BROKEN", `page ${id.seq} of shard ${id.sid} is retried and has no whole outcome`);
}

/** Epoch 0: every object. Later: those that failed, or those whose problem has the retry's code. */
async function chooseObjects(
  context: PipelineContext,
  id: PageJob,
  page: Page,
  before: DoneRecord | undefined,
): Promise<ListedObject[]> {
  if (!before) return [...page.objects];
  const code = await context.works.retryCode(id.mid, id.epoch, context.signal);
  const wanted = new Set(before.problems.filter((problem) => isRetried(problem, code)).map(({ key }) => key));
  return page.objects.filter(({ key }) => wanted.has(key));
}

export const isRetried = (problem: Problem, code: string | undefined): boolean =>
  code === undefined ? problem.outcome === "failed" : problem.code === code;

/** As `copyPage`, but a page that keeps ending its worker is taken object by object until the poisonous one is known. */
async function copyCarefully(
  context: PipelineContext,
  work: Work,
  page: Page,
  { objects, neighbours }: { readonly objects: readonly ListedObject[]; readonly neighbours: Neighbours },
  { alone, dead, name }: Care,
): Promise<Receipt[]> {
  const alive = objects.filter(({ key }) => !dead.includes(key));
  const onObject = async (key: string) => {
    if (context.draining.aborted) throw new SealiftError("INTERRUPTED", "the worker is ending");
    if (alone) await name(key);
    failpoint("object.taken", key);
  };
  const range = { after: page.header.after, until: page.objects.at(-1)?.key };
  const limits = { objects: context.objects, signal: context.signal, onObject, serial: alone, neighbours };
  const receipts = await copyPage(alive, range, work.shores, work.rules, limits);
  const given = objects.filter(({ key }) => dead.includes(key));
  return [...receipts, ...given.map(({ key }) => crashReceipt(key))];
}

export const crashReceipt = (key: string): Receipt => ({
  key,
  outcome: "failed",
  bytes: 0,
  verified: false,
  code: "WORKER_CRASH",
  message: "handling this object ended its worker several times",
  attempts: CRASHES_MAX,
  notes: [],
});

/** The outcome of the whole page: what stood before, with these receipts in place of the objects they are about. Huge ones have theirs to come. */
export function outcomeOf(
  id: PageJob,
  page: Page,
  before: DoneRecord | undefined,
  receipts: readonly Receipt[],
  huge: ReadonlySet<string>,
  who: { readonly worker: string; readonly startedAt: string; readonly endedAt: string },
): DoneRecord {
  const fresh = new Map(receipts.map((receipt) => [receipt.key, receipt]));
  const counts = noCounts();
  let outcomes = "";
  const deferred: number[] = [];
  page.objects.forEach(({ key }, index) => {
    if (huge.has(key)) {
      deferred.push(index);
      outcomes += DEFERRED_LETTER;
      return;
    }
    const outcome = fresh.get(key)?.outcome ?? outcomeAt(before, index);
    if (!outcome) throw new SealiftError("INTERNAL", "an object of the page has no receipt", { object: key });
    counts[outcome]++;
    outcomes += OUTCOME_LETTER[outcome];
  });
  const kept = before?.problems.filter(({ key }) => !fresh.has(key) && !huge.has(key)) ?? [];
  const versions = new Map(page.objects.map(({ key, version }) => [key, version]));
  return {
    v: 1,
    mid: id.mid,
    sid: id.sid,
    seq: id.seq,
    epoch: id.epoch,
    counts,
    count: page.header.count,
    outcomes,
    listedBytes: page.header.bytes,
    bytes: receipts.reduce((sum, { bytes }) => sum + bytes, before?.bytes ?? 0),
    verified: receipts.filter(({ verified }) => verified).length + (before?.verified ?? 0),
    advisories: advisoriesOf(receipts, before),
    problems: [...kept, ...receipts.filter(isProblem).map((receipt) => problemOf(receipt, versions.get(receipt.key)))],
    ...(deferred.length === 0 ? {} : { deferred }),
    pageSha256: page.sha256,
    ...who,
  };
}

/** undefined: of no object is it known how it stands. */
function standingOf(
  { mid, sid, seq, epoch }: PageJob,
  page: Page,
  receipts: readonly Receipt[],
): StandingRecord | undefined {
  const known = new Map(receipts.map(({ key, stood }) => [key, stood]));
  const objects = page.objects.map(({ key }) => known.get(key) ?? NOTHING_STOOD);
  if (objects.every((stood) => stood === NOTHING_STOOD)) return undefined;
  return { v: 1, mid, sid, seq, epoch, objects: objects.join(""), pageSha256: page.sha256 };
}

/** Of what stands now: what was tried again had not arrived before, and was not counted. */
function advisoriesOf(receipts: readonly Receipt[], before: DoneRecord | undefined): AdvisoryCounts {
  const counts = { ...before?.advisories };
  for (const receipt of receipts) if (!isProblem(receipt)) addAdvisories(counts, countOnce(receipt.advisories));
  return counts;
}

const LETTERS: ReadonlyMap<string, Outcome> = new Map(OUTCOMES.map((outcome) => [OUTCOME_LETTER[outcome], outcome]));
const outcomeAt = (done: DoneRecord | undefined, index: number): Outcome | undefined =>
  LETTERS.get(done?.outcomes[index] ?? "");

export const isProblem = ({ outcome }: Receipt): boolean =>
  outcome === "failed" || outcome === "refused" || outcome === "conflict";

export const problemOf = (receipt: Receipt, version: string | undefined): Problem => ({
  key: receipt.key,
  ...(version === undefined ? {} : { version }),
  outcome: receipt.outcome as Problem["outcome"],
  code: receipt.code ?? "INTERNAL",
  message: (receipt.message ?? "").slice(0, 400),
  attempts: receipt.attempts,
});
