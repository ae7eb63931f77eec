/**
 * Tink's encrypted keysets (tink-go, keyset/; tink-py, tink/_keyset_writer.py): the whole object is the envelope, and the secret in it is
 * a serialized Keyset, wrapped by a key service and bound to nothing. A rewrap changes the wrapped keyset and no other byte.
 *
 *   JSON     { "encryptedKeyset": base64, "keysetInfo": { ... } }
 *   BINARY   12 | length: varint | wrapped keyset |  1a | length: varint | keyset info |
 *
 * Neither names the key that wraps it, so a job has to. What is encrypted under the keyset (streaming AEAD among it) stays as it is.
 */
import { type DataKey, keyScheme } from "../../core/key.ts";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream, ObjectHead } from "../../core/object.ts";
import type { Envelope, Seal, SealBytes } from "../envelope.ts";
import { headDecides } from "../foreign.ts";
import { Leaves, spliced } from "../leaves.ts";
import { forged } from "../s3ec/forged.ts";
import { about } from "../s3ec/names.ts";
import { malformed, unsupported } from "./fault.ts";
import { KEYSET, type KeysetFormat, type KeysetMark, markIn, marked } from "./marker.ts";
import { bytesAt, fieldsOf, messageOf } from "./proto.ts";
import { tink } from "./tink.ts";

const FORMAT = "tink-keyset";
/** Of the whole object. */
const OBJECT_BYTES_MAX = 64 * 1024;
/** No key service that is spoken to wraps more, nor makes more of it. */
const KEYSET_BYTES_MAX = 4096;
const WRAPPED_BYTES_MAX = 6144;
/** The first byte of each. */
const FIRST_BYTE: Readonly<Record<KeysetFormat, number>> = { JSON: 0x7b, BINARY: 0x12 };
const PLACE = "encryptedKeyset";
/** All of the object but the wrapped keyset: text, or base64. */
const REST = "rest";

interface Parts {
  readonly wrapped: Uint8Array;
  readonly rest: string;
}

/** undefined: the object is no such keyset. */
function partsOf(object: Uint8Array, format: KeysetFormat): Parts | undefined {
  return format === "JSON" ? jsonParts(object) : binaryParts(object);
}

function jsonParts(object: Uint8Array): Parts | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(object);
    const leaves = new Leaves(text, malformed);
    const leaf = leaves.at(PLACE);
    if (typeof leaf?.value !== "string" || !leaves.has("keysetInfo")) return undefined;
    const wrapped = Buffer.from(leaf.value, "base64");
    if (wrapped.toString("base64") !== leaf.value) return undefined;
    return { wrapped, rest: spliced(text, [{ leaf, becomes: "" }]) };
  } catch {
    return undefined;
  }
}

/** Field 2, and then nothing but field 3. */
function binaryParts(object: Uint8Array): Parts | undefined {
  const fields = fieldsOf(object);
  const wrapped = bytesAt(fields, 2);
  if (fields === undefined || wrapped === undefined || object[0] !== FIRST_BYTE.BINARY) return undefined;
  if ([...fields.keys()].some((number) => number !== 2 && number !== 3)) return undefined;
  const start = messageOf(2, wrapped);
  if (!start.equals(object.subarray(0, start.length))) return undefined;
  return { wrapped, rest: Buffer.from(object.subarray(start.length)).toString("base64") };
}

function objectOf({ content, fixed }: Seal, wrapped: Uint8Array): Buffer {
  const rest = fixed.get(REST) ?? "";
  if (content === `${KEYSET}/BINARY`) return Buffer.concat([messageOf(2, wrapped), Buffer.from(rest, "base64")]);
  const leaf = new Leaves(rest, malformed).at(PLACE);
  if (leaf === undefined) throw defect("a keyset without the place of its wrapped keyset");
  return Buffer.from(spliced(rest, [{ leaf, becomes: Buffer.from(wrapped).toString("base64") }]));
}

const defect = (what: string): SealiftError => new SealiftError("INTERNAL", what);

/** The claim is nobody's where the metadata speaks for a format. */
function markOf(
  head: ObjectHead,
  claim: KeysetMark | undefined,
): (KeysetMark & { owns: readonly string[] }) | undefined {
  const mark = markIn(head.attributes.metadata);
  if (mark !== undefined) return "keyset" in mark ? mark : undefined;
  return claim === undefined || headDecides(head) ? undefined : { ...claim, owns: [] };
}

function wants(head: ObjectHead, start: Uint8Array, claim: KeysetMark | undefined): number {
  try {
    const mark = markOf(head, claim);
    if (mark === undefined || head.sizeBytes > OBJECT_BYTES_MAX) return 0;
    if (start.length === 0) return Math.min(1, head.sizeBytes);
    return start[0] === FIRST_BYTE[mark.keyset] ? head.sizeBytes : start.length;
  } catch {
    // It is `read` that refuses a broken mark.
    return 0;
  }
}

function read(head: ObjectHead, start: Uint8Array, claim: KeysetMark | undefined): Seal | undefined {
  const mark = markOf(head, claim);
  if (mark === undefined) return undefined;
  const { keyset, key, owns } = mark;
  const isWhole = start.length === head.sizeBytes && head.sizeBytes <= OBJECT_BYTES_MAX;
  const parts = isWhole ? partsOf(start, keyset) : undefined;
  if (parts === undefined) {
    if (owns.length > 0) throw malformed(`it is marked as an encrypted keyset and is none in ${keyset}`);
    return undefined;
  }
  const { wrapped, rest } = parts;
  if (wrapped.length === 0) throw malformed("its wrapped keyset is empty");
  if (wrapped.length > WRAPPED_BYTES_MAX)
    throw unsupported(`a wrapped keyset of ${wrapped.length} bytes is not carried`);
  return {
    format: FORMAT,
    content: `${KEYSET}/${keyset}`,
    wrap: keyScheme(key),
    wrapped: { scheme: keyScheme(key), uri: key, bytes: Uint8Array.from(wrapped) },
    context: new Map(),
    form: "none",
    fixed: new Map([[REST, rest]]),
    owns,
    start: Uint8Array.from(start),
    notes: ["an encrypted keyset: the keys in it change hands, what is encrypted under them stays as it is"],
  };
}

function wrappedOf(seal: Seal): { readonly object: Buffer; readonly mark: KeysetMark } {
  const { wrapped, content } = seal;
  if (seal.format !== FORMAT) throw defect(`a seal of ${seal.format} was given to ${FORMAT}`);
  if (wrapped?.uri === undefined) throw defect("a keyset was written before it was wrapped by a key with a name");
  const keyset = content === `${KEYSET}/BINARY` ? "BINARY" : "JSON";
  return { object: objectOf(seal, wrapped.bytes), mark: { keyset, key: wrapped.uri } };
}

function write(seal: Seal): SealBytes {
  const { object, mark } = wrappedOf(seal);
  return { metadata: marked(mark), startBytes: object.length };
}

/** A Keyset: the id of its primary key, and at least one key. */
function check(_seal: Seal, key: DataKey): void {
  const fields = fieldsOf(key.reveal(), [2]);
  const isKeyset = typeof fields?.get(1) === "number" && bytesAt(fields, 2) !== undefined && fields.size === 2;
  if (!isKeyset) throw forged();
  if (key.sizeBytes > KEYSET_BYTES_MAX) throw unsupported(`a keyset of ${key.sizeBytes} bytes is not carried`);
}

/** The secret is the key itself, and it is printed nowhere: the body has no byte. */
async function* open(ciphertext: ByteStream): ByteStream {
  for await (const chunk of ciphertext) {
    if (chunk.length > 0) throw forged();
    yield chunk;
  }
}

const cannotSeal = () => unsupported("a keyset seals nothing new here");

/** `claim`: which keysets there are without a mark, where the job says that there are such. */
export const keysetWith = (claim: KeysetMark | undefined): Envelope => ({
  id: FORMAT,
  verifies: "at-end",
  wants: (head, start) => wants(head, start, claim),
  read: (head, start) => about(head.key, () => read(head, start, claim)),
  retarget: (seal, to) => tink.retarget(seal, to),
  check,
  checksKeyAlone: true,
  write,
  start: (seal) => wrappedOf(seal).object,
  fresh: () => {
    throw cannotSeal();
  },
  seal: () => {
    throw cannotSeal();
  },
  open,
  sealedSize: (plainBytes) => {
    if (plainBytes > 0) throw new SealiftError("TOO_LARGE", "a keyset has no body");
    return 0;
  },
  plainSize: (sealedBytes) => {
    if (sealedBytes > 0) throw malformed("a keyset has no body");
    return 0;
  },
});

/** Of objects with a mark alone. */
export const tinkKeyset: Envelope = keysetWith(undefined);
