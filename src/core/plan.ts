/** What would be done to one object, and how it ended. */
import type { Advisory } from "./advisory.ts";
import type { Code } from "./error.ts";
import type { KeyContext, KeyScheme, KeyUri } from "./key.ts";

/** rewrap: the wrapped key changes hands. reseal: opened and sealed afresh. carry: copied as it is. */
export type Action = "rewrap" | "reseal" | "carry" | "refuse";

export interface Plan {
  readonly action: Action;
  /** Envelope id of the source object: `s3ec-v2`, `s3ec-v3`, `plain`. */
  readonly envelope: string;
  /** Content algorithm, as stored; absent for plain objects. */
  readonly content?: string | undefined;
  /** Name of the wrap algorithm, as stored; absent for plain objects. */
  readonly wrap?: string | undefined;
  /** The key that wraps the data key now, where the envelope names it. */
  readonly wrappedBy?: string | undefined;
  /** The KMS that has to open it, and what the data key is bound to; absent for plain objects. */
  readonly scheme?: KeyScheme | undefined;
  readonly context?: KeyContext | undefined;
  /** The key that will wrap it. */
  readonly wrapWith?: KeyUri | undefined;
  /** Why refused. */
  readonly code?: Code | undefined;
  readonly reason?: string | undefined;
  /** What is weak about the object as it will stand. */
  readonly advisories?: readonly Advisory[] | undefined;
  /** What the operator should know though the object is moved (dropped fields, other formats). */
  readonly notes: readonly string[];
}

/** The outcomes of an object; over a page and over a migration they sum to the number listed. */
export const OUTCOMES = [
  "rewrapped",
  "resealed",
  "carried",
  "already",
  "filtered",
  "conflict",
  "refused",
  "failed",
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** One letter each, so that a page's outcomes are one short string in the ledger, in page order. */
export const OUTCOME_LETTER: Readonly<Record<Outcome, string>> = {
  rewrapped: "w",
  resealed: "s",
  carried: "c",
  already: "a",
  filtered: "x",
  conflict: "k",
  refused: "r",
  failed: "f",
};

/** In the place of an outcome: the object is huge, and its outcome is in a record of its own. */
export const DEFERRED_LETTER = "d";

export type Counts = Readonly<Record<Outcome, number>>;

export const noCounts = (): Record<Outcome, number> => ({
  rewrapped: 0,
  resealed: 0,
  carried: 0,
  already: 0,
  filtered: 0,
  conflict: 0,
  refused: 0,
  failed: 0,
});

export const sumCounts = (counts: Counts): number => OUTCOMES.reduce((sum, outcome) => sum + counts[outcome], 0);
