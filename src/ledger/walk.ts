/** Whole migrations, shard after shard in key order; a shard that was split is followed by its halves. */
import { inOrder, latestOutcomes, type Task } from "./ahead.ts";
import { broken } from "./codec.ts";
import { withDeferred } from "./deferred.ts";
import * as layout from "./layout.ts";
import type { LedgerReader } from "./reader.ts";
import { countPages, type ShardSummary, summarizeShard } from "./rebuild.ts";
import type { DoneRecord, PlanRecord, Shard } from "./records.ts";
import { halvesOf } from "./shards.ts";

export interface SummarizedShard {
  readonly shard: Shard;
  readonly summary: ShardSummary;
}

/** What Redis must know about each shard, recomputed. */
export async function* summaries(
  ledger: LedgerReader,
  plan: PlanRecord,
  signal: AbortSignal,
): AsyncGenerator<SummarizedShard> {
  const waiting = plan.shards.toReversed();
  for (let shard = waiting.pop(); shard; shard = waiting.pop()) {
    const summary = await summarizeShard(ledger, plan.mid, shard, signal);
    yield { shard, summary };
    waiting.push(...summary.halves.toReversed());
  }
}

/** Every shard with the number of its pages; reads names, and one page each. */
export async function* shards(
  ledger: LedgerReader,
  plan: PlanRecord,
  signal: AbortSignal,
): AsyncGenerator<{ shard: Shard; pages: number }> {
  const waiting = plan.shards.toReversed();
  for (let shard = waiting.pop(); shard; shard = waiting.pop()) {
    const { pages, last } = await countPages(ledger, plan.mid, shard.sid, signal);
    yield { shard, pages };
    if (last) waiting.push(...halvesOf(shard, last.header).toReversed());
  }
}

/** The outcome of every page that has one, as `epochMax` left it, with those of its huge objects. */
export async function* outcomes(
  ledger: LedgerReader,
  plan: PlanRecord,
  epochMax: number,
  signal: AbortSignal,
): AsyncGenerator<DoneRecord> {
  for await (const { shard } of shards(ledger, plan, signal)) {
    yield* inOrder(outcomesOf(ledger, plan.mid, shard.sid, epochMax, signal));
  }
}

async function* outcomesOf(
  ledger: LedgerReader,
  mid: string,
  sid: string,
  epochMax: number,
  signal: AbortSignal,
): AsyncGenerator<Task<DoneRecord>> {
  for await (const { seq, epoch } of latestOutcomes(ledger, mid, sid, epochMax, signal)) {
    yield async () => {
      const done = await ledger.done(mid, sid, seq, epoch, signal);
      if (!done) throw broken(layout.doneName(mid, sid, seq, epoch), "was listed and cannot be read");
      return (await withDeferred(ledger.big, done, signal)).done;
    };
  }
}
