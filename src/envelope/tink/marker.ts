/**
 * Tink ciphertext has no magic number: what sealift writes carries a mark in its metadata, and the mark decides.
 *
 *   metadata  sealift-tink       type of the data key, a slash, type of the prefix: AES_GCM/RAW; or KEYSET/JSON, KEYSET/BINARY;
 *                                after a second slash the associated data, in hexadecimal, where it is known: AES_GCM/RAW/0073
 *             sealift-tink-key   URI of the key that wraps the data key
 *
 * Tink's readers take no notice of it: they are given the bytes and told the rest.
 */
import { keyScheme, type KeyUri, keyUri } from "../../core/key.ts";
import { CONVERTED, DEKS } from "./dek.ts";
import { malformed, unsupported } from "./fault.ts";
import { PREFIXES, type PrefixType } from "./start.ts";

export const TINK_MARK = "sealift-tink";
const TINK_KEY = "sealift-tink-key";
const NAMES: readonly string[] = [TINK_MARK, TINK_KEY];

/** How an object is sealed, as its mark or the job says. */
export interface Mark {
  readonly content: string;
  readonly prefixType: PrefixType;
  readonly key: KeyUri;
  /** Hexadecimal; absent: empty, or unknown. */
  readonly associated?: string | undefined;
}

/** What the bodies of S3EC V3 are bound to, its suite: no other is ever marked. */
export const V3_ASSOCIATED = "0073";

export const KEYSET = "KEYSET";
export const KEYSET_FORMATS = ["JSON", "BINARY"] as const;
export type KeysetFormat = (typeof KEYSET_FORMATS)[number];

/** The same of an encrypted keyset. */
export interface KeysetMark {
  readonly keyset: KeysetFormat;
  readonly key: KeyUri;
}

export type FoundMark = (Mark | KeysetMark) & {
  /** The names as the object spells them. */
  readonly owns: readonly string[];
};

/** By its lower-case name. */
export const isMark = (name: string): boolean => NAMES.includes(name);

/** undefined: no such mark. */
export function markIn(metadata: ReadonlyMap<string, string>): FoundMark | undefined {
  const owns = [...metadata.keys()].filter((name) => isMark(name.toLowerCase()));
  if (owns.length === 0) return undefined;
  const values = new Map(owns.map((name) => [name.toLowerCase(), metadata.get(name) ?? ""]));
  if (values.size < owns.length) throw malformed("a name of its mark stands twice, in two spellings");
  if (values.size < NAMES.length) throw malformed(`of its mark only ${owns.join()} is there`);
  const key = keyIn(values.get(TINK_KEY) ?? "");
  const [content = "", form = "", associated, ...more] = values.get(TINK_MARK)?.split("/") ?? [];
  const keyset = KEYSET_FORMATS.find((format) => content === KEYSET && format === form);
  if (keyset !== undefined && associated === undefined) return { keyset, key, owns };
  const prefixType = PREFIXES.find((type) => type === form);
  if (prefixType === undefined || more.length > 0) throw malformed(`${TINK_MARK} is not TYPE/PREFIX`);
  if (!DEKS.has(content)) throw unsupported(`Tink data keys of type ${JSON.stringify(content.slice(0, 64))}`);
  if (associated === undefined) return { content, prefixType, key, owns };
  if (associated === V3_ASSOCIATED && content === CONVERTED) return { content, prefixType, key, associated, owns };
  throw malformed(`${TINK_MARK} names associated data that nobody writes`);
}

function keyIn(text: string): KeyUri {
  try {
    const uri = keyUri(text);
    if (keyScheme(uri) !== "local-rsa") return uri;
  } catch {
    // Told below, in our words.
  }
  throw malformed(`${TINK_KEY} is not the URI of a key that wraps`);
}

const typeIn = ({ content, prefixType, associated }: Mark): string =>
  [content, prefixType, ...(associated === undefined ? [] : [associated])].join("/");

export const marked = (mark: Mark | KeysetMark): ReadonlyMap<string, string> =>
  new Map([
    [TINK_MARK, "keyset" in mark ? `${KEYSET}/${mark.keyset}` : typeIn(mark)],
    [TINK_KEY, mark.key],
  ]);
