/**
 * Tink envelope encryption (tink-go, aead/kms_envelope_aead.go; the same in Java and Python): the wrapped key stands before the body.
 *
 *   metadata  sealift-tink, sealift-tink-key           ours alone, marker.ts
 *   object    | prefix | n: u32 | wrapped key: n | nonce: v |    start.ts
 *             | ciphertext: m | tag: 16 |                        open.ts; authenticates the reader's associated data too
 *
 * The key service binds nothing to the data key, neither additional data nor an encryption context. Associated data is stored nowhere:
 * it is taken to be empty unless the mark says otherwise, and only opening a whole body shows whether it was.
 */
import { randomBytes } from "node:crypto";
import { DataKey, type KeyContext, keyScheme, type KeyUri } from "../../core/key.ts";
import type { ByteStream, ObjectHead } from "../../core/object.ts";
import { SealiftError } from "../../core/error.ts";
import type { Envelope, FreshSeal, Seal, SealBytes } from "../envelope.ts";
import { headDecides } from "../foreign.ts";
import { forged } from "../s3ec/forged.ts";
import { sealGcm } from "../s3ec/gcm.ts";
import { about } from "../s3ec/names.ts";
import { adoptedKey, adoptGcm } from "./adopt.ts";
import { asAesGcmKey, CONVERTED, type Dek, DEKS, isAesGcm, type Secrets } from "./dek.ts";
import { malformed, unsupported } from "./fault.ts";
import { type KeysetMark, type Mark, markIn, marked } from "./marker.ts";
import { openBody } from "./open.ts";
import { ASSOCIATED, NONCE, PREFIX, PREFIX_TYPE } from "./seal.ts";
import { beginsStart, type PrefixType, readStart, type Start, startBytes, startSize, startWants } from "./start.ts";

const FORMAT = "tink";
const FRESH_KEY_BYTES = 32;
const UNCOMMITTED = ["uncommitted"] as const;

/** Of another writer's object, which only the job speaks for. */
const NOTE_ASSOCIATED = "Tink's associated data is not known: that the body opens is shown by its readers, not here";

function parse(mark: Mark, owns: readonly string[], head: ObjectHead, bytes: Uint8Array): Seal {
  const { content, prefixType, key, associated } = mark;
  const dek = dekOf(content);
  const { prefix, wrapped, nonce } = readStart(bytes, { prefixType, nonceBytes: dek.nonceBytes });
  const start = bytes.subarray(0, startSize({ prefix, wrapped, nonce }));
  plainSizeOf(head.sizeBytes - start.length, dek);
  const fixed = new Map([
    [NONCE, Buffer.from(nonce).toString("base64")],
    [PREFIX_TYPE, prefixType],
    [PREFIX, Buffer.from(prefix).toString("base64")],
    ...(associated === undefined ? [] : [[ASSOCIATED, associated] as const]),
  ]);
  return {
    format: FORMAT,
    content,
    wrap: keyScheme(key),
    wrapped: { scheme: keyScheme(key), uri: key, bytes: Uint8Array.from(wrapped) },
    context: new Map(),
    form: "none",
    fixed,
    owns,
    start: Uint8Array.from(start),
    advisories: UNCOMMITTED,
    notes: owns.length === 0 ? [NOTE_ASSOCIATED] : [],
  };
}

/** A broken mark asks for nothing: it is `read` that refuses it. */
function wants(head: ObjectHead, start: Uint8Array, claim: Mark | undefined): number {
  let mark: Mark | KeysetMark | undefined;
  try {
    mark = markIn(head.attributes.metadata) ?? (headDecides(head) ? undefined : claim);
  } catch {
    return 0;
  }
  if (mark === undefined || "keyset" in mark) return 0;
  return startWants(start, { ...mark, nonceBytes: dekOf(mark.content).nonceBytes });
}

/**
 * Without a mark, an object that begins as Tink's do is taken for one where the job says that there are such, whatever else is wrong
 * with it; one that does not is somebody else's.
 */
function read(head: ObjectHead, start: Uint8Array, claim: Mark | undefined): Seal | undefined {
  const mark = markIn(head.attributes.metadata);
  if (mark) return "keyset" in mark ? undefined : parse(mark, mark.owns, head, start);
  if (claim === undefined || headDecides(head) || !beginsStart(start, claim.prefixType)) return undefined;
  return parse(claim, [], head, start);
}

function dekOf(content: string): Dek {
  const dek = DEKS.get(content);
  if (dek) return dek;
  throw defect(`no Tink data key is called ${content}`);
}

function plainSizeOf(bodyBytes: number, { tagBytes, plainBytesMax }: Dek): number {
  const plainBytes = bodyBytes - tagBytes;
  if (plainBytes >= 0 && plainBytes <= plainBytesMax) return plainBytes;
  throw malformed(`no body under this type of data key has ${bodyBytes} bytes`);
}

function retarget(seal: Seal, to: KeyUri): Seal {
  if (keyScheme(to) === "local-rsa") throw unsupported("nothing is wrapped under local-rsa keys: they only open");
  return { ...seal, wrap: keyScheme(to), wrapped: undefined };
}

/** A wrapped seal as it stands. */
function standing(seal: Seal): { readonly start: Start; readonly mark: Mark } {
  const { wrapped, content, fixed } = seal;
  if (seal.format !== FORMAT) throw defect(`a seal of ${seal.format} was given to ${FORMAT}`);
  if (wrapped?.uri === undefined) throw defect("a seal was written before its key was wrapped by a key with a name");
  const bytesOf = (name: string) => Buffer.from(fixed.get(name) ?? "", "base64");
  const prefixType = fixed.get(PREFIX_TYPE) as PrefixType;
  return {
    start: { prefix: bytesOf(PREFIX), wrapped: wrapped.bytes, nonce: bytesOf(NONCE) },
    mark: { content, prefixType, key: wrapped.uri, associated: fixed.get(ASSOCIATED) },
  };
}

function write(seal: Seal): SealBytes {
  const { start, mark } = standing(seal);
  return { metadata: marked(mark), startBytes: startSize(start) };
}

const defect = (what: string): SealiftError => new SealiftError("INTERNAL", what);

function check({ content }: Seal, key: DataKey): void {
  if (dekOf(content).secretsIn(key.reveal()) === undefined) throw forged();
}

function fresh(context: KeyContext, to: KeyUri): FreshSeal {
  if (context.size > 0) throw unsupported("Tink binds no key context: leave keys.sealContext out, or seal as s3ec-v3");
  const bytes = randomBytes(FRESH_KEY_BYTES);
  const bare = new DataKey(bytes);
  bytes.fill(0);
  const fixed = new Map([
    [NONCE, randomBytes(dekOf(CONVERTED).nonceBytes).toString("base64")],
    [PREFIX_TYPE, "RAW"],
    [PREFIX, ""],
  ]);
  const seal: Seal = {
    format: FORMAT,
    content: CONVERTED,
    wrap: keyScheme(to),
    context: new Map(),
    form: "none",
    fixed,
    owns: [],
    advisories: UNCOMMITTED,
    notes: [],
  };
  try {
    return { seal: retarget(seal, to), dataKey: asAesGcmKey(bare) };
  } finally {
    bare.wipe();
  }
}

/** Called inside the generators: everything that goes wrong with a stream comes out of its iteration. */
function secretsOf({ content }: Seal, dataKey: DataKey): Secrets {
  const secrets = dekOf(content).secretsIn(dataKey.reveal());
  if (secrets === undefined) throw forged();
  return secrets;
}

const nonceOf = ({ fixed }: Seal): Uint8Array => Buffer.from(fixed.get(NONCE) ?? "", "base64");

async function* seal(plaintext: ByteStream, seal: Seal, dataKey: DataKey): ByteStream {
  if (!isAesGcm(seal.content)) throw unsupported("nothing new is sealed for Tink but with AES-GCM");
  const { key } = secretsOf(seal, dataKey);
  yield* sealGcm(plaintext, { key, iv: nonceOf(seal), aad: new Uint8Array() });
}

async function* open(ciphertext: ByteStream, seal: Seal, dataKey: DataKey): ByteStream {
  const associated = Buffer.from(seal.fixed.get(ASSOCIATED) ?? "", "hex");
  yield* openBody(ciphertext, dekOf(seal.content), secretsOf(seal, dataKey), { nonce: nonceOf(seal), associated });
}

function sealedSize(plainBytes: number, { content }: Seal): number {
  const { tagBytes, plainBytesMax } = dekOf(content);
  if (plainBytes <= plainBytesMax) return plainBytes + tagBytes;
  throw new SealiftError("TOO_LARGE", `at most ${plainBytesMax} bytes of plaintext in one Tink ciphertext`);
}

/**
 * `claim`: how objects without a mark are sealed, where the job says that there are such. `fromV3`: bodies of S3EC V3 become Tink's
 * too, at the price that adopt.ts tells.
 */
export const tinkWith = (claim: Mark | undefined, fromV3 = false): Envelope => ({
  id: FORMAT,
  verifies: "at-end",
  wants: (head, start) => wants(head, start, claim),
  read: (head, start) => about(head.key, () => read(head, start, claim)),
  retarget,
  adopt: (seal, to, bodyBytes) => adoptGcm(seal, to, { bodyBytes, fromV3 }),
  adoptKey: adoptedKey,
  check,
  checksKeyAlone: true,
  write,
  advisories: UNCOMMITTED,
  start: (seal) => startBytes(standing(seal).start),
  fresh,
  seal,
  open,
  sealedSize,
  plainSize: (sealedBytes, { content }) => plainSizeOf(sealedBytes, dekOf(content)),
});

/** Of objects with a mark alone. */
export const tink: Envelope = tinkWith(undefined);
