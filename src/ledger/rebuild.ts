/**
 * What Redis must know about a shard, recomputed from the records: the answer to a lost or emptied Redis.
 * Reads every name of the shard, and the outcomes behind the last checkpoint; memory is O(pages out of order).
 */
import { addAdvisories, type AdvisoryCounts } from "../core/advisory.ts";
import { type Code, CODES } from "../core/error.ts";
import { noCounts, OUTCOMES, type Outcome } from "../core/plan.ts";
import { eachPage, inOrder } from "./ahead.ts";
import { broken, type Page } from "./codec.ts";
import { type PageOutcome, withDeferred } from "./deferred.ts";
import * as layout from "./layout.ts";
import type { LedgerReader } from "./reader.ts";
import { halvesOf } from "./shards.ts";
import type { CkptRecord, CodeCounts, DoneRecord, PageHeader, Shard } from "./records.ts";

export interface Totals {
  readonly counts: Record<Outcome, number>;
  /** Objects on the pages that were listed, with or without an outcome. */
  listed: number;
  listedBytes: number;
  bytes: number;
  verified: number;
  readonly codes: CodeCounts;
  readonly advisories: AdvisoryCounts;
}

export interface ShardSummary {
  /** Number that the next page gets: pages 1..next-1 are written. */
  readonly next: number;
  /** Every page 1..watermark has an outcome of epoch 0. */
  readonly watermark: number;
  /** Pages above the watermark that have one too. */
  readonly outOfOrder: readonly number[];
  /** The last page's number once listing has ended. */
  readonly last: number | undefined;
  /** Where listing goes on. */
  readonly cursor: string | undefined;
  /** What is left of it went to these two; empty where it was not split. */
  readonly halves: readonly Shard[];
  readonly totals: Totals;
  /** Huge objects of its pages that have no outcome yet. */
  readonly big: readonly string[];
  /** `seq` of pages with an outcome of a later epoch, with that epoch; for retries. */
  readonly later: ReadonlyMap<number, number>;
}

export const noTotals = (): Totals => ({
  counts: noCounts(),
  listed: 0,
  listedBytes: 0,
  bytes: 0,
  verified: 0,
  codes: {},
  advisories: {},
});

/** Adds `sign` times an outcome's figures. */
export function addDone(totals: Totals, done: DoneRecord, sign: 1 | -1 = 1): void {
  for (const outcome of OUTCOMES) totals.counts[outcome] += sign * done.counts[outcome];
  totals.listed += sign * done.count;
  totals.listedBytes += sign * done.listedBytes;
  totals.bytes += sign * done.bytes;
  totals.verified += sign * done.verified;
  addCodes(totals.codes, codesOf(done), sign);
  addAdvisories(totals.advisories, done.advisories, sign);
}

export function codesOf(done: DoneRecord): CodeCounts {
  const codes: CodeCounts = {};
  for (const { code } of done.problems) codes[code] = (codes[code] ?? 0) + 1;
  return codes;
}

export function addCodes(into: CodeCounts, from: CodeCounts, sign: 1 | -1 = 1): void {
  for (const code of Object.keys(CODES) as Code[]) {
    const change = from[code];
    if (change === undefined) continue;
    const sum = (into[code] ?? 0) + sign * change;
    if (sum === 0) delete into[code];
    else into[code] = sum;
  }
}

export async function summarizeShard(
  ledger: LedgerReader,
  mid: string,
  shard: Shard,
  signal: AbortSignal,
): Promise<ShardSummary> {
  // In this order, because others may be writing: what a checkpoint counts has its outcome, and an outcome its page.
  const ckpt = await ledger.ckpt(mid, shard.sid, signal);
  const marks = await outcomesOf(ledger, mid, shard.sid, signal);
  const { pages, last: final } = await countPages(ledger, mid, shard.sid, signal);
  if (marks.highest > pages)
    throw broken(layout.pageName(mid, shard.sid, marks.highest), "has an outcome and is missing");
  if (ckpt !== undefined && ckpt.seq > marks.watermark)
    throw broken(layout.ckptName(mid, shard.sid, ckpt.seq), "counts pages that have no outcome");
  const totals = noTotals();
  const settled = addCheckpoint(totals, ckpt);
  const big: string[] = [];
  const read = async (seq: number) =>
    marks.has(seq) ? required(ledger, mid, shard.sid, seq, 0, signal) : openPage(ledger, mid, shard.sid, seq, signal);
  for await (const found of inOrder(eachPage(settled + 1, pages, read))) {
    if ("done" in found) big.push(...addOutcome(totals, found));
    else addListed(totals, found);
  }
  big.push(...(await addLater(ledger, mid, shard.sid, marks, totals, signal)));
  return {
    next: pages + 1,
    watermark: marks.watermark,
    outOfOrder: [...marks.above].sort((a, b) => a - b),
    last: final?.header.isLast ? pages : undefined,
    cursor: final ? final.header.end : shard.after,
    halves: final ? halvesOf(shard, final.header) : [],
    totals,
    big,
    later: marks.later,
  };
}

/** What later epochs made of pages stands in place of what epoch 0 did. Answers the huge objects that are open. */
async function addLater(
  ledger: LedgerReader,
  mid: string,
  sid: string,
  { later }: Marks,
  totals: Totals,
  signal: AbortSignal,
): Promise<string[]> {
  const big: string[] = [];
  const pairs = Array.from(later, ([seq, epoch]) => async () => {
    const first = await required(ledger, mid, sid, seq, 0, signal);
    return [first, await required(ledger, mid, sid, seq, epoch, signal)] as const;
  });
  for await (const [first, last] of inOrder(pairs)) {
    addDone(totals, first.done, -1);
    big.push(...addOutcome(totals, last));
  }
  return big;
}

function addOutcome(totals: Totals, { done, open }: PageOutcome): readonly string[] {
  addDone(totals, done);
  return open;
}

/** Pages are written in order, so their number is the last name; a hole means that somebody removed one. */
export async function countPages(
  ledger: LedgerReader,
  mid: string,
  sid: string,
  signal: AbortSignal,
): Promise<{ readonly pages: number; readonly last: Page | undefined }> {
  let pages = 0;
  for await (const name of ledger.names(layout.pagesPrefix(mid, sid), signal)) {
    const seq = layout.seqOf(name);
    // A folder's marker, a note of somebody's: not a record.
    if (Number.isNaN(seq)) continue;
    if (seq !== ++pages) throw broken(name, `should be page ${pages}: a page is missing`);
  }
  const last = pages === 0 ? undefined : await ledger.page(mid, sid, pages, signal);
  return { pages, last };
}

class Marks {
  watermark = 0;
  highest = 0;
  readonly above = new Set<number>();
  readonly later = new Map<number, number>();

  add(seq: number, epoch: number): void {
    this.highest = Math.max(this.highest, seq);
    if (epoch > 0) {
      this.later.set(seq, Math.max(epoch, this.later.get(seq) ?? 0));
      return;
    }
    if (seq > this.watermark) this.above.add(seq);
    while (this.above.delete(this.watermark + 1)) this.watermark++;
  }

  has(seq: number): boolean {
    return seq <= this.watermark || this.above.has(seq);
  }
}

async function outcomesOf(ledger: LedgerReader, mid: string, sid: string, signal: AbortSignal): Promise<Marks> {
  const marks = new Marks();
  for await (const name of ledger.names(layout.donePrefix(mid, sid), signal)) {
    const [seq, epoch] = [layout.seqOf(name), layout.epochOf(name)];
    if (!Number.isNaN(seq) && !Number.isNaN(epoch)) marks.add(seq, epoch);
  }
  return marks;
}

function addCheckpoint(totals: Totals, ckpt: CkptRecord | undefined): number {
  if (!ckpt) return 0;
  for (const outcome of OUTCOMES) {
    totals.counts[outcome] += ckpt.counts[outcome];
    totals.listed += ckpt.counts[outcome];
  }
  totals.listedBytes += ckpt.listedBytes;
  totals.bytes += ckpt.bytes;
  totals.verified += ckpt.verified;
  addCodes(totals.codes, ckpt.codes);
  addAdvisories(totals.advisories, ckpt.advisories);
  return ckpt.seq;
}

/** Sums of epoch 0 over pages 1..seq, given those up to an earlier page; undefined while one of their objects is open. */
export async function sumPages(
  ledger: LedgerReader,
  mid: string,
  sid: string,
  from: CkptRecord | undefined,
  seq: number,
  signal: AbortSignal,
): Promise<CkptRecord | undefined> {
  const totals = noTotals();
  const settled = addCheckpoint(totals, from);
  const read = (page: number) => required(ledger, mid, sid, page, 0, signal);
  for await (const outcome of inOrder(eachPage(settled + 1, seq, read))) {
    if (addOutcome(totals, outcome).length > 0) return undefined;
  }
  const { counts, listedBytes, bytes, verified, codes, advisories } = totals;
  return { v: 1, seq, counts, listedBytes, bytes, verified, codes, advisories };
}

async function openPage(
  ledger: LedgerReader,
  mid: string,
  sid: string,
  seq: number,
  signal: AbortSignal,
): Promise<PageHeader> {
  const page = await ledger.page(mid, sid, seq, signal);
  if (!page) throw broken(layout.pageName(mid, sid, seq), "was listed and cannot be read");
  return page.header;
}

function addListed(totals: Totals, { count, bytes }: PageHeader): void {
  totals.listed += count;
  totals.listedBytes += bytes;
}

async function required(
  ledger: LedgerReader,
  mid: string,
  sid: string,
  seq: number,
  epoch: number,
  signal: AbortSignal,
): Promise<PageOutcome> {
  const done = await ledger.done(mid, sid, seq, epoch, signal);
  if (!done) throw broken(layout.doneName(mid, sid, seq, epoch), "is missing");
  return withDeferred(ledger.big, done, signal);
}
