/** A look at what arrived as an application would look: opened by the destination's store and KMS over HTTP, compared byte for byte. */
import { open } from "../../../src/reader.ts";
import { KEPT_BYTES_MAX, contentsOf, keyOf } from "./seed.ts";
import { type Route, shoresOf, type Task } from "./tasks.ts";

/** One object in a hundred where nothing else is said, and never fewer than this. */
const SHARE = 100;
const LEAST = 4;

/** Returns how many were opened: none where the clouds keep no bodies of that size. Throws where one differs. */
export async function openSome({ world, dataset, bucket }: Task, route: Route, share = SHARE): Promise<number> {
  if (dataset.sizeBytes + 16 > KEPT_BYTES_MAX) return 0;
  const count = Math.min(dataset.count, Math.max(LEAST, Math.ceil(dataset.count / share)));
  const { destination } = shoresOf(world, route);
  for (let i = 0; i < count; i++) {
    const n = Math.floor((i * dataset.count) / count);
    const url = `${route === "s3" ? "s3" : "gs"}://${bucket}/${keyOf(n)}`;
    const chunks: Buffer[] = [];
    for await (const chunk of await open(url, destination)) chunks.push(chunk as Buffer);
    const wanted = world.seed.plaintext(n % contentsOf(dataset), dataset.sizeBytes);
    if (!Buffer.concat(chunks).equals(wanted)) throw new Error(`${url}: opened, and not what was sealed`);
  }
  return count;
}
