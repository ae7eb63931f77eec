/** Whether a bucket holds what it has to hold after a run: asked where the bytes are, of every object. */
import { type Dataset, keyOf, type Seed } from "../seed.ts";
import { type Bucket, crcOf, type Stored } from "./buckets.ts";

export interface Expected {
  readonly dataset: Dataset;
  /** CRC32C of each content, as the source has it stored. */
  readonly crcs: readonly number[];
  /** rewrapped: the same bytes, the data key under the destination's key. same: bytes as they were, and an envelope where there was one. bytes: no look at metadata. */
  readonly how: "rewrapped" | "same" | "bytes" | "resealed";
  /** Keys begin with it at the destination. */
  readonly prefix?: string | undefined;
}

export interface Checked {
  readonly objects: number;
  /** Data keys that were opened and compared with those of the seed. */
  readonly opened: number;
}

/** Throws where one object is not as it has to be. */
export function checkArrived(seed: Seed, bucket: Bucket | undefined, expected: Expected): Checked {
  const { dataset, prefix = "" } = expected;
  const count = bucket?.rows().count ?? 0;
  if (count !== dataset.count) throw new Error(`${count} objects at the destination, ${dataset.count} were expected`);
  let opened = 0;
  for (let n = 0; n < dataset.count; n++) {
    const key = prefix + keyOf(n);
    const object = bucket?.get(key);
    const wrong = object === undefined ? "not there" : differs(seed, object, n % expected.crcs.length, expected);
    if (wrong !== undefined) throw new Error(`${key}: ${wrong}`);
    if (expected.how === "rewrapped") opened++;
  }
  return { objects: count, opened };
}

function differs(seed: Seed, object: Stored, content: number, { dataset, crcs, how }: Expected): string | undefined {
  const storedBytes = dataset.sizeBytes + (dataset.sealed || how === "resealed" ? 16 : 0);
  if (object.sizeBytes !== storedBytes) return `${object.sizeBytes} bytes instead of ${storedBytes}`;
  if (how === "resealed") return object.metadata.has("x-amz-3") ? undefined : "no envelope";
  if (crcOf(object) !== crcs[content]) return "its bytes are others";
  if (how === "same" && dataset.sealed && !object.metadata.has("x-amz-key-v2")) return "its envelope was lost";
  if (how !== "rewrapped") return undefined;
  try {
    return seed.openV2(object.metadata).equals(seed.dataKey(content)) ? undefined : "under another data key";
  } catch (error) {
    return `its data key does not open: ${error instanceof Error ? error.message : String(error)}`;
  }
}
