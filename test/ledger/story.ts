/** Writes small but whole migrations into a ledger, so that tests can damage them. */
import { noCounts, OUTCOME_LETTER, type Outcome } from "../../src/core/plan.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { type DoneRecord, jobSha256, Ledger, type Page, type PlanRecord, type Shard } from "../../src/ledger/ledger.ts";
import { MemoryStore } from "../../src/store/memory.ts";

export const signal = new AbortController().signal;
export const MID = "20260101-000000-abcdef";

export const object = (key: string, sizeBytes = key.length): ListedObject => ({
  key,
  sizeBytes,
  etag: `etag-${key.slice(-40)}`,
  lastModifiedMs: 1_700_000_000_000,
});

export function planOf(shards: Shard[]): PlanRecord {
  return {
    v: 1,
    mid: MID,
    createdAt: "2026-01-01T00:00:00.000Z",
    job: { name: "story" },
    jobSha256: jobSha256({ name: "story" }),
    shards,
  };
}

export async function emptyLedger(
  shards: Shard[] = [{ sid: "s0001" }],
): Promise<{ ledger: Ledger; store: MemoryStore }> {
  const store = new MemoryStore();
  const ledger = new Ledger(store, "ledger/");
  await ledger.putPlan(planOf(shards), signal);
  await ledger.putEvent(MID, { action: "start", at: "2026-01-01T00:00:00.000Z", by: "test" }, signal);
  return { ledger, store };
}

/** Pages of a shard, chained; the last one is marked. */
export async function writePages(ledger: Ledger, shard: Shard, pages: readonly (readonly string[])[]): Promise<Page[]> {
  const written: Page[] = [];
  for (const [index, keys] of pages.entries()) {
    const previous = written.at(-1);
    const after = previous ? previous.header.end : shard.after;
    const isLast = index === pages.length - 1;
    const end = isLast ? shard.until : keys.at(-1);
    const objects = keys.map((key) => object(key));
    const header = {
      v: 1 as const,
      mid: MID,
      sid: shard.sid,
      seq: index + 1,
      ...(after === undefined ? {} : { after }),
      ...(end === undefined ? {} : { end }),
      count: keys.length,
      bytes: objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      isLast,
      ...(previous ? { prevSha256: previous.sha256 } : {}),
    };
    written.push(await ledger.putPage(header, objects, signal));
  }
  return written;
}

/** An outcome for a page: what is not named is rewrapped. */
export function doneOf(page: Page, outcomes: Readonly<Record<string, Outcome>> = {}, epoch = 0): DoneRecord {
  const counts = noCounts();
  let letters = "";
  const problems: DoneRecord["problems"] = [];
  for (const { key } of page.objects) {
    const outcome = outcomes[key] ?? "rewrapped";
    counts[outcome]++;
    letters += OUTCOME_LETTER[outcome];
    if (outcome === "failed" || outcome === "refused" || outcome === "conflict") {
      problems.push({ key, outcome, code: "NET_TIMEOUT", message: "slow", attempts: 1 });
    }
  }
  const { mid, sid, seq, count, bytes } = page.header;
  return {
    v: 1,
    mid,
    sid,
    seq,
    epoch,
    counts,
    count,
    outcomes: letters,
    listedBytes: bytes,
    bytes: bytes - problems.length,
    verified: 1,
    problems,
    pageSha256: page.sha256,
    worker: "test",
    startedAt: "2026-01-01T00:00:00.000Z",
    endedAt: "2026-01-01T00:00:01.000Z",
  };
}
