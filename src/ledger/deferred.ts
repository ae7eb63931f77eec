/** The outcome of a page together with those of its huge objects, which are in records of their own. */
import { addAdvisories, countOnce } from "../core/advisory.ts";
import { compareKeys } from "../core/object.ts";
import { DEFERRED_LETTER, OUTCOME_LETTER } from "../core/plan.ts";
import { broken } from "./codec.ts";
import * as layout from "./layout.ts";
import type { BigDoneRecord, DoneRecord } from "./records.ts";

export interface PageOutcome {
  /** As if the huge objects that have ended had never been deferred; `deferred` names those that have not. */
  readonly done: DoneRecord;
  /** The names of those that have not. */
  readonly open: readonly string[];
}

export interface BigReader {
  done(mid: string, bid: string, signal: AbortSignal): Promise<BigDoneRecord | undefined>;
}

export async function withDeferred(big: BigReader, done: DoneRecord, signal: AbortSignal): Promise<PageOutcome> {
  if (!done.deferred || done.deferred.length === 0) return { done, open: [] };
  const { mid, sid, seq, epoch } = done;
  const letters = done.outcomes.split("");
  const counts = { ...done.counts };
  const problems = [...done.problems];
  const advisories = { ...done.advisories };
  const open = new Map<number, string>();
  let { bytes, verified } = done;
  for (const index of done.deferred) {
    const bid = layout.bidOf({ sid, seq, index, epoch });
    if (letters[index] !== DEFERRED_LETTER) {
      throw broken(layout.doneName(mid, sid, seq, epoch), `defers object ${index} and has an outcome for it`);
    }
    const ended = await big.done(mid, bid, signal);
    if (!ended) {
      open.set(index, bid);
      continue;
    }
    if (ended.pageSha256 !== done.pageSha256) throw broken(layout.bigDoneName(mid, bid), "answers another page");
    letters[index] = OUTCOME_LETTER[ended.outcome];
    counts[ended.outcome]++;
    bytes += ended.bytes;
    verified += ended.verified ? 1 : 0;
    if (ended.problem) problems.push(ended.problem);
    addAdvisories(advisories, countOnce(ended.advisories));
  }
  problems.sort((a, b) => compareKeys(a.key, b.key));
  const whole = { ...done, outcomes: letters.join(""), counts, bytes, verified, problems, advisories };
  return { done: { ...whole, deferred: [...open.keys()] }, open: [...open.values()] };
}
