/**
 * What is to stand beside an object at the destination: its attributes, with the envelope in them; or, where that does not fit and the
 * job lets it, the envelope in a file of its own (envelope.ts, Divided) and a mark that says so.
 */
import { asSealiftError } from "../core/error.ts";
import type { Attributes, ObjectHead } from "../core/object.ts";
import type { Envelope, Seal } from "../envelope/envelope.ts";
import { destinationAttributes } from "./attributes.ts";
import type { Move } from "./plan.ts";
import { isSealed } from "./recognise.ts";
import { destinationKey, type Rules, type Shores } from "./shores.ts";
import { APART, ENVELOPE, FILE, stamp } from "./stamp.ts";

export interface EnvelopeFile {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly attributes: Attributes;
  readonly notes: readonly string[];
}

export interface Beside {
  readonly attributes: Attributes;
  /** Present where the envelope, or a part of it, is kept apart. */
  readonly file?: EnvelopeFile | undefined;
}

interface Job {
  readonly shores: Shores;
  readonly rules: Rules;
}

const NOTE_SPILLED =
  "its envelope does not fit its metadata: written into an instruction file, where its readers must look";
const NOTE_UNCOMMITTED =
  "whoever can replace that file can make the body open to another text: nothing commits to its key";

/** The format in which the object will stand. */
export function writerOf(move: Move): Envelope {
  if (move.action === "carry") return move.envelope;
  return move.action === "reseal" ? move.sealWith : move.writeWith;
}

/** Sealed as `seal` says; without one, its envelope stays as it is. Throws METADATA_UNFIT. */
export function besideOf(move: Move, head: ObjectHead, job: Job, seal: Seal | undefined): Beside {
  try {
    const envelope = seal && writerOf(move).write(seal).metadata;
    return { attributes: attributesWith(move, head, job, envelope) };
  } catch (error) {
    const spilled = asSealiftError(error).code === "METADATA_UNFIT" ? spilledOf(move, head, job, seal) : undefined;
    if (spilled === undefined) throw error;
    return spilled;
  }
}

/**
 * The same with the envelope in a file whether or not it would fit; undefined where the job or the format does not let it. Only what
 * is rewrapped: two tries wrap one data key, so that the file of either opens the body of the other, and what is sealed afresh has a
 * new data key every time.
 */
export function spilledOf(move: Move, head: ObjectHead, job: Job, seal: Seal | undefined): Beside | undefined {
  const { shores, rules } = job;
  if (!rules.spill || move.action !== "rewrap" || seal === undefined) return undefined;
  const [format] = move.writeWith.divided ?? [];
  const parts = format?.split(move.writeWith.write(seal).metadata);
  if (!format || !parts) return undefined;
  const key = format.fileOf(destinationKey(head.key, shores));
  if (Buffer.byteLength(key) > shores.destination.traits.keyBytesMax) return undefined;
  const attributes = attributesWith(move, head, job, parts.beside, APART);
  const metadata = new Map([...parts.fileMetadata, ...stamp(head, rules.migration, rules.wrapWith), [FILE, ENVELOPE]]);
  const notes = seal.advisories?.includes("uncommitted") ? [NOTE_SPILLED, NOTE_UNCOMMITTED] : [NOTE_SPILLED];
  return { attributes, file: { key, bytes: parts.file, attributes: { metadata }, notes } };
}

function attributesWith(
  move: Move,
  head: ObjectHead,
  { shores, rules }: Job,
  envelope: ReadonlyMap<string, string> | undefined,
  mark?: string,
): Attributes {
  const sealed = envelope !== undefined || isSealed(move.seal);
  const own = stamp(head, rules.migration, sealed ? rules.wrapWith : undefined);
  if (mark !== undefined) own.set(FILE, mark);
  const beside = { owns: move.seal.owns, envelope, sealed, stamp: own };
  return destinationAttributes(head.attributes, beside, shores.destination.traits);
}
