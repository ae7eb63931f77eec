/**
 * Redis from the ledger. This is the only way state gets into Redis: a migration is started by writing its plan and rebuilding,
 * a retry by writing its list and rebuilding, and a lost Redis is no different.
 */
import { SealiftError } from "../core/error.ts";
import type { EventRecord, Ledger, PlanRecord, ShardSummary, SummarizedShard } from "../ledger/ledger.ts";
import type { PipelineContext } from "./context.ts";
import { type RunState, Window } from "./window.ts";

/** Renewed while the rebuild goes on: the lock of a process that was killed is soon free. */
const REBUILD_LOCK_MS = 20_000;

type Rebuilder = Pick<PipelineContext, "redis" | "ledger" | "log" | "signal">;

/** False where another process is at it. */
export async function rebuild(context: Rebuilder, mid: string): Promise<boolean> {
  const window = new Window(context.redis, mid);
  const lock = await window.lockRebuild(REBUILD_LOCK_MS);
  if (!lock) return false;
  try {
    const { ledger, signal } = context;
    const plan = await ledger.plan(mid, signal);
    const epoch = await ledger.epoch(mid, signal);
    const shards = await summarizeAll(ledger, plan, signal);
    const state = await stateOf(ledger, plan, epoch, signal);
    const retry = epoch === 0 ? [] : await retryLeft(ledger, mid, epoch, shards, signal);
    if (state === "finished" && (retry.length > 0 || shards.some(({ summary }) => isOpen(summary)))) {
      throw new SealiftError("LEDGER_BROKEN", `the ledger holds a result of ${mid}, and pages without an outcome`);
    }
    await window.install({ shards, state, epoch, retry }, lock.token);
    // Said while this was going on, to a window that has now been replaced.
    const said = await stateOf(ledger, plan, epoch, signal);
    if (said !== state) await window.setState(said);
    const pages = shards.reduce((sum, { summary }) => sum + summary.next - 1, 0);
    const hugeObjects = shards.reduce((sum, { summary }) => sum + summary.big.length, 0);
    context.log.info(
      { migration: mid, epoch, state, pages, retryPages: retry.length, hugeObjects },
      "window rebuilt from the ledger",
    );
    return true;
  } finally {
    await lock.release();
  }
}

/** Halves whose parent was killed between splitting and naming them are named here: a lister is given no more than a name. */
async function summarizeAll(ledger: Ledger, plan: PlanRecord, signal: AbortSignal): Promise<SummarizedShard[]> {
  const named = await ledger.shardNames(plan.mid, signal);
  const shards: SummarizedShard[] = [];
  for await (const one of ledger.summaries(plan, signal)) {
    if (!named.has(one.shard.sid)) await ledger.nameShard(plan.mid, one.shard, signal);
    shards.push(one);
  }
  return shards;
}
const isOpen = ({ last, watermark, big }: ShardSummary): boolean =>
  last === undefined || watermark < last || big.length > 0;

/** The last word of the operators, unless the epoch was closed by an audit. */
export async function stateOf(ledger: Ledger, plan: PlanRecord, epoch: number, signal: AbortSignal): Promise<RunState> {
  const events = await ledger.events(plan.mid, signal);
  const last = events.at(-1)?.action ?? "start";
  if (last !== "cancel" && (await ledger.result(plan.mid, epoch, signal))) return "finished";
  return STATE_AFTER[last];
}

const STATE_AFTER: Readonly<Record<EventRecord["action"], RunState>> = {
  start: "running",
  // Nobody works on it until whoever adopted it says `resume`.
  adopt: "paused",
  resume: "running",
  retry: "running",
  pause: "paused",
  cancel: "cancelled",
  halt: "halted",
};

/** As the same look at the ledger saw it that made the sums: an outcome that came since is counted when it is committed. */
async function retryLeft(
  ledger: Ledger,
  mid: string,
  epoch: number,
  shards: readonly SummarizedShard[],
  signal: AbortSignal,
): Promise<string[]> {
  const retry = await ledger.retry(mid, epoch, signal);
  const later = new Map(shards.map(({ shard, summary }) => [shard.sid, summary.later]));
  const isLeft = ([sid, seq]: readonly [string, number]) => (later.get(sid)?.get(seq) ?? 0) < epoch;
  return (retry?.pages ?? []).filter(isLeft).map(([sid, seq]) => `${sid}.${seq}`);
}
