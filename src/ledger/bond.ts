/**
 * What ties a plan to itself and pages to their plan. Hashes without a key: they show every change that is not carried through all
 * records, and none that is. Whoever can rewrite the whole ledger rewrites these too (docs/guarantees.md says what that leaves).
 */
import { broken, type Page, sha256Hex } from "./codec.ts";
import * as layout from "./layout.ts";
import type { PlanRecord } from "./records.ts";

export const jobSha256 = (job: object): string => sha256Hex(JSON.stringify(job));

/** LEDGER_BROKEN where the job is not the one the migration was started with: another key, another endpoint. */
export function checkJob(plan: PlanRecord): void {
  const name = layout.planName(plan.mid);
  let found: string;
  try {
    found = jobSha256(plan.job);
  } catch (error) {
    throw broken(name, "holds a job that is nested too deep", error);
  }
  if (found !== plan.jobSha256) throw broken(name, "holds another job than the migration was started with (hash)");
}

const known = new WeakMap<PlanRecord, string>();

/** Of everything in a plan that decides what happens to objects. */
export function planSha256(plan: PlanRecord): string {
  const { mid, createdAt, jobSha256: job, shards } = plan;
  const ranges = shards.map(({ sid, after, until }) => [sid, after ?? null, until ?? null]);
  const sha256 = known.get(plan) ?? sha256Hex(JSON.stringify([mid, createdAt, job, ranges]));
  known.set(plan, sha256);
  return sha256;
}

/** LEDGER_BROKEN where a record is not the one that its name says: records that were swapped. */
export function checkIds<T extends object, R extends T | undefined>(name: string, record: R, ids: Partial<T>): R {
  for (const [field, id] of Object.entries(ids)) {
    if (record && (record as Record<string, unknown>)[field] !== id) throw broken(name, `is another record (${field})`);
  }
  return record;
}

/** LEDGER_BROKEN where the page was listed under another plan than the one that stands in the ledger now. */
export function checkBond(plan: PlanRecord, { header }: Page): void {
  if (header.planSha256 === undefined || header.planSha256 === planSha256(plan)) return;
  throw broken(
    layout.pageName(header.mid, header.sid, header.seq),
    "was listed under another plan than plan.json is now",
  );
}
