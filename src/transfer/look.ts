/** What would be done with one listed object: its head is read, nothing is opened or written. */
import { asSealiftError } from "../core/error.ts";
import type { ListedObject } from "../core/object.ts";
import type { Plan } from "../core/plan.ts";
import { type Neighbours, refuseDivided } from "./divided.ts";
import { sourceAsListed } from "./pinned.ts";
import { planObject } from "./plan.ts";
import { startOf } from "./recognise.ts";
import type { Rules, Shores } from "./shores.ts";

export async function planSource(
  listed: ListedObject,
  shores: Shores,
  rules: Rules,
  signal: AbortSignal,
  neighbours: Neighbours | undefined,
): Promise<Plan> {
  const source = listed.head ?? (await sourceAsListed(listed, { shores, rules, signal }));
  const start = await startOf(shores.source, source, shores.envelopes, signal);
  const { plan, move } = planObject(source, start, shores, rules);
  if (!move) return plan;
  try {
    await refuseDivided(source.key, move, { shores, rules, signal }, neighbours);
    return plan;
  } catch (error) {
    const { code, message } = asSealiftError(error);
    if (code !== "SEAL_UNSUPPORTED") throw error;
    return { action: "refuse", envelope: "unknown", code, reason: message, notes: [] };
  }
}
