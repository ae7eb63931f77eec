/** What would be done with one listed object: its head is read, nothing is opened or written. */
import type { ListedObject } from "../core/object.ts";
import type { Plan } from "../core/plan.ts";
import { sourceAsListed } from "./pinned.ts";
import { planObject } from "./plan.ts";
import { startOf } from "./recognise.ts";
import type { Rules, Shores } from "./shores.ts";

export async function planSource(
  listed: ListedObject,
  shores: Shores,
  rules: Rules,
  signal: AbortSignal,
): Promise<Plan> {
  const source = listed.head ?? (await sourceAsListed(listed, { shores, rules, signal }));
  const start = await startOf(shores.source, source, shores.envelopes, signal);
  return planObject(source, start, shores, rules).plan;
}
