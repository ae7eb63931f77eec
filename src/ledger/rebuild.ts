/**
 * What Redis must know about a shard, recomputed from the records: the answer to a lost or emptied Redis.
 * Reads every name of the shard, and the outcomes behind the last checkpoint; memory is O(pages out of order).
 */
import { type Code, CODES } from "../core/error.ts";
import { noCounts, OUTCOMES, type Outcome } from "../core/plan.ts";
import { broken, type Page } from "./codec.ts";
import { type PageOutcome, withDeferred } from "./deferred.ts";
import * as layout from "./layout.ts";
import type { LedgerReader } from "./reader.ts";
import { halvesOf } from "./shards.ts";
import type { CkptRecord, CodeCounts, DoneRecord, Shard } from "./records.ts";

export interface Totals {
  readonly counts: Record<Outcome, number>;
  /** Objects on the pages that were listed, with or without an outcome. */
  listed: number;
  listedBytes: number;
  bytes: number;
  verified: number;
  readonly codes: CodeCounts;
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
});

/** Adds `sign` times an outcome's figures. */
export function addDone(totals: Totals, done: DoneRecord, sign: 1 | -1 = 1): void {
  for (const outcome of OUTCOMES) totals.counts[outcome] += sign * done.counts[outcome];
  totals.listed += sign * done.count;
  totals.listedBytes += sign * done.listedBytes;
  totals.bytes += sign * done.bytes;
  totals.verified += sign * done.verified;
  addCodes(totals.codes, codesOf(done), sign);
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
  const { pages, last: final } = await countPages(ledger, mid, shard.sid, signal);
  const marks = await outcomesOf(ledger, mid, shard.sid, signal);
  const totals = noTotals();
  const ckpt = await ledger.ckpt(mid, shard.sid, signal);
  const settled = addCheckpoint(totals, ckpt);
  const big: string[] = [];
  for (let seq = settled + 1; seq <= pages; seq++) {
    if (!marks.has(seq)) await addOpenPage(ledger, mid, shard.sid, seq, totals, signal);
    else big.push(...addOutcome(totals, await required(ledger, mid, shard.sid, seq, 0, signal)));
  }
  for (const [seq, epoch] of marks.later) {
    addDone(totals, (await required(ledger, mid, shard.sid, seq, 0, signal)).done, -1);
    big.push(...addOutcome(totals, await required(ledger, mid, shard.sid, seq, epoch, signal)));
  }
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
    if (layout.seqOf(name) !== ++pages) throw broken(name, `should be page ${pages}: a page is missing`);
  }
  const last = pages === 0 ? undefined : await ledger.page(mid, sid, pages, signal);
  return { pages, last };
}

class Marks {
  watermark = 0;
  readonly above = new Set<number>();
  readonly later = new Map<number, number>();

  add(seq: number, epoch: number): void {
    if (epoch > 0) {
      this.later.set(seq, Math.max(epoch, this.later.get(seq) ?? 0));
      return;
    }
    this.above.add(seq);
    while (this.above.delete(this.watermark + 1)) this.watermark++;
  }

  has(seq: number): boolean {
    return seq <= this.watermark || this.above.has(seq);
  }
}

async function outcomesOf(ledger: LedgerReader, mid: string, sid: string, signal: AbortSignal): Promise<Marks> {
  const marks = new Marks();
  for await (const name of ledger.names(layout.donePrefix(mid, sid), signal)) {
    marks.add(layout.seqOf(name), layout.epochOf(name));
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
  for (let page = settled + 1; page <= seq; page++) {
    if (addOutcome(totals, await required(ledger, mid, sid, page, 0, signal)).length > 0) return undefined;
  }
  const { counts, listedBytes, bytes, verified, codes } = totals;
  return { v: 1, seq, counts, listedBytes, bytes, verified, codes };
}

async function addOpenPage(
  ledger: LedgerReader,
  mid: string,
  sid: string,
  seq: number,
  totals: Totals,
  signal: AbortSignal,
): Promise<void> {
  const page = await ledger.page(mid, sid, seq, signal);
  if (!page) throw broken(layout.pageName(mid, sid, seq), "was listed and cannot be read");
  totals.listed += page.header.count;
  totals.listedBytes += page.header.bytes;
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
