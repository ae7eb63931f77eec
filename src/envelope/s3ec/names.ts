/**
 * The metadata names of the Amazon S3 Encryption Client (S3EC) and which generation of the format an object shows.
 *
 *   V1   x-amz-key     | iv matdesc                        | unencrypted-content-length, -md5
 *   V2   x-amz-key-v2  | iv matdesc wrap-alg cek-alg tag-len | unencrypted-content-length, -md5
 *   V3   x-amz-3       | c w d i t m
 *
 * Recognition is strict (S3EC specification, data-format/content-metadata.md and metadata-strategy.md): exactly one of the three
 * key names and nothing that belongs to another generation, because pasting names of one generation onto an object of another
 * is how readers are made to open a body under the wrong algorithm. Empty values of other generations are tolerated: the Go
 * client writes them.
 */
import { SealiftError } from "../../core/error.ts";

export const KEY_V1 = "x-amz-key";
export const KEY_V2 = "x-amz-key-v2";
export const KEY_V3 = "x-amz-3";
export const IV = "x-amz-iv";
export const MATDESC = "x-amz-matdesc";
export const WRAP_ALG = "x-amz-wrap-alg";
export const CEK_ALG = "x-amz-cek-alg";
export const TAG_LEN = "x-amz-tag-len";
export const PLAIN_LENGTH = "x-amz-unencrypted-content-length";
export const PLAIN_MD5 = "x-amz-unencrypted-content-md5";
export const V3_CONTENT = "x-amz-c";
export const V3_WRAP = "x-amz-w";
export const V3_COMMITMENT = "x-amz-d";
export const V3_MESSAGE_ID = "x-amz-i";
export const V3_CONTEXT = "x-amz-t";
export const V3_MATERIALS = "x-amz-m";
/** Ours, beside a wrap that no official reader knows: the URI of the wrapping key, and how the context became bytes. */
export const SEALIFT_KEY = "sealift-key";
export const SEALIFT_AAD = "sealift-aad";

/** Of the object that holds the envelope of another one: the body's key and this. */
export const INSTRUCTION_SUFFIX = ".instruction";

const V2_ONLY = [KEY_V2, WRAP_ALG, CEK_ALG, TAG_LEN];
const V1_AND_V2 = [IV, MATDESC, PLAIN_LENGTH, PLAIN_MD5];
export const V3_IN_METADATA = [V3_CONTENT, V3_COMMITMENT, V3_MESSAGE_ID];
const V3_OTHERS = [V3_WRAP, V3_CONTEXT, V3_MATERIALS];
export const OURS = [SEALIFT_KEY, SEALIFT_AAD];
export const KEYS = [KEY_V1, KEY_V2, KEY_V3];
const V3_NAMES = [KEY_V3, ...V3_IN_METADATA, ...V3_OTHERS];
const KNOWN = new Set([...KEYS, ...V2_ONLY, ...V1_AND_V2, ...V3_NAMES, ...OURS]);
/** What an instruction file may hold: the envelope, but for what V3 keeps with the body whatever the key does. */
export const IN_FILE: ReadonlySet<string> = new Set([...KEYS, ...V2_ONLY, ...V1_AND_V2, ...V3_OTHERS]);

/** By its lower-case name. */
export const isKnown = (name: string): boolean => KNOWN.has(name);

export interface Fields {
  /** By lower-case name; values as stored, empty ones included. */
  readonly values: ReadonlyMap<string, string>;
  /** The same names as the object spells them. */
  readonly owns: readonly string[];
}

/** What of an object's metadata belongs to this format. Names are case-insensitive: some clients send canonical case. */
export function fieldsOf(metadata: ReadonlyMap<string, string>): Fields {
  const known = sorted.get(metadata);
  if (known) return known;
  const fields = sortOut(metadata);
  sorted.set(metadata, fields);
  return fields;
}

/** Every format of the family asks about every object. */
const sorted = new WeakMap<ReadonlyMap<string, string>, Fields>();

function sortOut(metadata: ReadonlyMap<string, string>): Fields {
  const values = new Map<string, string>();
  const owns: string[] = [];
  for (const [spelled, value] of metadata) {
    const name = spelled.toLowerCase();
    if (!isKnown(name)) continue;
    if (values.has(name)) throw malformed(`${name} stands twice, in two spellings`);
    values.set(name, value);
    owns.push(spelled);
  }
  return { values, owns };
}

/** undefined: no sign of this format. Throws where the signs contradict each other or show a form that is not carried. */
export function generationOf({ values }: Fields): "v1" | "v2" | "v3" | undefined {
  if (values.size === 0) return undefined;
  const stands = (name: string): boolean => (values.get(name) ?? "") !== "";
  const keys = KEYS.filter(stands);
  if (keys.length > 1) throw malformed(`${keys.join(" and ")} stand together`);
  const strangers = (names: readonly string[]): void => {
    const found = names.filter(stands);
    if (found.length > 0)
      throw malformed(`${found.join(", ")} beside ${keys.join() || "names of another format version"}`);
  };
  if (keys[0] === KEY_V3) {
    strangers([...V2_ONLY, ...V1_AND_V2]);
    return "v3";
  }
  if (keys[0] === KEY_V2) {
    strangers(V3_NAMES);
    return "v2";
  }
  if (keys[0] === KEY_V1) {
    strangers([...V2_ONLY, ...V3_NAMES, ...OURS]);
    return "v1";
  }
  return withoutKey(stands, strangers);
}

/** Names of the format but no key: nobody has joined an instruction file to them, because there is none where one is looked for. */
function withoutKey(stands: (name: string) => boolean, strangers: (names: readonly string[]) => void): never {
  if (V3_NAMES.some(stands)) {
    strangers([...V2_ONLY, ...V1_AND_V2, ...OURS, ...V3_OTHERS]);
    if (!V3_IN_METADATA.every(stands)) throw malformed("only a part of x-amz-c, x-amz-d, x-amz-i and no x-amz-3");
    throw unsupported(
      "S3EC format V3 without its wrapped key, and no instruction file (object key + .instruction) has it",
    );
  }
  strangers(OURS);
  if ([...V2_ONLY, ...V1_AND_V2].some(stands)) {
    throw unsupported(
      "names of S3EC without a wrapped key, and no instruction file (object key + .instruction) has the envelope",
    );
  }
  throw malformed("names of S3EC with empty values and no wrapped key");
}

export const malformed = (what: string): SealiftError => new SealiftError("SEAL_MALFORMED", `S3EC envelope: ${what}`);
export const unsupported = (what: string): SealiftError => new SealiftError("SEAL_UNSUPPORTED", what);

/** Runs a parser of one object's envelope so that its errors name the object. */
export function about<T>(object: string, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    throw thrown instanceof SealiftError ? thrown.about(object) : thrown;
  }
}
