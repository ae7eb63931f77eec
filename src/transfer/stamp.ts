/**
 * What is written beside every object that arrives, so that a second pass can tell it from a stranger:
 *
 *     sealift-mid           id of the migration
 *     sealift-src-etag      ETag, version (where there is one) and size of the source object
 *     sealift-src-version
 *     sealift-src-size
 *     sealift-src-mtime     its Last-Modified, which no provider lets us set
 *     sealift-wrap-fp       of the key's URI, for envelopes that do not name the key which opens them (AWS KMS)
 *     sealift-file          where an envelope is kept apart (spill.ts): `apart` beside the body, `envelope` beside its file
 *
 * About 250 bytes together: S3 allows 2 KB for all user metadata. Names that begin with `sealift-` are ours; those of an earlier
 * migration are replaced. A stamp is a hint and never a proof: whoever can write to the destination can write a stamp.
 */
import { createHash } from "node:crypto";
import type { KeyUri } from "../core/key.ts";
import type { ObjectHead } from "../core/object.ts";

export const OUR_PREFIX = "sealift-";

const MIGRATION = "sealift-mid";
const ETAG = "sealift-src-etag";
const VERSION = "sealift-src-version";
const SIZE = "sealift-src-size";
const MODIFIED = "sealift-src-mtime";
const WRAP = "sealift-wrap-fp";

export const FILE = "sealift-file";
export const APART = "apart";
export const ENVELOPE = "envelope";

export function stamp(source: ObjectHead, migration: string, wrapWith: KeyUri | undefined): Map<string, string> {
  const pairs = new Map([
    [MIGRATION, migration],
    [ETAG, source.etag],
    [SIZE, String(source.sizeBytes)],
    [MODIFIED, new Date(source.lastModifiedMs).toISOString()],
  ]);
  if (source.version !== undefined) pairs.set(VERSION, source.version);
  if (wrapWith !== undefined) pairs.set(WRAP, fingerprint(wrapWith));
  return pairs;
}

/** Why the stamp does not name this source object; undefined where it does. */
export function stampDiffers(metadata: ReadonlyMap<string, string>, source: ObjectHead): string | undefined {
  if (!metadata.has(ETAG)) return "it carries no stamp of sealift";
  if (metadata.get(ETAG) !== source.etag) return "its stamp names another ETag of the source";
  if (metadata.get(SIZE) !== String(source.sizeBytes)) return "its stamp names another size of the source";
  const version = metadata.get(VERSION);
  const differs = version !== undefined && source.version !== undefined && version !== source.version;
  return differs ? "its stamp names another version of the source" : undefined;
}

/** Whether this migration says that it wrote the object; which of them wrote it first is nothing that a comparison needs. */
export const isStampOf = (metadata: ReadonlyMap<string, string>, migration: string): boolean =>
  metadata.get(MIGRATION) === migration;

export const stampedKey = (metadata: ReadonlyMap<string, string>, key: KeyUri): boolean =>
  metadata.get(WRAP) === fingerprint(key);

/** The metadata of a body whose envelope is, in whole or in part, in a file of its own. */
export const isApart = (metadata: ReadonlyMap<string, string>): boolean => metadata.get(FILE) === APART;
export const isEnvelopeFile = (metadata: ReadonlyMap<string, string>): boolean => metadata.get(FILE) === ENVELOPE;

/** Both are files for the same version of one source object, under the same key. */
export const isStampedAlike = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  isEnvelopeFile(a) && [ETAG, VERSION, SIZE, WRAP, FILE].every((name) => a.get(name) === b.get(name));

/** 64 bits tell keys of one migration apart; they prove nothing and need not. */
function fingerprint(key: KeyUri): string {
  if (last?.key !== key) last = { key, print: createHash("sha256").update(key).digest("hex").slice(0, 16) };
  return last.print;
}

/** A migration has one key, and a million objects. */
let last: { readonly key: KeyUri; readonly print: string } | undefined;
