/** Which envelope an object is in. Every format is asked, so that an object claimed by two is refused and not guessed at. */
import { SealiftError } from "../core/error.ts";
import type { ByteStream, ObjectHead } from "../core/object.ts";
import type { Envelope, Seal } from "../envelope/envelope.ts";
import type { ObjectStore } from "../store/store.ts";
import { pinOf } from "./pinned.ts";

export interface Recognised {
  readonly envelope: Envelope;
  readonly seal: Seal;
}

export const isSealed = (seal: Seal): boolean => seal.wrapped !== undefined;

/** Throws SEAL_MALFORMED or SEAL_UNSUPPORTED; never passes a broken envelope on as plain. */
export function recognise(head: ObjectHead, prefix: Uint8Array, envelopes: readonly Envelope[]): Recognised {
  const claims = envelopes.flatMap((envelope) => {
    const seal = envelope.read(head, prefix);
    return seal === undefined ? [] : [{ envelope, seal }];
  });
  const [first, second] = claims;
  if (!first) throw new SealiftError("SEAL_UNSUPPORTED", "no known format claims the object");
  if (second) {
    throw new SealiftError("SEAL_MALFORMED", `the object is both ${first.envelope.id} and ${second.envelope.id}`);
  }
  return first;
}

/** How much of an object's start the formats need to see. */
export const prefixBytes = (envelopes: readonly Envelope[]): number =>
  Math.max(0, ...envelopes.map((envelope) => envelope.prefixBytesMax));

/** The start of an object whose body is not being read; nothing is asked for where no format wants it. */
export async function startOf(
  store: ObjectStore,
  head: ObjectHead,
  envelopes: readonly Envelope[],
  signal: AbortSignal,
): Promise<Uint8Array> {
  const end = Math.min(prefixBytes(envelopes), head.sizeBytes);
  if (end === 0) return new Uint8Array(0);
  const opened = await store.open(head.key, { ifVersion: pinOf(head), range: { start: 0, end }, signal });
  const chunks: Uint8Array[] = [];
  for await (const chunk of opened.body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The first bytes of a body, and the body as if nobody had looked. */
export async function peek(body: ByteStream, sizeBytes: number): Promise<{ prefix: Uint8Array; body: ByteStream }> {
  if (sizeBytes === 0) return { prefix: new Uint8Array(0), body };
  const iterator = body[Symbol.asyncIterator]();
  const chunks: Uint8Array[] = [];
  for (let seen = 0; seen < sizeBytes; ) {
    const next = await iterator.next();
    if (next.done) break;
    chunks.push(next.value);
    seen += next.value.length;
  }
  return { prefix: Buffer.concat(chunks).subarray(0, sizeBytes), body: rejoin(chunks, iterator) };
}

async function* rejoin(chunks: readonly Uint8Array[], iterator: AsyncIterator<Uint8Array>): ByteStream {
  try {
    yield* chunks;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
  } finally {
    await iterator.return?.();
  }
}
