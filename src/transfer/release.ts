/**
 * The plaintext of one object, released to somebody who cannot give it back.
 *
 * Formats that prove themselves only at their end must not release a byte before it. Small plaintexts wait in memory; larger
 * ones are read twice, once to verify and once to release, both pinned to one version. A store that answers the second read with
 * other bytes is caught at the end of it (SEAL_FORGED): whoever cannot bear that writes into something that can be withdrawn.
 */
import type { ByteStream } from "../core/object.ts";
import type { Envelope } from "../envelope/envelope.ts";
import type { Kms } from "../kms/kms.ts";
import type { ObjectStore } from "../store/store.ts";
import { checkAsListed, pinOf } from "./pinned.ts";
import { openPlaintext } from "./read.ts";
import type { Sealed } from "./sealed.ts";

const HELD_BYTES_MAX = 32 * 1024 * 1024;

export interface Release {
  readonly store: ObjectStore;
  readonly sealed: Sealed;
  readonly envelopes: readonly Envelope[];
  readonly kms: readonly Kms[];
  /** Released as it is read, before the end has proven it. */
  readonly unverified: boolean;
  readonly signal: AbortSignal;
}

export async function* release(what: Release): ByteStream {
  const { sealed, unverified } = what;
  if (sealed.envelope.verifies !== "at-end" || unverified) return yield* plaintext(what);
  if (sealed.head.sizeBytes <= HELD_BYTES_MAX) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of plaintext(what)) chunks.push(Uint8Array.from(chunk));
    return yield* chunks;
  }
  for await (const _chunk of plaintext(what));
  yield* plaintext(what);
}

async function* plaintext({ store, sealed, envelopes, kms, signal }: Release): ByteStream {
  const opened = await store.open(sealed.head.key, { ifVersion: pinOf(sealed.head), signal });
  let whole = false;
  try {
    checkAsListed(opened.head, sealed.head);
    yield* await openPlaintext(sealed.head, opened.body, envelopes, kms, signal);
    whole = true;
  } finally {
    if (!whole) await opened.cancel().catch(() => undefined);
  }
}
