/** What every driver asks before it writes: does the name fit, do the attributes fit, is this still the version that was seen. */
import { combineCrc32c } from "../core/crc32c.ts";
import { SealiftError } from "../core/error.ts";
import type { Attributes, ObjectHead, VersionPin } from "../core/object.ts";
import type { HeldPart, PartRange, PutOptions, StoreTraits } from "./store.ts";

/** A lone surrogate has no UTF-8 form: it would be stored under another name than it was listed by. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Refuses, before the first byte is asked for, what the store could not keep as it is given. */
export function checkPut(traits: StoreTraits, key: string, options: Omit<PutOptions, "condition" | "crc32c">): void {
  options.signal.throwIfAborted();
  checkName(traits, key);
  checkAttributes(traits, key, options.attributes);
  if (options.serverKeyName !== undefined && !traits.serverKeys) {
    throw new SealiftError("PROVIDER_REFUSED", "this store has no keys of its own to put an object under", {
      object: key,
    });
  }
  if (options.sizeBytes <= traits.objectBytesMax) return;
  const limit = `${options.sizeBytes} bytes, ${traits.objectBytesMax} are allowed`;
  throw new SealiftError("TOO_LARGE", limit, { object: key });
}

/** NAME_UNFIT where no store with these traits can hold the key. */
export function checkName(traits: StoreTraits, key: string): void {
  const sizeBytes = Buffer.byteLength(key);
  const fault =
    sizeBytes === 0
      ? "the name is empty"
      : sizeBytes > traits.keyBytesMax
        ? `the name has ${sizeBytes} bytes, ${traits.keyBytesMax} are allowed`
        : LONE_SURROGATE.test(key)
          ? "the name is not well-formed Unicode"
          : undefined;
  if (fault !== undefined) throw new SealiftError("NAME_UNFIT", fault, { object: key });
}

/** HTTP tokens (RFC 9110, 5.6.2) without capitals. */
const LOWER_TOKEN = /^[a-z0-9!#$%&'*+.^_`|~-]+$/;

function metadataFault(
  traits: StoreTraits,
  name: string,
  nameBytes: number,
  value: string,
  valueBytes: number,
): string | undefined {
  // Of as many bytes as units is ASCII alone.
  const isAscii = nameBytes === name.length && valueBytes === value.length;
  if (name === "" || (!isAscii && LONE_SURROGATE.test(name + value))) return "is not well-formed";
  if (nameBytes > traits.metadataNameBytesMax) return "has a name that is too long";
  if (valueBytes > traits.metadataValueBytesMax)
    return `has ${valueBytes} bytes, ${traits.metadataValueBytesMax} are allowed`;
  const isToken = traits.metadataNames !== "ascii-lower" || LOWER_TOKEN.test(name);
  return isToken ? undefined : "has a name that is not a lower-case HTTP token";
}

/** METADATA_UNFIT where an attribute could not be kept unchanged. */
function checkAttributes(traits: StoreTraits, key: string, attributes: Attributes): void {
  const unfit = (why: string) => new SealiftError("METADATA_UNFIT", why, { object: key });
  let sum = 0;
  for (const [name, value] of attributes.metadata) {
    const nameBytes = Buffer.byteLength(name);
    const valueBytes = Buffer.byteLength(value);
    sum += nameBytes + valueBytes;
    const why = metadataFault(traits, name, nameBytes, value, valueBytes);
    if (why !== undefined) throw unfit(`metadata ${JSON.stringify(name.slice(0, 80))} ${why}`);
  }
  if (sum > traits.metadataBytesMax) {
    throw unfit(`the metadata has ${sum} bytes, ${traits.metadataBytesMax} are allowed`);
  }
  if (attributes.expires !== undefined && !traits.keepsExpires) throw unfit("the Expires header is not kept here");
}

/** Size and CRC32C of parts as one; undefined where one of them states none. INTERNAL where they leave a gap. */
export function joined(parts: readonly HeldPart[]): {
  readonly sizeBytes: number;
  readonly crc32c: number | undefined;
} {
  let sizeBytes = 0;
  let crc: number | undefined = 0;
  let reached = 0;
  for (const part of parts) {
    if (part.first !== reached + 1) throw new SealiftError("INTERNAL", `part ${reached + 1} is missing`);
    reached = part.last;
    sizeBytes += part.sizeBytes;
    crc = crc === undefined || part.crc32c === undefined ? undefined : combineCrc32c(crc, part.crc32c, part.sizeBytes);
  }
  return { sizeBytes, crc32c: crc };
}

/** Those that hold anything of the range. */
export const within = <T extends HeldPart>(parts: readonly T[], only: PartRange | undefined): readonly T[] =>
  only === undefined ? parts : parts.filter(({ first, last }) => first <= only.last && last >= only.first);

export const matchesPin = (pin: VersionPin, head: Pick<ObjectHead, "version" | "etag">): boolean =>
  pin.version === undefined ? pin.etag === head.etag : pin.version === head.version;

/** STORE_EXISTS or STORE_CHANGED where the put's condition does not hold against what stands there now. */
export function checkCondition(
  condition: PutOptions["condition"],
  key: string,
  standing: Pick<ObjectHead, "version" | "etag"> | undefined,
): void {
  if (condition === "any") return;
  if (condition === "absent") {
    if (standing === undefined) return;
    throw new SealiftError("STORE_EXISTS", "an object stands there already", { object: key });
  }
  if (standing !== undefined && matchesPin(condition, standing)) return;
  const what = standing === undefined ? "the object is gone" : "another version stands there";
  throw new SealiftError("STORE_CHANGED", what, { object: key });
}

export const notFound = (key: string): SealiftError =>
  new SealiftError("STORE_NOT_FOUND", "there is no such object", { object: key });

export const changed = (key: string): SealiftError =>
  new SealiftError("STORE_CHANGED", "another version stands there", { object: key });

export const cut = (key: string, actualBytes: number, sizeBytes: number): SealiftError =>
  new SealiftError("STORE_CUT", `the body had ${actualBytes} of ${sizeBytes} bytes`, { object: key });

export const checksum = (key: string, why: string): SealiftError =>
  new SealiftError("STORE_CHECKSUM", why, { object: key });
