/**
 * Redis from the ledger. This is the only way state gets into Redis: a migration is started by writing its plan and rebuilding,
 * a retry by writing its list and rebuilding, and a lost Redis is no different.
 */
import { type Ledger } from "../ledger/ledger.ts";
import type { EventRecord, PlanRecord, SummarizedShard } from "../ledger/ledger.ts";
import type { PipelineContext } from "./context.ts";
import { type RunState, Window } from "./window.ts";

const REBUILD_LOCK_MS = 120_000;

type Rebuilder = Pick<PipelineContext, "redis" | "ledger" | "log" | "signal">;

/** False where another process is at it. */
export async function rebuild(context: Rebuilder, mid: string): Promise<boolean> {
  const window = new Window(context.redis, mid);
  const release = await window.lockRebuild(REBUILD_LOCK_MS);
  if (!release) return false;
  try {
    const { ledger, signal } = context;
    const plan = await ledger.plan(mid, signal);
    const epoch = await ledger.epoch(mid, signal);
    const shards = await summarizeAll(ledger, plan, signal);
    const state = await stateOf(ledger, plan, epoch, signal);
    const retry = epoch === 0 ? [] : await retryLeft(ledger, mid, epoch, signal);
    await window.install({ shards, state, epoch, retry });
    const pages = shards.reduce((sum, { summary }) => sum + summary.next - 1, 0);
    const hugeObjects = shards.reduce((sum, { summary }) => sum + summary.big.length, 0);
    context.log.info(
      { migration: mid, epoch, state, pages, retryPages: retry.length, hugeObjects },
      "window rebuilt from the ledger",
    );
    return true;
  } finally {
    await release();
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

/** The last word of the operators, unless the epoch was closed by an audit. */
export async function stateOf(ledger: Ledger, plan: PlanRecord, epoch: number, signal: AbortSignal): Promise<RunState> {
  const events = await ledger.events(plan.mid, signal);
  const last = events.at(-1)?.action ?? "start";
  if (last !== "cancel" && (await ledger.result(plan.mid, epoch, signal))) return "finished";
  return STATE_AFTER[last];
}

const STATE_AFTER: Readonly<Record<EventRecord["action"], RunState>> = {
  start: "running",
  resume: "running",
  retry: "running",
  pause: "paused",
  cancel: "cancelled",
  halt: "halted",
};

async function retryLeft(ledger: Ledger, mid: string, epoch: number, signal: AbortSignal): Promise<string[]> {
  const retry = await ledger.retry(mid, epoch, signal);
  const left: string[] = [];
  for (const [sid, seq] of retry?.pages ?? []) {
    if (!(await ledger.done(mid, sid, seq, epoch, signal))) left.push(`${sid}.${seq}`);
  }
  return left;
}
