/** A page of objects: one receipt each, in page order, whatever becomes of them. */
import { Budget } from "../core/budget.ts";
import { crc32c } from "../core/crc32c.ts";
import type { Code, SealiftError } from "../core/error.ts";
import { compareKeys, type KeyRange, type ListedObject } from "../core/object.ts";
import type { Outcome } from "../core/plan.ts";
import type { Receipt } from "../core/receipt.ts";
import { type CopyOptions, copyObject } from "./copy.ts";
import { interruptIf, retrying } from "./retry.ts";
import { type Crossing, destinationKey, type Rules, type Shores } from "./shores.ts";

export interface PageLimits {
  /** Objects in flight, over all pages of the process. */
  readonly objects: Budget;
  readonly signal: AbortSignal;
  /** Called before an object is taken. What it throws stops the page: objects in hand end, no other begins. */
  readonly onObject?: ((key: string) => Promise<void>) | undefined;
  /** One object at a time, in page order. */
  readonly serial?: boolean | undefined;
  readonly random?: (() => number) | undefined;
}

interface PageRun extends Crossing {
  readonly limits: PageLimits;
  readonly standing: Standing;
  /** The first object that is taken: always verified where a sample is. */
  readonly first: ListedObject | undefined;
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
  const kept = new Set(objects.filter(rules.filter));
  const standing = await listStanding([...kept], range, { shores, rules, signal });
  interruptIf(signal);
  const run = { shores, rules, signal, limits, standing, first: [...kept][0] };
  const lane = new Budget(limits.serial ? 1 : Math.max(objects.length, 1));
  let stopped = false;
  const tasks = objects.map(async (object) => {
    if (!kept.has(object)) return emptyReceipt(object.key, "filtered");
    const leave = await lane.take(1, signal);
    try {
      return stopped ? undefined : await takeObject(object, run);
    } catch (error) {
      stopped = true;
      throw error;
    } finally {
      leave();
    }
  });
  // All of them end before this does: nobody writes on behalf of a page that was given back.
  const settled = await Promise.allSettled(tasks);
  interruptIf(signal);
  return settled
    .map((end) => {
      if (end.status === "rejected") throw end.reason;
      return end.value;
    })
    .filter((receipt) => receipt !== undefined);
}

async function takeObject(object: ListedObject, run: PageRun): Promise<Receipt> {
  const { limits, shores, rules, signal } = run;
  const release = await limits.objects.take(1, signal);
  try {
    await limits.onObject?.(object.key);
    const verify = isVerified(object, run);
    const { attempts, delayMs } = rules;
    const tried = await retrying({ attempts, delayMs, signal, random: limits.random ?? Math.random }, (attempt) => {
      // After a first try the listing is out of date: the try itself may have written.
      const standing = attempt === 1 ? run.standing(object, shores) : undefined;
      return copyObject(object, shores, rules, { verify, signal, standing });
    });
    if ("error" in tried) return failure(object.key, tried.error, tried.attempts);
    return { ...tried.value, attempts: tried.attempts };
  } finally {
    release();
  }
}

/** One in this many, chosen by name, so that every run of a page verifies the same objects. */
const SAMPLE = 100;

function isVerified(object: ListedObject, { rules, first }: PageRun): boolean {
  if (rules.verify !== "sample") return rules.verify === "full";
  return object === first || crc32c(Buffer.from(object.key)) % SAMPLE === 0;
}

const emptyReceipt = (key: string, outcome: Outcome): Receipt => ({
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

function failure(key: string, error: SealiftError, attempts: number): Receipt {
  const { code } = error;
  const outcome = code === "CONFLICT" ? "conflict" : REFUSALS.has(code) ? "refused" : "failed";
  const message = error.message.slice(0, MESSAGE_CHARS_MAX);
  return { ...emptyReceipt(key, outcome), code, message, attempts };
}

/** What a listing of the destination says about an object; undefined where it says nothing. */
type Standing = (object: ListedObject, shores: Shores) => CopyOptions["standing"];

/** A destination that holds far more in this range than the page does is asked object by object instead. */
const LIST_PAGES_MAX = 4;

/**
 * One listing instead of a HEAD for every object. It saves requests and decides nothing: a listing that fails or ends early
 * leaves objects unknown, not absent, and puts are create-only whatever it says.
 */
async function listStanding(kept: readonly ListedObject[], range: KeyRange, crossing: Crossing): Promise<Standing> {
  const last = kept.at(-1);
  if (!last) return () => undefined;
  const { shores } = crossing;
  const found = new Map<string, ListedObject>();
  let known: string | undefined;
  let whole = false;
  try {
    const until = destinationKey(last.key, shores);
    const after = afterAtDestination(kept, range, shores);
    let pages = 0;
    for await (const page of shores.destination.list(shores.destinationPrefix, { after, until }, crossing.signal)) {
      for (const object of page.objects) found.set(object.key, object);
      known = page.objects.at(-1)?.key ?? known;
      whole = page.last;
      if (++pages === LIST_PAGES_MAX) break;
    }
  } catch {
    whole = false;
  }
  return (object) => {
    const key = destinationKey(object.key, shores);
    const covered = whole || (known !== undefined && compareKeys(key, known) <= 0);
    return found.get(key) ?? (covered ? "absent" : undefined);
  };
}

/** The page's own beginning, unless it lies before the source's prefix or after the page's first object. */
function afterAtDestination(kept: readonly ListedObject[], range: KeyRange, shores: Shores): string | undefined {
  const { after } = range;
  const [first] = kept;
  if (after === undefined || first === undefined || compareKeys(after, first.key) >= 0) return undefined;
  return after.startsWith(shores.sourcePrefix) ? destinationKey(after, shores) : undefined;
}
