/** A page of objects: one receipt each, in page order, whatever becomes of them. */
import { setMaxListeners } from "node:events";
import type { Budget } from "../core/budget.ts";
import { crc32c } from "../core/crc32c.ts";
import type { Code, SealiftError } from "../core/error.ts";
import { failpoint } from "../core/failpoint.ts";
import type { KeyRange, ListedObject } from "../core/object.ts";
import type { Outcome } from "../core/plan.ts";
import type { Receipt } from "../core/receipt.ts";
import { copyObject } from "./copy.ts";
import { type Neighbours, neighboursIn } from "./divided.ts";
import { interruptIf, retrying } from "./retry.ts";
import type { Crossing, Rules, Shores } from "./shores.ts";
import { Standing } from "./standing.ts";

export interface PageLimits {
  /** Objects in flight, over all pages of the process. */
  readonly objects: Budget;
  readonly signal: AbortSignal;
  /** Called before an object is taken. What it throws stops the page: objects in hand end, no other begins. */
  readonly onObject?: ((key: string) => Promise<void>) | undefined;
  /** One object at a time, in page order. */
  readonly serial?: boolean | undefined;
  readonly random?: (() => number) | undefined;
  /** What the page's listing says of the source; without it, `objects` are taken to be all of the page. */
  readonly neighbours?: Neighbours | undefined;
}

interface PageRun extends Crossing {
  readonly limits: PageLimits;
  readonly standing: Standing;
  /** The first object that is taken: always verified where a sample is. */
  readonly first: ListedObject | undefined;
  readonly neighbours: Neighbours;
}

/** Throws INTERRUPTED when stopped and what `onObject` throws; errors of objects are in their receipts. */
export async function copyPage(
  objects: readonly ListedObject[],
  range: KeyRange,
  shores: Shores,
  rules: Rules,
  limits: PageLimits,
): Promise<Receipt[]> {
  const { signal } = limits;
  interruptIf(signal);
  // Every request of every object in flight listens to it, which is no leak.
  setMaxListeners(0, signal);
  const kept = new Set(objects.filter(rules.filter));
  const standing = await Standing.of([...kept], range, { shores, rules, signal });
  interruptIf(signal);
  const neighbours = limits.neighbours ?? neighboursIn(objects);
  const run = { shores, rules, signal, limits, standing, neighbours, first: [...kept][0] };
  const receipts = new Map<ListedObject, Receipt>();
  for (const object of objects) if (!kept.has(object)) receipts.set(object, emptyReceipt(object.key, "filtered"));
  for (const object of kept) {
    const receipt = rules.verify === "full" ? undefined : standing.unchanged(object, neighbours);
    if (receipt && kept.delete(object)) receipts.set(object, receipt);
  }
  await inLanes([...kept], limits.serial ? 1 : limits.objects.limit, async (object) => {
    receipts.set(object, await takeObject(object, run));
  });
  return objects.flatMap((object) => receipts.get(object) ?? []);
}

/**
 * Each object once, in order of their turn, in so many lanes at a time. After an error no lane takes another object, and all of
 * them have ended before it is thrown: nobody writes on behalf of a page that was given back.
 */
export async function inLanes<T>(all: readonly T[], lanes: number, take: (one: T) => Promise<void>): Promise<void> {
  const waiting = [...all].reverse();
  const errors: unknown[] = [];
  const lane = async () => {
    for (let one = waiting.pop(); one !== undefined && errors.length === 0; one = waiting.pop()) {
      await take(one).catch((error: unknown) => errors.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, all.length) }, lane));
  if (errors.length > 0) throw errors[0];
}

async function takeObject(object: ListedObject, run: PageRun): Promise<Receipt> {
  const { limits, shores, rules, signal } = run;
  interruptIf(signal);
  const release = await limits.objects.take(1, signal).catch((error: unknown) => {
    interruptIf(signal);
    throw error;
  });
  try {
    await limits.onObject?.(object.key);
    const verify = isVerified(object, run);
    const { attempts, delayMs } = rules;
    const tried = await retrying({ attempts, delayMs, signal, random: limits.random ?? Math.random }, (attempt) => {
      // After a first try the listing is out of date: the try itself may have written.
      const standing = attempt === 1 ? run.standing.of(object) : undefined;
      return copyObject(object, shores, rules, { verify, signal, standing, neighbours: run.neighbours });
    });
    failpoint("object.copied", object.key);
    if ("error" in tried) return failure(object.key, tried.error, tried.attempts);
    return { ...tried.value, attempts: tried.attempts };
  } finally {
    release();
  }
}

/** One in this many, chosen by name, so that every run of a page verifies the same objects. */
const SAMPLE = 100;

export function isVerified(object: ListedObject, { rules, first }: Pick<PageRun, "rules" | "first">): boolean {
  if (rules.verify !== "sample") return rules.verify === "full";
  return object === first || crc32c(Buffer.from(object.key)) % SAMPLE === 0;
}

export const emptyReceipt = (key: string, outcome: Outcome): Receipt => ({
  key,
  outcome,
  bytes: 0,
  verified: false,
  attempts: 0,
  notes: [],
});

/** What sealift will not do, as against what it could not do. */
const REFUSALS: ReadonlySet<Code> = new Set<Code>([
  "SEAL_MALFORMED",
  "SEAL_UNSUPPORTED",
  "SEAL_FORGED",
  "METADATA_UNFIT",
  "NAME_UNFIT",
  "TOO_LARGE",
  "REFUSED_FALLBACK",
  "KMS_KEY_NOT_ALLOWED",
  "KEY_CONTEXT",
]);
const MESSAGE_CHARS_MAX = 300;

export function failure(key: string, error: SealiftError, attempts: number): Receipt {
  const { code } = error;
  const outcome = code === "CONFLICT" ? "conflict" : REFUSALS.has(code) ? "refused" : "failed";
  const message = error.message.slice(0, MESSAGE_CHARS_MAX);
  return { ...emptyReceipt(key, outcome), code, message, attempts };
}
