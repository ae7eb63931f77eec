/**
 * A migration whose ledger is lost, Redis or not: written again from what stands on the two shores, under its old id. The source is
 * listed anew into pages; a page of which every object is proven to have arrived gets its outcome, every other is left to the
 * workers, who compare and copy as ever. So nothing is believed here that a copy would not find out for itself, and a wrong guess
 * costs work, never an object. Every record is create-only: an adoption that was killed is begun again and goes on.
 */
import { SealiftError } from "../core/error.ts";
import type { Job } from "../core/job.ts";
import { halvesOf, type Ledger, MID, type Page, type PlanRecord, type Shard } from "../ledger/ledger.ts";
import { neighboursIn } from "../transfer/divided.ts";
import { type Doubt, provePage } from "../transfer/prove.ts";
import type { Work } from "./context.ts";
import { type Control, planRecord } from "./control.ts";
import { outcomeOf } from "./copier.ts";

import { batches, fieldsOf, nextHeader } from "./lister.ts";
import { orFull } from "./room.ts";
import { Window } from "./window.ts";

export interface Adopted {
  readonly pages: { adopted: number; left: number };
  readonly objects: { adopted: number; left: number };
  /** Pages that are left, by what the first doubtful object of each was doubted for. */
  readonly doubts: Partial<Record<Doubt["why"], number>>;
}

export interface Adoption {
  readonly control: Control;
  readonly work: Work;
  /** Objects looked at together. */
  readonly atOnce: number;
  readonly onPage?: (soFar: Adopted) => void;
}

/** The plan under the old id, and the word that nobody is to work on it yet. LEDGER_EXISTS where that migration is in the ledger. */
export async function beginAdoption(control: Control, mid: string, job: Job, prefix: string): Promise<PlanRecord> {
  if (!MID.test(mid)) throw new SealiftError("USAGE", `${JSON.stringify(mid)} is not a migration id`);
  const { ledger, signal } = control;
  const plan = planRecord(mid, control.now(), job, prefix);
  try {
    await ledger.putPlan(plan, signal);
  } catch (error) {
    if (!(error instanceof SealiftError) || error.code !== "LEDGER_EXISTS") throw error;
    await refuseOthers(ledger, plan, control);
  }
  await ledger.putEvent(mid, { action: "adopt", at: control.now().toISOString(), by: control.by }, signal);
  // A window that outlived its ledger speaks of pages that are gone: `resume` builds it from the new ones.
  if (control.redis) await orFull(new Window(control.redis, mid).lose());
  return plan;
}

/** An adoption of the same job that did not come to its end is ours to finish; everything else is not. */
async function refuseOthers(ledger: Ledger, plan: PlanRecord, { signal }: Control): Promise<void> {
  const standing = await ledger.plan(plan.mid, signal);
  const events = await ledger.events(plan.mid, signal);
  if (events.some(({ action }) => action !== "adopt"))
    throw new SealiftError("LEDGER_EXISTS", `migration ${plan.mid} is in ${ledger.name}: sealift resume ${plan.mid}`);
  if (standing.jobSha256 !== plan.jobSha256)
    throw new SealiftError("LEDGER_EXISTS", `migration ${plan.mid} is being adopted with another job file`);
}

/** Everything that the source lists, page by page; memory is that of one page. */
export async function adoptPages(adoption: Adoption): Promise<Adopted> {
  const soFar: Adopted = { pages: { adopted: 0, left: 0 }, objects: { adopted: 0, left: 0 }, doubts: {} };
  const shards: Shard[] = [...adoption.work.plan.shards].reverse();
  for (let shard = shards.pop(); shard; shard = shards.pop()) {
    let last: Page | undefined;
    for await (const page of pagesOf(adoption, shard)) {
      await settle(adoption, page, soFar);
      adoption.onPage?.(soFar);
      last = page;
    }
    // Pages that survived may say that the shard was split.
    if (last) shards.push(...[...halvesOf(shard, last.header)].reverse());
  }
  return soFar;
}

/** Those that are in the ledger, then those that the source still has behind them. */
async function* pagesOf({ control, work }: Adoption, shard: Shard): AsyncGenerator<Page> {
  const { ledger, signal } = control;
  const { mid } = work.plan;
  let previous: Page | undefined;
  for (let seq = 1; ; seq++) {
    const page: Page | undefined = await ledger.page(mid, shard.sid, seq, signal);
    if (!page) break;
    yield page;
    if (page.header.isLast) return;
    previous = page;
  }
  for (;;) {
    const after = previous ? previous.header.end : shard.after;
    const listing = work.shores.source.list(work.shores.sourcePrefix, { after, until: shard.until }, signal);
    for await (const batch of batches(listing, work.pageObjects)) {
      const header = nextHeader(work.plan, shard, previous, fieldsOf(batch, shard));
      const page: Page = await ledger.putPage(header, batch.objects, signal);
      yield page;
      if (page.header.isLast) return;
      previous = page;
      // Somebody else's page: what follows is listed from its end.
      if (page.header.end !== batch.objects.at(-1)?.key) break;
    }
  }
}

async function settle({ control, work, atOnce }: Adoption, page: Page, soFar: Adopted): Promise<void> {
  const { ledger, signal, by } = control;
  const { mid, sid, seq, count } = page.header;
  const add = (what: "adopted" | "left") => {
    soFar.pages[what]++;
    soFar.objects[what] += count;
  };
  if (await ledger.done(mid, sid, seq, 0, signal)) return add("adopted");
  const startedAt = control.now().toISOString();
  const options = { atOnce, signal, neighbours: neighboursIn(page.objects) };
  const proof = await provePage(page.objects, work.shores, work.rules, options);
  if ("doubt" in proof) {
    const { why } = proof.doubt;
    soFar.doubts[why] = (soFar.doubts[why] ?? 0) + 1;
    return add("left");
  }
  const who = { worker: by, startedAt, endedAt: control.now().toISOString() };
  const id = { v: 1 as const, mid, sid, seq, epoch: 0 };
  await ledger.putDone(outcomeOf(id, page, undefined, proof.receipts, new Set(), who), signal);
  add("adopted");
}
