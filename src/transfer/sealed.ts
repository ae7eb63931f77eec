/** One object as a reader finds it: its head, and the one envelope that claims it. */
import { SealiftError } from "../core/error.ts";
import type { ObjectHead } from "../core/object.ts";
import type { Envelope } from "../envelope/envelope.ts";
import type { ObjectStore } from "../store/store.ts";
import { Nearby } from "./divided.ts";
import { type Recognised, recognise, startOf } from "./recognise.ts";

export interface Sealed extends Recognised {
  /** With its whole envelope. */
  readonly head: ObjectHead;
  /** The object that the envelope, or a part of it, is kept in; absent: its own head holds it. */
  readonly file?: ObjectHead | undefined;
}

/** Throws STORE_NOT_FOUND, SEAL_MALFORMED, SEAL_UNSUPPORTED. */
export async function readSeal(
  store: ObjectStore,
  key: string,
  envelopes: readonly Envelope[],
  signal: AbortSignal,
): Promise<Sealed> {
  const now = await store.head(key, signal);
  if (now === undefined) throw new SealiftError("STORE_NOT_FOUND", `not in ${store.name}`);
  const nearby = new Nearby({ store, prefix: "", envelopes, signal }, undefined);
  const { head, file } = await nearby.whole(now);
  return { head, file, ...recognise(head, await startOf(store, head, envelopes, signal), envelopes) };
}
