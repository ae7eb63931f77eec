/** What stands beside an object at the destination: what its writer set, unchanged, with the new envelope and our stamp. */
import { SealiftError } from "../core/error.ts";
import type { Attributes } from "../core/object.ts";
import type { StoreTraits } from "../store/store.ts";
import { OUR_PREFIX } from "./stamp.ts";

/** Headers that a destination cannot keep are kept as metadata, and become headers again where one can. */
const KEPT_ENCODING = "sealift-content-encoding";
const KEPT_EXPIRES = "sealift-expires";

export interface Beside {
  /** Metadata names of the source's envelope. */
  readonly owns: readonly string[];
  /** The envelope as it is to stand; absent: as it was. */
  readonly envelope?: ReadonlyMap<string, string> | undefined;
  /** The bytes to be written are ciphertext of a client. */
  readonly sealed: boolean;
  readonly stamp: ReadonlyMap<string, string>;
}

/** Throws METADATA_UNFIT where the destination cannot carry it unchanged. */
export function destinationAttributes(source: Attributes, beside: Beside, traits: StoreTraits): Attributes {
  const metadata = new Map<string, string>();
  const owned = new Set(beside.owns);
  for (const [name, value] of source.metadata) {
    const stays = owned.has(name) ? beside.envelope === undefined : !name.startsWith(OUR_PREFIX);
    if (stays) metadata.set(name, value);
  }
  for (const [name, value] of beside.envelope ?? []) {
    if (metadata.has(name))
      throw new SealiftError("METADATA_UNFIT", `its metadata ${show(name)} is also the envelope's`);
    metadata.set(name, value);
  }
  for (const [name, value] of beside.stamp) metadata.set(name, value);
  const encoding = contentEncoding(source, beside.sealed, traits);
  if (encoding.asMetadata !== undefined) metadata.set(KEPT_ENCODING, encoding.asMetadata);
  const expires = source.expires ?? source.metadata.get(KEPT_EXPIRES);
  if (expires !== undefined && !traits.keepsExpires) metadata.set(KEPT_EXPIRES, expires);
  checkFits(metadata, traits);
  return {
    metadata,
    contentType: source.contentType,
    contentEncoding: encoding.asHeader,
    contentLanguage: source.contentLanguage,
    contentDisposition: source.contentDisposition,
    cacheControl: source.cacheControl,
    expires: traits.keepsExpires ? expires : undefined,
  };
}

/**
 * `Content-Encoding: gzip` on ciphertext describes the plaintext. A provider that unpacks such objects on the way out (GCS:
 * "Transcoding of gzip-compressed files") would fail on it, so there it is only remembered.
 */
function contentEncoding(
  source: Attributes,
  sealed: boolean,
  traits: StoreTraits,
): { readonly asHeader?: string | undefined; readonly asMetadata?: string | undefined } {
  const remembered = source.metadata.get(KEPT_ENCODING);
  const encoding = source.contentEncoding ?? remembered;
  if (encoding === undefined) return {};
  const describesThePlaintext = sealed || source.contentEncoding === undefined;
  const unsafe = traits.transcodesGzip && describesThePlaintext && /gzip/i.test(encoding);
  return unsafe ? { asMetadata: encoding } : { asHeader: encoding };
}

/** RFC 9110 token, lower case. */
const LOWER_TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

function checkFits(metadata: ReadonlyMap<string, string>, traits: StoreTraits): void {
  let sum = 0;
  for (const [name, value] of metadata) {
    const nameBytes = Buffer.byteLength(name);
    const valueBytes = Buffer.byteLength(value);
    sum += nameBytes + valueBytes;
    if (traits.metadataNames === "ascii-lower" && !LOWER_TOKEN.test(name)) {
      throw unfit(`its metadata name ${show(name)} is not a lower-case header name`);
    }
    if (nameBytes > traits.metadataNameBytesMax) {
      throw unfit(`its metadata name ${show(name)} is ${nameBytes} bytes, allowed are ${traits.metadataNameBytesMax}`);
    }
    if (valueBytes > traits.metadataValueBytesMax) {
      throw unfit(`its metadata ${show(name)} is ${valueBytes} bytes, allowed are ${traits.metadataValueBytesMax}`);
    }
  }
  if (sum <= traits.metadataBytesMax) return;
  throw unfit(`its metadata would be ${sum} bytes with envelope and stamp, allowed are ${traits.metadataBytesMax}`);
}

const HEADERS = [
  "contentType",
  "contentEncoding",
  "contentLanguage",
  "contentDisposition",
  "cacheControl",
  "expires",
] as const;

/**
 * What was to stand beside the object and does not: a name, or undefined where all of it does. Additions are nobody's loss, and
 * our own names are compared by those who know what they mean.
 */
export function lostAttribute(wanted: Attributes, found: Attributes): string | undefined {
  for (const header of HEADERS) {
    if (wanted[header] !== undefined && wanted[header] !== found[header]) return header;
  }
  for (const [name, value] of wanted.metadata) {
    if (!name.startsWith(OUR_PREFIX) && found.metadata.get(name) !== value) return `metadata ${show(name)}`;
  }
  return undefined;
}

/** The same of what was sent a moment ago: the envelope's own names and the stamp are then known to the letter. */
export function lostOnTheWay(wanted: Attributes, found: Attributes): string | undefined {
  for (const [name, value] of wanted.metadata) {
    if (found.metadata.get(name) !== value) return `metadata ${show(name)}`;
  }
  return lostAttribute(wanted, found);
}

const unfit = (why: string) => new SealiftError("METADATA_UNFIT", why);
const show = (name: string): string => JSON.stringify(name.slice(0, 64));
