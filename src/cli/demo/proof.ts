/** The proof: each object as it stands on the far side, opened by the destination's KMS, against what was sealed in the beginning. */
import { createHash } from "node:crypto";
import type { ByteStream } from "../../core/object.ts";
import { openPlaintext } from "../../transfer/read.ts";
import type { Shores } from "../../transfer/shores.ts";
import { inTurns, type Seeded } from "./seed.ts";

export interface Opened {
  /** Objects whose plaintext on the far side has the digest of the beginning. */
  readonly opened: number;
  /** Stored bytes that are the same on both shores, bit for bit. */
  readonly untouched: number;
  /** Why not, by key. */
  readonly mismatched: readonly { readonly key: string; readonly why: string }[];
}

export async function openAll(seeded: readonly Seeded[], shores: Shores, signal: AbortSignal): Promise<Opened> {
  const found = await inTurns(
    seeded.map((one) => () => openOne(one, shores, signal)),
    8,
  );
  return {
    opened: found.filter(({ why }) => why === undefined).length,
    untouched: found.filter(({ untouched }) => untouched).length,
    mismatched: found.flatMap(({ key, why }) => (why === undefined ? [] : [{ key, why }])),
  };
}

async function openOne(
  one: Seeded,
  shores: Shores,
  signal: AbortSignal,
): Promise<{ key: string; why?: string; untouched: boolean }> {
  const { key } = one;
  try {
    const { head, body } = await shores.destination.open(shores.destinationPrefix + key, { signal });
    const stored = createHash("sha256");
    const plain = createHash("sha256");
    for await (const chunk of await openPlaintext(
      head,
      tapped(body, stored),
      shores.envelopes,
      shores.destinationKms,
      signal,
    ))
      plain.update(chunk);
    const untouched = stored.digest("hex") === one.storedSha256;
    if (plain.digest("hex") !== one.plainSha256) return { key, why: "its plaintext is another", untouched };
    if (one.sealed && !untouched) return { key, why: "its ciphertext was changed on the way", untouched };
    return { key, untouched };
  } catch (error) {
    return { key, why: error instanceof Error ? error.message : String(error), untouched: false };
  }
}

async function* tapped(body: ByteStream, hash: ReturnType<typeof createHash>): ByteStream {
  for await (const chunk of body) {
    hash.update(chunk);
    yield chunk;
  }
}
