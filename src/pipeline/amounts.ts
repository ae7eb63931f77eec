/** What an outcome adds to the sums that Redis keeps, as pairs of field and amount. */
import { ALL_ADVISORIES } from "../core/advisory.ts";
import { OUTCOMES } from "../core/plan.ts";
import { type BigDoneRecord, bidOf, type DoneRecord, type SummarizedShard } from "../ledger/ledger.ts";

export function addSums(
  sums: Record<string, number>,
  { totals, next, watermark, outOfOrder }: SummarizedShard["summary"],
): void {
  const add = (field: string, amount: number) => {
    sums[field] = (sums[field] ?? 0) + amount;
  };
  add("pages", next - 1);
  add("committed", watermark + outOfOrder.length);
  for (const field of ["listed", "listedBytes", "bytes", "verified"] as const) add(field, totals[field]);
  for (const outcome of OUTCOMES) add(outcome, totals.counts[outcome]);
  for (const [code, count] of Object.entries(totals.codes)) add(`code:${code}`, count);
  for (const [advisory, count] of Object.entries(totals.advisories)) add(`advisory:${advisory}`, count);
}

export const bidsOf = ({ sid, seq, epoch, deferred = [] }: DoneRecord): string[] =>
  deferred.map((index) => bidOf({ sid, seq, index, epoch }));

/** Pairs of field and amount by which this outcome changes the sums. Listing has counted `listed` already. */
export function differences(done: DoneRecord, before: DoneRecord | undefined): (string | number)[] {
  const amounts: (string | number)[] = [];
  const add = (field: string, amount: number) => {
    if (amount !== 0) amounts.push(field, amount);
  };
  for (const outcome of OUTCOMES) add(outcome, done.counts[outcome] - (before?.counts[outcome] ?? 0));
  add("bytes", done.bytes - (before?.bytes ?? 0));
  add("verified", done.verified - (before?.verified ?? 0));
  for (const advisory of ALL_ADVISORIES)
    add(`advisory:${advisory}`, (done.advisories?.[advisory] ?? 0) - (before?.advisories?.[advisory] ?? 0));
  for (const problem of done.problems) add(`code:${problem.code}`, 1);
  for (const problem of before?.problems ?? []) add(`code:${problem.code}`, -1);
  return amounts;
}

/** Of one huge object, whose page has counted it with nothing. */
export function amountsOf({ outcome, bytes, verified, problem, advisories = [] }: BigDoneRecord): (string | number)[] {
  const amounts: (string | number)[] = [outcome, 1, "bytes", bytes, "verified", verified ? 1 : 0];
  if (problem) amounts.push(`code:${problem.code}`, 1);
  for (const advisory of advisories) amounts.push(`advisory:${advisory}`, 1);
  return amounts;
}
