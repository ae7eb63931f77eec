/** Walking the source of a job, object by object, without moving anything. */
import { Budget } from "../core/budget.ts";
import type { ListedObject } from "../core/object.ts";
import { type Neighbours, neighboursIn } from "../transfer/divided.ts";
import type { Shores } from "../transfer/shores.ts";

/**
 * Lists the source and hands each object to `look`, so many at a time; answers come back in listing order. At most one page of
 * answers is held.
 */
export async function* survey<T>(
  shores: Shores,
  atOnce: number,
  objectsMax: number,
  signal: AbortSignal,
  look: (object: ListedObject, neighbours: Neighbours) => Promise<T>,
): AsyncGenerator<{ readonly object: ListedObject; readonly seen: T }> {
  const lanes = new Budget(atOnce);
  let taken = 0;
  for await (const page of shores.source.list(shores.sourcePrefix, {}, signal)) {
    const objects = page.objects.slice(0, objectsMax - taken);
    const neighbours = neighboursIn(page.objects);
    const looks = objects.map(async (object) => {
      const leave = await lanes.take(1, signal);
      try {
        return { object, seen: await look(object, neighbours) };
      } finally {
        leave();
      }
    });
    yield* await Promise.all(looks);
    taken += objects.length;
    if (taken >= objectsMax) return;
  }
}
