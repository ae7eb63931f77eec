/** Compares what stands on the two shores, after the fact: the only ground on which a source may be given up. */
import type { Code } from "../core/error.ts";
import type { ListedObject } from "../core/object.ts";
import type { Plan } from "../core/plan.ts";
import { samePlaintext } from "./content.ts";
import { type Neighbours, NOTE_FILE } from "./divided.ts";
import { lookAt, nearbyAtSource } from "./look.ts";
import { sourceAsListed } from "./pinned.ts";
import { startOf } from "./recognise.ts";
import { retrying } from "./retry.ts";
import { compareStanding } from "./same.ts";
import { type Crossing, destinationKey, type Rules, type Shores } from "./shores.ts";

/**
 * same: all that was asked for was compared, and agrees. missing: nothing stands at the destination. different: something else
 * does. unproven: it could not be compared, or the source is not what was listed. filtered: no part of the job.
 */
export type Verdict = "same" | "missing" | "different" | "unproven" | "filtered";

export interface Finding {
  readonly key: string;
  readonly verdict: Verdict;
  /** Bytes at the destination. */
  readonly bytes: number;
  /** The destination's data key was opened, and compared with the source's where that has one. */
  readonly verified: boolean;
  /** Both plaintexts were read to their end and are equal. */
  readonly opened: boolean;
  readonly code?: Code | undefined;
  readonly message?: string | undefined;
  readonly attempts: number;
  readonly notes: readonly string[];
}

export interface VerifyOptions {
  /** Read both bodies and compare the plaintexts. */
  readonly full: boolean;
  /** What a listing has said of the source; else it is asked. */
  readonly neighbours?: Neighbours | undefined;
  readonly signal: AbortSignal;
  readonly random?: (() => number) | undefined;
}

const MESSAGE_CHARS_MAX = 300;

/** Throws INTERRUPTED when stopped, and nothing else. */
export async function verifyObject(
  listed: ListedObject,
  shores: Shores,
  rules: Rules,
  options: VerifyOptions,
): Promise<Finding> {
  const { key } = listed;
  const { signal, random = Math.random } = options;
  const blank: Finding = { key, verdict: "filtered", bytes: 0, verified: false, opened: false, attempts: 0, notes: [] };
  if (!rules.filter(listed)) return blank;
  const crossing = { shores, rules, signal };
  const { attempts: most, delayMs } = rules;
  const tried = await retrying({ attempts: most, delayMs, signal, random }, () => compare(listed, crossing, options));
  const { attempts } = tried;
  if ("value" in tried) return { ...blank, ...tried.value, attempts };
  const { code, message } = tried.error;
  return { ...blank, verdict: "unproven", code, message: message.slice(0, MESSAGE_CHARS_MAX), attempts };
}

type Found = Partial<Finding> & { readonly verdict: Verdict };

async function compare(listed: ListedObject, crossing: Crossing, options: VerifyOptions): Promise<Found> {
  const { shores, signal } = crossing;
  const nearby = nearbyAtSource(crossing, options.neighbours);
  if (await nearby.servesBody(listed)) return { verdict: "filtered", notes: [NOTE_FILE] };
  const now = await sourceAsListed(listed, crossing);
  const start = await startOf(shores.source, now, shores.envelopes, signal);
  const { head: source, plan, move } = await lookAt(now, start, crossing, nearby);
  const standing = await shores.destination.head(destinationKey(listed.key, shores), signal);
  if (!standing) return { verdict: "missing", ...whyNotThere(plan) };
  const bytes = standing.sizeBytes;
  if (!move) return { verdict: "different", ...whyNotThere(plan), bytes };
  const same = await compareStanding({ source, move, standing }, crossing, true, false);
  const { verified, notes } = same;
  if (same.why !== undefined) return { verdict: "different", code: "VERIFY_MISMATCH", message: same.why, bytes };
  if (!options.full) return { verdict: "same", bytes, verified, notes };
  const equal = await samePlaintext({ source, move, standing }, crossing);
  if (equal) return { verdict: "same", bytes, verified, opened: true };
  return { verdict: "different", code: "VERIFY_MISMATCH", message: "the plaintexts differ", bytes, verified, notes };
}

const whyNotThere = (plan: Plan) => ({
  code: plan.code ?? "STORE_NOT_FOUND",
  message: plan.reason ?? "nothing stands at the destination",
});
