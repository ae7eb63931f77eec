/** Which envelope an object is in. Every format is asked, so that an object claimed by two is refused and not guessed at. */
import { SealiftError } from "../core/error.ts";
import type { ByteStream, ObjectHead } from "../core/object.ts";
import { type Envelope, type Seal, START_BYTES_MAX } from "../envelope/envelope.ts";
import type { ObjectStore } from "../store/store.ts";
import { pinOf } from "./pinned.ts";

export interface Recognised {
  readonly envelope: Envelope;
  readonly seal: Seal;
}

export const isSealed = (seal: Seal): boolean => seal.wrapped !== undefined;

/** Throws SEAL_MALFORMED or SEAL_UNSUPPORTED; never passes a broken envelope on as plain. */
export function recognise(head: ObjectHead, start: Uint8Array, envelopes: readonly Envelope[]): Recognised {
  let found: Recognised | undefined;
  for (const envelope of envelopes) {
    const seal = envelope.read(head, start);
    if (seal === undefined) continue;
    if (found) throw new SealiftError("SEAL_MALFORMED", `the object is both ${found.envelope.id} and ${envelope.id}`);
    found = { envelope, seal };
  }
  if (!found) throw new SealiftError("SEAL_UNSUPPORTED", "no known format claims the object");
  return found;
}

const NO_BYTES = new Uint8Array();

/** The same of an object whose first bytes are known to say nothing: it is plain, unless its head speaks for a format. */
export function recogniseByHead(head: ObjectHead, start: Uint8Array, envelopes: readonly Envelope[]): Recognised {
  return unsealedByHead(head, envelopes) ?? recognise(head, start, envelopes);
}

function unsealedByHead(head: ObjectHead, envelopes: readonly Envelope[]): Recognised | undefined {
  try {
    const found = recognise(head, NO_BYTES, envelopes);
    return isSealed(found.seal) ? undefined : found;
  } catch {
    // With the start, what is wrong is told as it is.
    return undefined;
  }
}

/** How much of an object's start the formats have to see, now that they have seen this much. */
export function wantedBytes(head: ObjectHead, start: Uint8Array, envelopes: readonly Envelope[]): number {
  const most = Math.max(0, ...envelopes.map((envelope) => envelope.wants(head, start)));
  return Math.min(most, head.sizeBytes, START_BYTES_MAX);
}

/** Most envelopes that stand before a body are shorter: one request reads them. */
const READ_BYTES_MIN = 4096;

/** The start of an object whose body is not being read; nothing is asked for where no format wants it. */
export async function startOf(
  store: ObjectStore,
  head: ObjectHead,
  envelopes: readonly Envelope[],
  signal: AbortSignal,
): Promise<Uint8Array> {
  let known: Uint8Array = new Uint8Array(0);
  for (;;) {
    const wanted = wantedBytes(head, known, envelopes);
    if (wanted <= known.length) return known;
    const range = { start: known.length, end: Math.min(Math.max(wanted, READ_BYTES_MIN), head.sizeBytes) };
    const opened = await store.open(head.key, { ifVersion: pinOf(head), range, signal });
    const chunks = [known];
    for await (const chunk of opened.body) chunks.push(chunk);
    const more = Buffer.concat(chunks);
    // Stores hold a range to its length; one that does not would be asked for ever.
    if (more.length === known.length) throw new SealiftError("STORE_CUT", "a range of it came empty");
    known = more;
  }
}

/** The first bytes of a body, as many as are wanted at least, and the body as if nobody had looked. */
export async function peek(
  body: ByteStream,
  wanted: (start: Uint8Array) => number,
): Promise<{ start: Uint8Array; body: ByteStream }> {
  let start: Uint8Array = new Uint8Array(0);
  if (wanted(start) === 0) return { start, body };
  const iterator = body[Symbol.asyncIterator]();
  const chunks: Uint8Array[] = [];
  while (wanted(start) > start.length) {
    const next = await iterator.next();
    if (next.done) break;
    chunks.push(next.value);
    start = Buffer.concat([start, next.value]);
  }
  return { start, body: rejoin(chunks, iterator) };
}

async function* rejoin(chunks: readonly Uint8Array[], iterator: AsyncIterator<Uint8Array>): ByteStream {
  try {
    yield* chunks;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
  } finally {
    await iterator.return?.();
  }
}
