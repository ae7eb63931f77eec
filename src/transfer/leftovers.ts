/** Uploads that a killed worker has begun and nobody will complete: the provider keeps and charges for their parts for ever. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ListedObject } from "../core/object.ts";
import { inLanes } from "./page.ts";
import { type Crossing, destinationKey } from "./shores.ts";

/** No store divides an object below this. */
const DIVIDED_BYTES_MIN = 5 * 1024 * 1024;
const LANES = 8;
const TRIES = 3;
const DELAY_MS = 200;
/** The provider's clock says when an upload was begun, ours when the migration was. */
const SKEW_MS = 60_000;

/**
 * Aborts the uploads under exactly this key at the destination that were begun since then, but for `keep`. What cannot be aborted
 * is told, not thrown: the object's own outcome does not depend on it.
 */
export async function abortUploads(
  key: string,
  sinceMs: number,
  keep: string | undefined,
  { shores, signal }: Crossing,
): Promise<unknown> {
  const { parts } = shores.destination;
  if (!parts) return undefined;
  for (let tries = 1; ; tries++) {
    try {
      for (const { id, begunMs } of await parts.uploads(key, signal)) {
        if (id !== keep && begunMs >= sinceMs - SKEW_MS) await parts.abort({ key, id }, signal);
      }
      return undefined;
    } catch (error) {
      if (tries === TRIES || signal.aborted) return error;
      await sleep(DELAY_MS * tries);
    }
  }
}

/** The same for objects that are about to be copied again, by the keys that they have at the destination. */
export async function abortLeftovers(
  objects: readonly ListedObject[],
  sinceMs: number,
  crossing: Crossing,
): Promise<void> {
  const { filter } = crossing.rules;
  const divided = objects.filter((object) => object.sizeBytes > DIVIDED_BYTES_MIN && filter(object));
  await inLanes(divided, LANES, async ({ key }) => {
    await abortUploads(destinationKey(key, crossing.shores), sinceMs, undefined, crossing);
  });
}
