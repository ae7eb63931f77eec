/**
 * Which earlier migration went the same way: what it knows of the destination spares a second one most of its requests. Two jobs go
 * the same way where everything that decides what is written, and where, is the same; how fast, in what order and how carefully it
 * is done may differ.
 */
import { SealiftError } from "../core/error.ts";
import type { Job } from "../core/job.ts";
import type { Ledger } from "../ledger/ledger.ts";

/** Of the newest ones: a ledger may hold hundreds. */
const PLANS_READ_MAX = 20;

/** The newest that has ended and went the same way; undefined where there is none. */
export async function findSince(ledger: Ledger, job: Job, signal: AbortSignal): Promise<string | undefined> {
  const mids: string[] = [];
  for await (const mid of ledger.migrations(signal)) mids.push(mid);
  for (const mid of mids.reverse().slice(0, PLANS_READ_MAX)) {
    const plan = await ledger.plan(mid, signal).catch(() => undefined);
    if (plan && wayOf(plan.job) === wayOf(job) && (await ledger.result(mid, 0, signal).catch(() => undefined)))
      return mid;
  }
  return undefined;
}

/** USAGE where that migration did not go the same way; JOB_UNKNOWN where there is none. */
export async function checkSince(ledger: Ledger, job: Job, since: string, signal: AbortSignal): Promise<void> {
  const plan = await ledger.plan(since, signal);
  if (wayOf(plan.job) === wayOf(job)) return;
  throw new SealiftError(
    "USAGE",
    `migration ${since} went another way: its source, destination, keys or options are not those of this job`,
  );
}

/** What may differ. Everything else, also what does not exist yet, counts. */
const BESIDE = new Set(["name", "filter", "retry"]);
const BESIDE_OPTIONS = new Set(["overwrite", "verify", "pageObjects", "transfers", "hugeBytes", "shardPrefixes"]);
const BESIDE_KEYS = new Set(["sourceRequestsPerSecond", "destinationRequestsPerSecond"]);

const wayOf = (job: object): string => {
  const { keys, options, ...rest } = job as Partial<Record<string, object>>;
  return JSON.stringify([
    without(rest, BESIDE),
    without(keys ?? {}, BESIDE_KEYS),
    without(options ?? {}, BESIDE_OPTIONS),
  ]);
};

const without = (fields: object, names: ReadonlySet<string>): object =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.has(name)));
