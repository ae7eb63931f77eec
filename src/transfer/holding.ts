/** What the destination says it holds of an upload, against what the plan wants: the only truth about how far a copy is. */
import { combineCrc32c } from "../core/crc32c.ts";
import type { HeldPart } from "../store/store.ts";
import { extentOf, type PartPlan, partCount } from "./partplan.ts";

/** The CRC32C of a part as its writer sent it, for stores that do not state one; believed as long as the tag is the same. */
export interface Witness {
  readonly tag: string;
  readonly crc32c: number;
}
export type Witnesses = ReadonlyMap<number, readonly Witness[]>;

export interface Holding {
  /** Whole, in ascending order, each with its CRC32C. */
  readonly parts: readonly (HeldPart & { readonly crc32c: number })[];
  /** Numbers of parts that are not there, of another size, or without a CRC32C that anybody vouches for. */
  readonly missing: readonly number[];
}

export function holdingOf(plan: PartPlan, held: readonly HeldPart[], witnesses: Witnesses): Holding {
  const count = partCount(plan);
  const parts: Holding["parts"][number][] = [];
  const missing: number[] = [];
  let next = 1;
  const skipTo = (number: number) => {
    for (; next < number && next <= count; next++) missing.push(next);
  };
  for (const part of held) {
    if (part.first < next || part.last > count || part.last < part.first) continue;
    const wanted = extentOf(plan, part.last).end - extentOf(plan, part.first).start;
    const crc32c = part.crc32c ?? witnesses.get(part.first)?.find(({ tag }) => tag === part.tag)?.crc32c;
    if (part.sizeBytes !== wanted || crc32c === undefined) continue;
    skipTo(part.first);
    parts.push({ ...part, crc32c });
    next = part.last + 1;
  }
  skipTo(count + 1);
  return { parts, missing };
}

/** Of the whole object, where nothing is missing. */
export const wholeCrc32c = ({ parts }: Holding): number =>
  parts.reduce((sum, { crc32c, sizeBytes }) => combineCrc32c(sum, crc32c, sizeBytes), 0);
