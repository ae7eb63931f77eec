/** A migration as a worker meets it: the plan in the ledger becomes open shores and rules. Also the ledger itself, from its URL. */
import { openShores, openStore, processBudgets } from "../compose.ts";
import { parseJob } from "../config/job.ts";
import { parseStoreUrl } from "../config/url.ts";
import { compileFilter, sizeBytes } from "../core/filter.ts";
import type { Job, Shore } from "../core/job.ts";
import { type KeyContext, keyUri } from "../core/key.ts";
import { Ledger, type PlanRecord } from "../ledger/ledger.ts";
import type { OpenWork, Work } from "../pipeline/context.ts";
import type { Rules } from "../transfer/shores.ts";

export interface OpenedLedger {
  readonly ledger: Ledger;
  close(): Promise<void>;
}

export async function openLedger(shore: Shore): Promise<OpenedLedger> {
  const { store, prefix } = await openStore(shore, processBudgets());
  // A ledger at `s3://bucket/name` lives under `name/`.
  const root = prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
  return { ledger: new Ledger(store, root), close: () => store.close() };
}

/** The job is checked again: whoever reaches the ledger could have edited it. */
export const jobOf = (plan: PlanRecord): Job => parseJob(JSON.stringify(plan.job), `plan of ${plan.mid}`);

export const openWork: OpenWork = async (plan: PlanRecord): Promise<Work> => {
  const job = jobOf(plan);
  return {
    plan,
    shores: await openShores(job),
    rules: rulesOf(job, plan.mid, Date.parse(plan.createdAt)),
    pageObjects: job.options.pageObjects,
  };
};

/** `startedMs`: ages are measured from the start of the migration, so that every worker and every retry decides alike. */
export function rulesOf(job: Job, mid: string, startedMs: number): Rules {
  const keeps = compileFilter(job.filter, parseStoreUrl(job.source.url).prefix);
  const { fallback, serverKey, overwrite, verify, hugeBytes } = job.options;
  return {
    migration: mid,
    wrapWith: keyUri(job.keys.wrapWith),
    allow: job.keys.allow.map(keyUri),
    requireContext: contextOf(job.keys.requireContext),
    sealContext: contextOf(job.keys.sealContext),
    sealWith: "s3ec-v3",
    fallback,
    ...(serverKey === undefined ? {} : { serverKeyName: serverKey }),
    overwrite,
    hugeBytes: sizeBytes(hugeBytes),
    verify,
    attempts: job.retry.attempts,
    delayMs: job.retry.delayMs,
    filter: (object) => keeps(object, startedMs),
  };
}

const contextOf = (pairs: Readonly<Record<string, string>>): KeyContext => new Map(Object.entries(pairs));
