/** A migration as a worker meets it: the plan in the ledger becomes open shores and rules. Also the ledger itself, from its URL. */
import { type Budgets, openShores, openStore, processBudgets } from "../compose.ts";
import { parseJob, sealedIn } from "../config/job.ts";
import { parseStoreUrl } from "../config/url.ts";
import { compileFilter, matching, sizeBytes } from "../core/filter.ts";
import type { Job, Shore } from "../core/job.ts";
import { type KeyContext, keyUri } from "../core/key.ts";
import type { Ceiling } from "../core/pace.ts";
import { ensureGuarded } from "../core/private.ts";
import { Ledger, type PlanRecord } from "../ledger/ledger.ts";
import type { OpenWork, Work } from "../pipeline/context.ts";
import type { Rules } from "../transfer/shores.ts";

export interface OpenedLedger {
  readonly ledger: Ledger;
  close(): Promise<void>;
}

export async function openLedger(shore: Shore, budgets: Budgets = processBudgets()): Promise<OpenedLedger> {
  const url = parseStoreUrl(shore.url);
  if (url.scheme === "file") await ensureGuarded(url.root);
  const { store, prefix } = await openStore(shore, budgets);
  // A ledger at `s3://bucket/name` lives under `name/`.
  const root = prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
  return { ledger: new Ledger(store, root), close: () => store.close() };
}

/** The job is checked again: whoever reaches the ledger could have edited it. */
export const jobOf = (plan: PlanRecord): Job => parseJob(JSON.stringify(plan.job), `plan of ${plan.mid}`);

/** What a worker was told at its start, instead of what the job says. */
export interface Rates {
  readonly source: number | undefined;
  readonly destination: number | undefined;
}

export const openWorkAt =
  (rates: Rates, budgets: Budgets = processBudgets()): OpenWork =>
  async (plan, ceiling) =>
    openWork(plan, ceiling, rates, budgets);

async function openWork(plan: PlanRecord, ceiling: Ceiling, rates: Rates, budgets: Budgets): Promise<Work> {
  const job = jobOf(plan);
  return {
    plan,
    shores: await openShores(atRates(job, rates), { ...budgets, pace: budgets.pace && { ...budgets.pace, ceiling } }),
    rules: rulesOf(job, plan.mid, Date.parse(plan.createdAt)),
    pageObjects: job.options.pageObjects,
  };
}

function atRates(job: Job, { source, destination }: Rates): Job {
  const sourceRequestsPerSecond = source ?? job.keys.sourceRequestsPerSecond;
  const destinationRequestsPerSecond = destination ?? job.keys.destinationRequestsPerSecond;
  return { ...job, keys: { ...job.keys, sourceRequestsPerSecond, destinationRequestsPerSecond } };
}

/** `startedMs`: ages are measured from the start of the migration, so that every worker and every retry decides alike. */
export function rulesOf(job: Job, mid: string, startedMs: number): Rules {
  const { prefix } = parseStoreUrl(job.source.url);
  const keeps = compileFilter(job.filter, prefix);
  const { fallback, serverKey, overwrite, verify, hugeBytes, envelope, plain, spill } = job.options;
  return {
    migration: mid,
    wrapWith: keyUri(job.keys.wrapWith),
    allow: job.keys.allow.map(keyUri),
    ...(job.keys.account === undefined ? {} : { account: job.keys.account }),
    requireContext: contextOf(job.keys.requireContext),
    sealContext: contextOf(job.keys.sealContext),
    sealWith: sealedIn(job),
    ...(envelope === undefined ? {} : { envelope }),
    ...(plain === undefined ? {} : { isPlain: matching(plain, prefix) }),
    fallback,
    ...(serverKey === undefined ? {} : { serverKeyName: serverKey }),
    overwrite,
    ...(spill === undefined ? {} : { spill: true }),
    hugeBytes: sizeBytes(hugeBytes),
    verify,
    attempts: job.retry.attempts,
    delayMs: job.retry.delayMs,
    filter: (object) => keeps(object, startedMs),
  };
}

const contextOf = (pairs: Readonly<Record<string, string>>): KeyContext => new Map(Object.entries(pairs));
