/**
 * How an object stood at the destination when it was last seen there whole, in 16 characters, so that a ledger can keep it for every
 * object. A listing that still shows the same has shown that nobody has written there since: every write changes the ETag or the
 * Last-Modified, which no client can set, and a change of metadata alone is a write (S3 keeps the ETag then, GCS does not).
 *
 *     0       8 9              16
 *     |  tag  |f| seconds      |
 *
 *     tag      48 bits of SHA-256 over ETag and size, base64url
 *     f        advisories (core/advisory.ts) and whether the object has an envelope of its own, as a number in base 36
 *     seconds  Unix time of the last write, rounded down, base 36: many servers state whole seconds only, so a write within the
 *              same second that also leaves the bytes as they were is not noticed
 */
import { createHash } from "node:crypto";
import { type Advisory, ALL_ADVISORIES } from "./advisory.ts";
import type { ListedObject, ObjectHead } from "./object.ts";

export const STOOD_CHARACTERS = 16;
/** In the place of an object of which nothing is known. */
export const NOTHING_STOOD = ".".repeat(STOOD_CHARACTERS);

const TAG_CHARACTERS = 8;
const SECONDS_CHARACTERS = STOOD_CHARACTERS - TAG_CHARACTERS - 1;
const STOOD = /^[\w-]{8}[0-9a-f][0-9a-z]{7}$/;

export interface StoodFacts {
  /** Its envelope was read from the object itself, and not from one beside it. */
  readonly sealed: boolean;
  readonly advisories: readonly Advisory[];
}

type Row = Pick<ListedObject, "etag" | "sizeBytes" | "lastModifiedMs">;

export function stoodAs(head: Pick<ObjectHead, keyof Row>, { sealed, advisories }: StoodFacts): string {
  const flags = ALL_ADVISORIES.reduce((sum, name, bit) => sum + (advisories.includes(name) ? 1 << bit : 0), 0);
  const flag = (flags * 2 + (sealed ? 1 : 0)).toString(36);
  const seconds = secondsOf(head.lastModifiedMs).toString(36).padStart(SECONDS_CHARACTERS, "0");
  const text = tagOf(head) + flag + seconds;
  // A clock of another millennium: then nothing is kept, and the object is asked about again.
  return STOOD.test(text) ? text : NOTHING_STOOD;
}

/** undefined: nothing is known, or the text is none. */
export function factsOf(stood: string): StoodFacts | undefined {
  if (!STOOD.test(stood)) return undefined;
  const flags = Number.parseInt(stood.charAt(TAG_CHARACTERS), 36);
  const advisories = ALL_ADVISORIES.filter((_, bit) => (flags >> (bit + 1)) & 1);
  return { sealed: (flags & 1) === 1, advisories };
}

/** Whether a listing shows the object as it stood. */
export function stillStands(row: Row, stood: string): boolean {
  if (!STOOD.test(stood) || !stood.startsWith(tagOf(row))) return false;
  return secondsOf(row.lastModifiedMs) <= Number.parseInt(stood.slice(TAG_CHARACTERS + 1), 36);
}

const secondsOf = (ms: number): number => Math.max(0, Math.floor(ms / 1000));

const tagOf = ({ etag, sizeBytes }: Pick<Row, "etag" | "sizeBytes">): string =>
  createHash("sha256").update(`${etag}\n${sizeBytes}`).digest("base64url").slice(0, TAG_CHARACTERS);
