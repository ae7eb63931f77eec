/**
 * The independent audit, from the ledger alone: do the shards cover every key, is each shard's chain of pages whole, has each
 * page an outcome for each of its objects, and do the sums agree. Queues and Redis are never asked. Memory is O(1).
 */
import { createHash, type Hash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { SealiftError } from "../core/error.ts";
import { compareKeys } from "../core/object.ts";
import { OUTCOME_LETTER, OUTCOMES, sumCounts } from "../core/plan.ts";
import { inOrder, latestOutcomes, type Task } from "./ahead.ts";
import { checkBond } from "./bond.ts";
import { broken, type Page } from "./codec.ts";
import { type PageOutcome, withDeferred } from "./deferred.ts";
import * as layout from "./layout.ts";
import type { LedgerReader } from "./reader.ts";
import { halvesOf } from "./shards.ts";
import { addDone, noTotals, type Totals } from "./rebuild.ts";
import type { DoneRecord, MigrationState, PlanRecord, ResultRecord, Shard } from "./records.ts";

export async function audit(ledger: LedgerReader, mid: string, at: string, signal: AbortSignal): Promise<ResultRecord> {
  const plan = await ledger.plan(mid, signal);
  checkCoverage(plan);
  const epoch = await ledger.epoch(mid, signal);
  const retry = epoch === 0 ? undefined : await ledger.retry(mid, epoch, signal);
  const run: Audit = {
    ledger,
    plan,
    epoch,
    retried: new Set(retry?.pages.map(([sid, seq]) => `${sid}.${seq}`)),
    signal,
    totals: noTotals(),
    digest: createHash("sha256"),
    pages: 0,
    shards: 0,
  };
  for (const shard of plan.shards) await auditTree(run, shard);
  const { totals, digest, pages, shards } = run;
  return {
    v: 1,
    mid,
    epoch,
    state: finalState(totals),
    listed: totals.listed,
    counts: totals.counts,
    listedBytes: totals.listedBytes,
    bytes: totals.bytes,
    verified: totals.verified,
    codes: totals.codes,
    advisories: totals.advisories,
    pages,
    shards,
    digest: digest.digest("hex"),
    at,
  };
}

/** Errors: objects that failed. Skipped: objects refused or in conflict. What the operator filtered out is neither. */
export function finalState({ counts }: Pick<Totals, "counts">): MigrationState {
  const errors = counts.failed > 0;
  const skipped = counts.refused + counts.conflict > 0;
  if (errors && skipped) return "CompletedWithErrorsAndSkipped";
  if (errors) return "CompletedWithErrors";
  return skipped ? "CompletedWithSkipped" : "Completed";
}

/** LEDGER_BROKEN where a result contradicts itself. */
export function checkEnd(name: string, result: ResultRecord): ResultRecord {
  if (sumCounts(result.counts) === result.listed && finalState(result) === result.state) return result;
  throw broken(name, "states an end that its own counts do not");
}

/** LEDGER_BROKEN where a result that stands in the ledger is not what the audit found: nobody's word counts but the records'. */
export function checkResult(stated: ResultRecord, audited: ResultRecord): void {
  for (const field of Object.keys(audited) as (keyof ResultRecord)[]) {
    if (field === "at" || isDeepStrictEqual(stated[field], audited[field])) continue;
    throw broken(layout.resultName(audited.mid, audited.epoch), `is not what the records add up to: see ${field}`);
  }
}

/** The shards' ranges, in plan order, must follow on each other from the first possible key to the last. */
export function checkCoverage(plan: PlanRecord): void {
  const name = layout.planName(plan.mid);
  let reached: string | undefined;
  plan.shards.forEach((shard, index) => {
    if (shard.after !== reached) throw broken(name, `leaves a gap or an overlap before shard ${shard.sid}`);
    const final = index === plan.shards.length - 1;
    if (final !== (shard.until === undefined)) throw broken(name, `does not cover every key: see shard ${shard.sid}`);
    if (shard.until !== undefined && shard.after !== undefined && compareKeys(shard.until, shard.after) <= 0) {
      throw broken(name, `has an empty shard ${shard.sid}`);
    }
    reached = shard.until;
  });
}

interface Audit {
  readonly ledger: LedgerReader;
  readonly plan: PlanRecord;
  readonly epoch: number;
  /** Pages that the epoch goes over again. */
  readonly retried: ReadonlySet<string>;
  readonly signal: AbortSignal;
  readonly totals: Totals;
  readonly digest: Hash;
  pages: number;
  shards: number;
}

/** A shard and the halves it was split into, in key order. */
async function auditTree(run: Audit, shard: Shard): Promise<void> {
  run.shards++;
  const last = await auditShard(run, shard);
  run.pages += last.header.seq;
  for (const half of halvesOf(shard, last.header)) await auditTree(run, half);
}

/** Answers the last page. */
async function auditShard(run: Audit, shard: Shard): Promise<Page> {
  const { plan, totals, digest } = run;
  let previous: Page | undefined;
  for await (const { seq, page, outcome } of inOrder(recordsOf(run, shard))) {
    const name = layout.pageName(plan.mid, shard.sid, seq);
    if (previous?.header.isLast) {
      if (page || outcome) throw broken(name, "follows the last page of its shard");
      return previous;
    }
    if (!page) throw new SealiftError("INCOMPLETE", `ledger record ${name} is missing: listing has not ended`);
    checkBond(plan, page);
    checkChain(name, page, previous, shard);
    if (!outcome) throw new SealiftError("INCOMPLETE", `page ${name} has no outcome`);
    const { done, open } = outcome;
    if (done.epoch < run.epoch && run.retried.has(`${shard.sid}.${seq}`))
      throw new SealiftError("INCOMPLETE", `page ${name} is retried and has no outcome of epoch ${run.epoch}`);
    if (open.length > 0) throw new SealiftError("INCOMPLETE", `huge object ${open[0]} of page ${name} has no outcome`);
    checkDone(name, page, done);
    addDone(totals, done);
    digest.update(page.sha256).update(done.outcomes);
    previous = page;
  }
  throw new SealiftError("INTERNAL", `the audit of shard ${shard.sid} ended before its records did`);
}

interface Records {
  readonly seq: number;
  readonly page: Page | undefined;
  readonly outcome: PageOutcome | undefined;
}

/** Page after page with the last word on it, up to the first number that has no outcome: one behind the last page. */
async function* recordsOf(run: Audit, { sid }: Shard): AsyncGenerator<Task<Records>> {
  const { ledger, plan, epoch: epochMax, signal } = run;
  const { mid } = plan;
  let expected = 1;
  for await (const { seq, epoch } of latestOutcomes(ledger, mid, sid, epochMax, signal)) {
    if (seq !== expected) break;
    expected++;
    yield async () => {
      const [page, done] = await Promise.all([
        ledger.page(mid, sid, seq, signal),
        ledger.done(mid, sid, seq, epoch, signal),
      ]);
      return { seq, page, outcome: done && (await withDeferred(ledger.big, done, signal)) };
    };
  }
  yield async () => ({ seq: expected, page: await ledger.page(mid, sid, expected, signal), outcome: undefined });
}

function checkChain(name: string, page: Page, previous: Page | undefined, shard: Shard): void {
  const { header, objects } = page;
  const after = previous ? previous.header.end : shard.after;
  if (header.after !== after) throw broken(name, "does not begin where the page before it ended");
  if (header.prevSha256 !== previous?.sha256) throw broken(name, "does not follow the page before it (hash)");
  if (header.isLast && header.end !== (header.split ? after : shard.until))
    throw broken(name, "ends before its shard does");
  let last = after;
  let bytes = 0;
  for (const { key, sizeBytes } of objects) {
    if (last !== undefined && compareKeys(key, last) <= 0) throw broken(name, "is not in ascending order");
    last = key;
    bytes += sizeBytes;
  }
  if (bytes !== header.bytes) throw broken(name, "has another sum of bytes than its header says");
  if (!header.isLast && last !== header.end) throw broken(name, "does not end at its last key");
  if (header.end !== undefined && last !== undefined && compareKeys(last, header.end) > 0)
    throw broken(name, "goes past its end");
}

function checkDone(name: string, page: Page, done: DoneRecord): void {
  if (done.pageSha256 !== page.sha256) throw broken(name, "is not the page that its outcome answers");
  const count = page.header.count;
  if (done.count !== count || sumCounts(done.counts) !== count || done.outcomes.length !== count) {
    throw broken(name, `lists ${count} objects, its outcome accounts for ${sumCounts(done.counts)}`);
  }
  for (const outcome of OUTCOMES) {
    const letters = done.outcomes.split(OUTCOME_LETTER[outcome]).length - 1;
    if (letters !== done.counts[outcome]) throw broken(name, `counts ${outcome} differently from its outcome string`);
  }
  const { conflict, refused, failed } = done.counts;
  if (done.problems.length !== conflict + refused + failed)
    throw broken(name, "does not name each object that did not arrive");
}
