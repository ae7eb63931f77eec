/**
 * Boundaries between two steps, by name, where a test can end the process (FreeBSD's fail(9), in miniature). Unarmed, a failpoint
 * is one comparison. Nothing arms one but SEALIFT_FAILPOINT, read by the worker's entrance, or a test in its own process.
 *
 *     SEALIFT_FAILPOINT=page.written        ends the process at the first page.written
 *     SEALIFT_FAILPOINT=page.written:3      at the third
 *     SEALIFT_FAILPOINT=object.taken@a/b    whenever the object in hand is called a/b (also with :n)
 */
import { SealiftError } from "./error.ts";

/** In the order in which a migration meets them. */
export const FAILPOINTS = [
  // A listed page: its record, the window, the queue.
  "page.written",
  "page.emitted",
  "page.queued",
  // A shard that splits: the record that ends it, the records of its halves, the window, the queue.
  "split.written",
  "split.named",
  "split.emitted",
  "split.queued",
  // A copied page: an object taken, an object written, what stands there, the page's outcome, the commit, the end of the epoch.
  "object.taken",
  "object.copied",
  "standing.written",
  "done.written",
  "done.committed",
  "finalize.queued",
  // A huge object: its upload begun, its record, each part, each group of parts, its completion, its outcome, the commit.
  "big.begun",
  "big.recorded",
  "big.queued",
  "big.part",
  "big.grouped",
  "big.completed",
  "big.written",
  "big.committed",
  // The end of an epoch: audited, the result written, the state set.
  "finalize.audited",
  "finalize.written",
  "finalize.closed",
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

interface Armed {
  readonly name: Failpoint;
  readonly detail: string | undefined;
  /** Passes before it acts. */
  left: number;
  readonly act: () => void;
}

let armed: Armed | undefined;

/** `detail`: what is in hand, where that tells one pass from another. */
export function failpoint(name: Failpoint, detail?: string): void {
  if (armed === undefined || armed.name !== name) return;
  if (armed.detail !== undefined && armed.detail !== detail) return;
  if (armed.left-- > 0) return;
  const { act } = armed;
  act();
}

/** `act` throws, or ends the process. Arming again replaces; USAGE where the text names no failpoint. */
export function armFailpoint(text: string, act: () => void): void {
  const found = /^([a-z.]+)(?:@([^]*?))?(?::([1-9]\d{0,5}))?$/.exec(text);
  const name = FAILPOINTS.find((one) => one === found?.[1]);
  if (!name) throw new SealiftError("USAGE", `${JSON.stringify(text)} names no failpoint`);
  armed = { name, detail: found?.[2], left: Number(found?.[3] ?? 1) - 1, act };
}

export function disarmFailpoint(): void {
  armed = undefined;
}
