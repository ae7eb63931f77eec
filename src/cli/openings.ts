/**
 * Every (key, context shape) that a run would open at the source, for a person to sign: a key or a context that does not belong
 * there is how somebody else's wrapped key in the bucket shows itself before anything is opened.
 */
import type { Plan } from "../core/plan.ts";
import { countText } from "./amounts.ts";
import { printable } from "./output.ts";

export interface Opening {
  /** The key's URI, or what is known where only the KMS can name it. */
  readonly key: string;
  /** False: refused, because the job does not allow this key or this context. */
  readonly allowed: boolean;
  objects: number;
  /** Names of the pairs, with the value where all these objects have the same, else null. */
  readonly context: Record<string, string | null>;
}

/** Names come from the bucket's writers: beyond this many shapes the rest is counted only. */
const SHAPES_MAX = 200;
const VALUE_CHARACTERS_MAX = 80;

export class Openings {
  readonly #shapes = new Map<string, Opening>();
  #uncounted = 0;

  add(plan: Omit<Plan, "action"> & { readonly action: string }): void {
    const { action, code, context, scheme, wrappedBy } = plan;
    const forbidden = code === "KMS_KEY_NOT_ALLOWED" || code === "KEY_CONTEXT";
    if (context === undefined || scheme === undefined || (action !== "rewrap" && !forbidden)) return;
    const key = wrappedBy ?? `${scheme} (the key is named inside the wrapped key)`;
    const allowed = !forbidden;
    const name = JSON.stringify([key, allowed, [...context.keys()].sort()]);
    const known = this.#shapes.get(name);
    if (known) {
      known.objects++;
      for (const [pair, value] of context) if (known.context[pair] !== value) known.context[pair] = null;
    } else if (this.#shapes.size >= SHAPES_MAX) this.#uncounted++;
    else this.#shapes.set(name, { key, allowed, objects: 1, context: fromPairs(context) });
  }

  /** Objects of further shapes, which are not listed. */
  get uncounted(): number {
    return this.#uncounted;
  }

  get all(): readonly Opening[] {
    return [...this.#shapes.values()].sort((a, b) => Number(a.allowed) - Number(b.allowed) || b.objects - a.objects);
  }

  lines(): readonly string[] {
    const found = this.all.map(({ key, allowed, objects, context }) => {
      const pairs = Object.entries(context).map(
        ([name, value]) => `${short(name)}=${value === null ? "*" : short(value)}`,
      );
      return `  ${allowed ? "opens" : "REFUSES"} ${countText(objects)} under ${printable(key)}, context { ${pairs.join(", ")} }`;
    });
    if (this.#uncounted > 0) found.push(`  and ${countText(this.#uncounted)} of more than ${SHAPES_MAX} other shapes`);
    return found;
  }
}

/** Without a prototype: a pair may be called `__proto__`. */
function fromPairs(context: ReadonlyMap<string, string>): Record<string, string | null> {
  const pairs: Record<string, string | null> = Object.create(null);
  for (const [name, value] of context) pairs[name] = value;
  return pairs;
}

const short = (text: string): string => {
  const line = printable(text);
  return line.length > VALUE_CHARACTERS_MAX ? `${line.slice(0, VALUE_CHARACTERS_MAX)}...` : line;
};
