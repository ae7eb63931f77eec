/**
 * Envelopes kept in an object beside the body (S3 Encryption Client specification, data-format/metadata-strategy.md: instruction
 * files, `<key>.instruction`). Format V1 and V2 bodies then show nothing in their own head: only the neighbour tells them from
 * plain objects, and sealing such a body once more would bury it.
 */
import { SealiftError } from "../core/error.ts";
import { compareKeys, type ListedObject } from "../core/object.ts";
import type { Recognised } from "./recognise.ts";
import { isSealed } from "./recognise.ts";
import type { Crossing } from "./shores.ts";

const SUFFIX = ".instruction";

/** What a listing says of a key at the source: there, not there, or (beyond its end) nothing. */
export type Neighbours = (key: string) => boolean | undefined;

/** From objects that were listed without a gap, in ascending order. What is asked for always sorts behind one of them. */
export function neighboursIn(objects: readonly ListedObject[]): Neighbours {
  const known = new Set(objects.map(({ key }) => key));
  const end = objects.at(-1)?.key;
  return (key) => known.has(key) || (end !== undefined && compareKeys(key, end) <= 0 ? false : undefined);
}

/** Throws SEAL_UNSUPPORTED where an object without an envelope of its own has an instruction file beside it. */
export async function refuseDivided(
  key: string,
  { seal }: Recognised,
  crossing: Crossing,
  neighbours: Neighbours | undefined,
): Promise<void> {
  const { source, sourcePrefix } = crossing.shores;
  if (isSealed(seal) || key.endsWith("/")) return;
  const beside = key + SUFFIX;
  const listed = neighbours?.(beside);
  const { keyBytesMax } = source.traits;
  if (listed === false || Buffer.byteLength(beside) > keyBytesMax || !beside.startsWith(sourcePrefix)) return;
  if (listed !== true && (await source.head(beside, crossing.signal)) === undefined) return;
  throw new SealiftError(
    "SEAL_UNSUPPORTED",
    `its envelope seems to be in an instruction file, ${JSON.stringify(beside)}: not carried by this version`,
  );
}
