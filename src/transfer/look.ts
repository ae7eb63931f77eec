/** What would be done with one object: its head is read, and its envelope where that is kept apart; nothing is opened or written. */
import { SealiftError } from "../core/error.ts";
import type { ListedObject, ObjectHead } from "../core/object.ts";
import type { Action, Plan } from "../core/plan.ts";
import { Nearby, type Neighbours, NOTE_FILE } from "./divided.ts";
import { sourceAsListed } from "./pinned.ts";
import { type Decision, planObject, refusal } from "./plan.ts";
import { isSealed, startOf } from "./recognise.ts";
import type { Crossing, Rules, Shores } from "./shores.ts";

export interface Look extends Decision {
  /** With its whole envelope, wherever that came from: what is written and compared is made from this head. */
  readonly head: ObjectHead;
  /** Of the file that it came from. */
  readonly file?: ObjectHead | undefined;
}

const STRAY = "by its name an S3EC instruction file, but no object beside it waits for one";

/** The one way from a head at the source to a plan. */
export async function lookAt(
  head: ObjectHead,
  start: Uint8Array,
  { shores, rules }: Crossing,
  nearby: Nearby,
): Promise<Look> {
  try {
    const { head: whole, file } = await nearby.whole(head);
    const { plan, move } = planObject(whole, start, shores, rules);
    if (move && !isSealed(move.seal) && nearby.isNamedAsFile(head.key))
      throw new SealiftError("SEAL_UNSUPPORTED", STRAY);
    if (file === undefined || !move) return { head: whole, plan, move };
    const note = "its envelope was in an instruction file: written into its metadata";
    return { head: whole, file, plan: { ...plan, notes: [...plan.notes, note] }, move };
  } catch (error) {
    if (!(error instanceof SealiftError) || !error.code.startsWith("SEAL_")) throw error;
    return { head, plan: refusal(error, undefined) };
  }
}

export function nearbyAtSource({ shores, signal }: Crossing, neighbours: Neighbours | undefined): Nearby {
  const { source, sourcePrefix, envelopes } = shores;
  return new Nearby({ store: source, prefix: sourcePrefix, envelopes, signal }, neighbours);
}

export type Foreseen = Omit<Plan, "action"> & { readonly action: Action | "filtered" };

export async function planSource(
  listed: ListedObject,
  shores: Shores,
  rules: Rules,
  signal: AbortSignal,
  neighbours: Neighbours | undefined,
): Promise<Foreseen> {
  const crossing = { shores, rules, signal };
  const nearby = nearbyAtSource(crossing, neighbours);
  try {
    if (await nearby.servesBody(listed)) return { action: "filtered", envelope: "", notes: [NOTE_FILE] };
  } catch (error) {
    if (!(error instanceof SealiftError) || !error.code.startsWith("SEAL_")) throw error;
    return refusal(error, undefined);
  }
  const source = listed.head ?? (await sourceAsListed(listed, crossing));
  const start = await startOf(shores.source, source, shores.envelopes, signal);
  return (await lookAt(source, start, crossing, nearby)).plan;
}
