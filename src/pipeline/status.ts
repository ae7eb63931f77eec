/** Where a migration stands: from Redis while it runs, from the ledger where Redis is gone or the end was audited. */
import type { Redis } from "ioredis";
import { addAdvisories, type AdvisoryCounts } from "../core/advisory.ts";
import { noCounts, OUTCOMES, sumCounts } from "../core/plan.ts";
import type { CodeCounts, Ledger, MigrationState, PlanRecord, ResultRecord } from "../ledger/ledger.ts";
import { PREFIX } from "./keys.ts";
import { stateOf } from "./rebuild.ts";
import { REDIS_FULL, redisFullness } from "./redis.ts";
import { type RunState, Window, type WindowTotals } from "./window.ts";

export interface MigrationStatus {
  readonly id: string;
  readonly name: string | undefined;
  readonly state: MigrationState;
  readonly epoch: number;
  readonly createdAt: string;
  readonly source: string;
  readonly destination: string;
  readonly totals: WindowTotals;
  /** Listed objects that have an outcome. */
  readonly handled: number;
  /** True once the number listed is final. */
  readonly listingDone: boolean;
  readonly shards: number;
  readonly shardsOpen: number;
  readonly pagesOutstanding: number;
  readonly retryPagesLeft: number;
  /** Objects that several workers copy and that have no outcome yet, and how far those are that were begun. */
  readonly huge: { readonly open: number; readonly partsHeld: number; readonly parts: number };
  /** What hinders it right now. */
  readonly trouble: string | undefined;
  /** The audit that closed the current epoch. */
  readonly result: ResultRecord | undefined;
}

const NO_HUGE: MigrationStatus["huge"] = { open: 0, partsHeld: 0, parts: 0 };

export interface Sources {
  readonly ledger: Ledger;
  readonly redis: Redis | undefined;
  readonly signal: AbortSignal;
}

export async function migrationStatus(sources: Sources, mid: string): Promise<MigrationStatus> {
  const { ledger, redis, signal } = sources;
  const plan = await ledger.plan(mid, signal);
  const window = redis && new Window(redis, mid);
  const meta = await window?.meta();
  const epoch = meta?.epoch ?? (await ledger.epoch(mid, signal));
  const result = await ledger.result(mid, epoch, signal);
  // A result beside open pages is nobody's audit: what Redis knows is shown instead (a planted result must not look like an end).
  if (result && !(window && meta && (await isOpen(window, meta)))) return fromResult(plan, result);
  if (window && meta) return fromWindow(plan, window, meta, redis);
  return fromLedger(sources, plan, epoch);
}

function common(plan: PlanRecord) {
  const { source, destination, name } = plan.job as {
    source?: { url?: string };
    destination?: { url?: string };
    name?: string;
  };
  return {
    id: plan.mid,
    name,
    createdAt: plan.createdAt,
    source: source?.url ?? "",
    destination: destination?.url ?? "",
  };
}

function fromResult(plan: PlanRecord, result: ResultRecord): MigrationStatus {
  const { counts, listed, listedBytes, bytes, verified, codes, advisories, pages, shards } = result;
  return {
    ...common(plan),
    state: result.state,
    epoch: result.epoch,
    totals: { counts, listed, listedBytes, bytes, verified, codes, advisories, pages, committed: pages, shards },
    shards,
    handled: listed,
    listingDone: true,
    shardsOpen: 0,
    pagesOutstanding: 0,
    retryPagesLeft: 0,
    huge: NO_HUGE,
    trouble: undefined,
    result,
  };
}

const isOpen = async (window: Window, { epoch }: Meta): Promise<boolean> =>
  (await window.openShards()).length > 0 || (await window.retryLeft(epoch)) > 0 || (await window.big.left()) > 0;

type Meta = { readonly state: RunState; readonly epoch: number; readonly trouble: string | undefined };

async function fromWindow(plan: PlanRecord, window: Window, meta: Meta, redis: Redis): Promise<MigrationStatus> {
  const [totals, open, listing, retryPagesLeft, bigLeft, noted, active, full] = await Promise.all([
    window.totals(),
    window.openShards(),
    window.listing(),
    window.retryLeft(meta.epoch),
    window.big.left(),
    window.big.partsNoted(),
    redis.llen(`${PREFIX}:copy:active`),
    redisFullness(redis),
  ]);
  return {
    ...common(plan),
    state: stateName(meta.state, totals, active),
    epoch: meta.epoch,
    totals,
    shards: totals.shards,
    handled: sumCounts(totals.counts),
    listingDone: listing.open === 0,
    shardsOpen: open.length,
    pagesOutstanding: totals.pages - totals.committed,
    retryPagesLeft,
    huge: { open: bigLeft, partsHeld: noted.held, parts: noted.all },
    trouble: fullText(full) ?? meta.trouble,
    result: undefined,
  };
}

async function fromLedger({ ledger, signal }: Sources, plan: PlanRecord, epoch: number): Promise<MigrationStatus> {
  const totals = {
    counts: noCounts(),
    listed: 0,
    listedBytes: 0,
    bytes: 0,
    verified: 0,
    pages: 0,
    committed: 0,
    shards: 0,
  };
  const codes: Record<string, number> = {};
  const advisories: AdvisoryCounts = {};
  let shardsOpen = 0;
  let bigLeft = 0;
  let listingDone = true;
  for await (const { summary } of ledger.summaries(plan, signal)) {
    totals.shards++;
    bigLeft += summary.big.length;
    for (const outcome of OUTCOMES) totals.counts[outcome] += summary.totals.counts[outcome];
    for (const field of ["listed", "listedBytes", "bytes", "verified"] as const) totals[field] += summary.totals[field];
    for (const [code, count] of Object.entries(summary.totals.codes)) codes[code] = (codes[code] ?? 0) + count;
    addAdvisories(advisories, summary.totals.advisories);
    totals.pages += summary.next - 1;
    totals.committed += summary.watermark + summary.outOfOrder.length;
    if (summary.last === undefined) listingDone = false;
    if (summary.last === undefined || summary.watermark < summary.last) shardsOpen++;
  }
  const all = { ...totals, codes: codes as CodeCounts, advisories };
  return {
    ...common(plan),
    state: stateName(await stateOf(ledger, plan, epoch, signal), all, 0),
    epoch,
    totals: all,
    shards: all.shards,
    handled: sumCounts(totals.counts),
    listingDone,
    shardsOpen,
    pagesOutstanding: totals.pages - totals.committed,
    retryPagesLeft: 0,
    huge: { ...NO_HUGE, open: bigLeft },
    trouble: undefined,
    result: undefined,
  };
}

function stateName(state: RunState, totals: WindowTotals, activeCopies: number): MigrationState {
  switch (state) {
    case "running":
    case "finished":
      return totals.pages === 0 ? "Pending" : "Running";
    case "paused":
      return "Paused";
    case "cancelled":
      return activeCopies > 0 ? "Cancelling" : "Cancelled";
    case "halted":
      return "Failed";
  }
}

/** Asked, not noted: at its limit Redis takes no note. */
function fullText(full: number): string | undefined {
  const percent = `Redis is ${Math.round(full * 100)} % full`;
  if (full >= 1) return `${percent}: workers rest until there is room (raise its maxmemory)`;
  return full < REDIS_FULL ? undefined : `${percent}: listing waits until there is room`;
}
