/**
 * Formats that keep their envelope before the body. A rewrap writes another start there and leaves the body alone: what leaves is a
 * new start and the rest of the bytes that came, and checksums of the two wholes are compared by taking the starts out of them.
 */
import { combineCrc32c, crc32c, crc32cOfEnd } from "../core/crc32c.ts";
import { SealiftError } from "../core/error.ts";
import type { DataKey } from "../core/key.ts";
import type { ByteStream, ObjectHead } from "../core/object.ts";
import { bodyBytes, type Ending, type Envelope, type Seal } from "../envelope/envelope.ts";
import type { Move } from "./plan.ts";

/**
 * True: every byte arrives as it stands at the source. A format without a `start` of its own leaves what is there, unless the seal as
 * it is to stand has none any more: then the body came from a format that has one.
 */
export function isUnchanged(move: Move): boolean {
  if (move.action !== "rewrap") return move.action === "carry";
  const keepsStart = move.seal.start === undefined || move.retargeted.start !== undefined;
  return move.writeWith.start === undefined && keepsStart;
}

/** How the end of the body changes with the start, where it does: then no checksum of the one body speaks for the other. */
export const endingOf = (move: Move): Ending | undefined =>
  move.action === "rewrap" ? move.writeWith.ending?.(move.seal, move.retargeted) : undefined;

/** Bytes of the object as it will stand, sealed as `seal` says. Throws TOO_LARGE above the limit of the format it is sealed in. */
export function sizeAs(move: Move, head: ObjectHead, seal: Seal): number {
  if (move.action === "reseal") return move.sealWith.sealedSize(head.sizeBytes, seal) + startBytes(move.sealWith, seal);
  if (isUnchanged(move) || move.action === "carry") return head.sizeBytes;
  return bodyBytes(head.sizeBytes, move.seal) + startBytes(move.writeWith, seal);
}

const startBytes = (envelope: Envelope, seal: Seal): number => (envelope.start ? envelope.write(seal).startBytes : 0);

/** What is to stand before the body; nothing for formats that have no start. */
export function startWith(envelope: Envelope, seal: Seal, dataKey: DataKey | undefined): Uint8Array {
  const start = envelope.start?.(seal, dataKey) ?? new Uint8Array(0);
  if (start.length === startBytes(envelope, seal)) return start;
  throw new SealiftError("INTERNAL", `${envelope.id} makes a start of another size than it said`);
}

/** The CRC32C of the body alone, from that of the whole object. */
export function bodyCrc32c(head: ObjectHead, seal: Seal): number | undefined {
  if (head.crc32c === undefined || seal.start === undefined) return head.crc32c;
  return crc32cOfEnd(head.crc32c, crc32c(seal.start), bodyBytes(head.sizeBytes, seal));
}

/** The CRC32C of the object as it will stand, where that of the source is stated. */
export function crc32cWith(start: Uint8Array, head: ObjectHead, seal: Seal): number | undefined {
  const body = bodyCrc32c(head, seal);
  return body === undefined ? undefined : combineCrc32c(crc32c(start), body, bodyBytes(head.sizeBytes, seal));
}

/** The new start, and all that came but for the old one, ending as `end` makes it. */
export async function* restarted(
  source: ByteStream,
  from: Seal,
  start: Uint8Array,
  end: (body: ByteStream) => ByteStream = (body) => body,
): ByteStream {
  if (start.length > 0) yield start;
  yield* end(bodyOf(source, from));
}

/** The body alone, of an object as it comes. Throws STORE_CHANGED where it does not begin with the start that was recognised. */
export async function* bodyOf(object: ByteStream, { start }: Seal): ByteStream {
  if (start === undefined) return yield* object;
  let seen = 0;
  for await (const chunk of object) {
    const expected = start.subarray(seen, seen + chunk.length);
    if (Buffer.compare(chunk.subarray(0, expected.length), expected) !== 0) {
      throw new SealiftError("STORE_CHANGED", "it begins with other bytes than it was recognised by");
    }
    seen += chunk.length;
    if (chunk.length > expected.length) yield chunk.subarray(expected.length);
  }
  if (seen < start.length) throw new SealiftError("STORE_CUT", "the body ended within its envelope");
}
