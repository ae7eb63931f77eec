/**
 * Whether a page has arrived, found out by looking: the ledger that knew it is lost. Both shores are asked, nothing is written. What
 * counts as arrived is what a copy would call `already` (same.ts), and the object has to be this migration's own by its stamp.
 */
import { type Code, SealiftError } from "../core/error.ts";
import type { ListedObject, ObjectHead } from "../core/object.ts";
import type { Receipt } from "../core/receipt.ts";
import { type Nearby, type Neighbours, NOTE_FILE } from "./divided.ts";
import { lookAt, nearbyAtSource } from "./look.ts";
import { emptyReceipt, inLanes, isVerified } from "./page.ts";
import { checkAsListed, sourceAsListed } from "./pinned.ts";
import { startOf } from "./recognise.ts";
import { retrying } from "./retry.ts";
import { compareStanding } from "./same.ts";
import { type Crossing, destinationKey, type Rules, type Shores } from "./shores.ts";
import { isStampOf } from "./stamp.ts";

/** Why the first object that is not proven is not: nothing stands there, something else does, or it could not be told. */
export interface Doubt {
  readonly key: string;
  readonly why: "missing" | "different" | Code;
  readonly message: string;
}

export type Proof = { readonly receipts: readonly Receipt[] } | { readonly doubt: Doubt };

export interface ProofOptions {
  /** Objects looked at together. */
  readonly atOnce: number;
  readonly neighbours: Neighbours;
  readonly signal: AbortSignal;
}

/** What no other object of the page would fare better with: going on would take every object for one that never arrived. */
const HOPELESS: ReadonlySet<Code> = new Set<Code>([
  "CREDENTIALS_EXPIRED",
  "ACCESS_DENIED",
  "INTERRUPTED",
  "SECRET_MISSING",
]);

/** A receipt for every object in page order, or the first doubt, after which nothing more of the page is looked at. */
export async function provePage(
  objects: readonly ListedObject[],
  shores: Shores,
  rules: Rules,
  options: ProofOptions,
): Promise<Proof> {
  const { signal, atOnce, neighbours } = options;
  const kept = objects.filter(rules.filter);
  const crossing = { shores, rules, signal };
  const standing = await standingRows(kept, crossing);
  const receipts = new Map<ListedObject, Receipt>();
  let doubt: Doubt | undefined;
  await inLanes(kept, atOnce, async (one) => {
    if (doubt) return;
    const verify = isVerified(one, { rules, first: kept[0] });
    const found = await proveObject(one, standing.get(one.key), crossing, { verify, neighbours });
    if ("why" in found) doubt ??= found;
    else receipts.set(one, found);
  });
  if (doubt) return { doubt };
  return { receipts: objects.map((object) => receipts.get(object) ?? emptyReceipt(object.key, "filtered")) };
}

/** The rows of the destination's listing, by the source's names. A listing that breaks is thrown: no absence is read from it. */
async function standingRows(
  kept: readonly ListedObject[],
  { shores, rules, signal }: Crossing,
): Promise<Map<string, ListedObject>> {
  const names = new Map(kept.flatMap(({ key }) => nameOf(key, shores)));
  const [first, ...others] = names.keys();
  const rows = new Map<string, ListedObject>();
  if (first === undefined) return rows;
  const keep = (row: ListedObject) => {
    const key = names.get(row.key);
    if (key !== undefined) rows.set(key, row);
  };
  const { attempts, delayMs } = rules;
  const tried = await retrying({ attempts, delayMs, signal, random: Math.random }, async () => {
    rows.clear();
    // A listing begins behind a key: the first one is asked for by itself.
    const head = await shores.destination.head(first, signal);
    if (head) keep({ ...head, head });
    const range = { after: first, until: others.at(-1) ?? first };
    if (others.length === 0) return;
    for await (const page of shores.destination.list(shores.destinationPrefix, range, signal))
      page.objects.forEach(keep);
  });
  if ("error" in tried) throw tried.error;
  return rows;
}

/** The name at the destination with the one at the source; none where there can be no such object. */
function nameOf(key: string, shores: Shores): [string, string][] {
  try {
    return [[destinationKey(key, shores), key]];
  } catch (error) {
    if (error instanceof SealiftError && error.code === "NAME_UNFIT") return [];
    throw error;
  }
}

interface Look {
  readonly verify: boolean;
  readonly neighbours: Neighbours;
}

async function proveObject(
  listed: ListedObject,
  row: ListedObject | undefined,
  crossing: Crossing,
  look: Look,
): Promise<Receipt | Doubt> {
  const { key } = listed;
  const { rules, signal } = crossing;
  const patience = { attempts: rules.attempts, delayMs: rules.delayMs, signal, random: Math.random };
  const tried = await retrying(patience, async () => {
    const nearby = nearbyAtSource(crossing, look.neighbours);
    if (await nearby.servesBody(listed)) return "left out";
    return row ? compare(listed, row, crossing, { ...look, nearby }) : "missing";
  });
  if ("error" in tried) {
    const { code, message } = tried.error;
    if (HOPELESS.has(code)) throw tried.error;
    return { key, why: code, message };
  }
  if (tried.value === "left out") return { ...emptyReceipt(key, "filtered"), notes: [NOTE_FILE] };
  if (tried.value === "missing") return { key, why: "missing", message: "nothing stands at the destination" };
  const { why, verified, advisories, notes } = tried.value;
  if (why !== undefined) return { key, why: "different", message: why };
  return { ...emptyReceipt(key, "already"), verified, attempts: tried.attempts, advisories, notes };
}

async function compare(
  listed: ListedObject,
  row: ListedObject,
  crossing: Crossing,
  { verify, nearby }: { readonly verify: boolean; readonly nearby: Nearby },
) {
  const { shores, rules, signal } = crossing;
  const differs = (why: string) => ({ why, verified: false, advisories: undefined, notes: [] });
  const standing = await standingAsListed(row, crossing);
  if (!standing) return differs("it is gone from the destination");
  if (!isStampOf(standing.attributes.metadata, rules.migration)) return differs("its stamp is not this migration's");
  const now = listed.head ?? (await sourceAsListed(listed, crossing));
  const start = await startOf(shores.source, now, shores.envelopes, signal);
  const { head: source, plan, move } = await lookAt(now, start, crossing, nearby);
  if (!move) throw new SealiftError(plan.code ?? "INTERNAL", plan.reason ?? "it would be refused");
  const same = await compareStanding({ source, move, standing }, crossing, verify, verify);
  return { ...same, advisories: plan.advisories };
}

async function standingAsListed(row: ListedObject, { shores, signal }: Crossing): Promise<ObjectHead | undefined> {
  if (row.head) return row.head;
  const head = await shores.destination.head(row.key, signal);
  if (head) checkAsListed(head, row);
  return head;
}
