/**
 * The envelope of a rewrapped object in a file of its own at the destination. The file is written first and the body after it, so that
 * no body ever stands there without its envelope; a crash between the two leaves a file that no body waits for, which the next try
 * writes anew. It may: whoever rewraps the same version of the source under the same key writes another wrap of the same data key, so
 * that any such file opens any such body. Every other object under the file's name is in the way, and is left alone.
 */
import { crc32c } from "../core/crc32c.ts";
import { asSealiftError, SealiftError } from "../core/error.ts";
import type { ObjectHead, VersionPin } from "../core/object.ts";
import type { Divided } from "../envelope/envelope.ts";
import { lostOnTheWay } from "./attributes.ts";
import type { EnvelopeFile } from "./beside.ts";
import { Nearby } from "./divided.ts";
import { pinOf } from "./pinned.ts";
import type { Crossing, Shores } from "./shores.ts";
import { isApart, isEnvelopeFile, isStampedAlike } from "./stamp.ts";

interface Body {
  /** At the destination. */
  readonly key: string;
  /** What the body is to be written over. */
  readonly condition: "absent" | VersionPin;
}

/** Throws CONFLICT where something else stands under the name, or the body that is to be replaced would take the file for its own. */
export async function placeFile(file: EnvelopeFile, body: Body, crossing: Crossing): Promise<void> {
  const { shores, signal } = crossing;
  const before = await shores.destination.head(body.key, signal);
  // The put of the body will find it, and say what it is: a stranger's body is given no file.
  if (before && body.condition === "absent") return;
  if (before && dividedIn(shores).some((format) => format.awaits(before))) throw conflict(WOULD_AWAIT);
  const standing = await shores.destination.head(file.key, signal);
  if (standing && !isStampedAlike(standing.attributes.metadata, file.attributes.metadata))
    throw conflict(`another object stands under the name of its instruction file, ${JSON.stringify(file.key)}`);
  await write(file, standing ? pinOf(standing) : "absent", crossing);
}

/** The new file would open nothing of the old body, for as long as that still stands. */
const WOULD_AWAIT =
  "what stands at the destination has no envelope in its metadata and would be read with the instruction file of what is to replace it";
const conflict = (why: string) => new SealiftError("CONFLICT", `${why}: remove it first`);

/** Throws CONFLICT for what no job replaces: a file that a body needs, and a body whose file would be taken for that of what comes. */
export function checkReplaceable({ attributes: { metadata } }: ObjectHead, why: string): void {
  if (isEnvelopeFile(metadata))
    throw conflict("an instruction file stands at the destination, which the body beside it needs");
  if (isApart(metadata)) throw conflict(`an object with an instruction file stands at the destination (${why})`);
}

async function write(file: EnvelopeFile, condition: Body["condition"], { shores, signal }: Crossing): Promise<void> {
  const { key, bytes, attributes } = file;
  const [sizeBytes, crc] = [bytes.length, crc32c(bytes)];
  const put = await shores.destination
    .put(key, once(bytes), { sizeBytes, crc32c: crc, attributes, condition, signal })
    .catch((error: unknown) => {
      // Another worker was there at the same time, or an answer of our own was lost: the next look decides.
      const { code } = asSealiftError(error);
      throw code === "STORE_EXISTS" || code === "STORE_CHANGED" ? busy() : error;
    });
  const lost = lostOnTheWay(attributes, put.head.attributes);
  const arrived = put.crc32c === crc && put.head.sizeBytes === sizeBytes && lost === undefined;
  if (!arrived) throw new SealiftError("VERIFY_MISMATCH", "after the put, its instruction file is not what was sent");
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const busy = () =>
  new SealiftError("STORE_BUSY", "the destination changed while its instruction file was being written");
const dividedIn = ({ envelopes }: Shores): readonly Divided[] => [
  ...new Set(envelopes.flatMap(({ divided = [] }) => divided)),
];

/** What stands at the destination, with the envelope that is kept apart from it. Throws SEAL_MALFORMED where the two contradict. */
export async function wholeAtDestination(standing: ObjectHead, { shores, signal }: Crossing): Promise<ObjectHead> {
  if (!isApart(standing.attributes.metadata)) return standing;
  const { destination: store, destinationPrefix: prefix, envelopes } = shores;
  return (await new Nearby({ store, prefix, envelopes, signal }, undefined).whole(standing)).head;
}

/** Whether a file that was written for a body still stands. Its content is looked at when the two are read together. */
export async function fileStands(body: string, { shores, signal }: Crossing): Promise<boolean> {
  for (const format of dividedIn(shores)) {
    const head = await shores.destination.head(format.fileOf(body), signal);
    if (head && isEnvelopeFile(head.attributes.metadata)) return true;
  }
  return false;
}
