/**
 * Tink envelope encryption (tink-go, aead/kms_envelope_aead.go; the same in Java and Python): the wrapped key stands before the body.
 *
 *   metadata  sealift-tink, sealift-tink-key           ours alone, marker.ts
 *   object    | prefix | n: u32 | wrapped key: n | nonce: 12 |   start.ts
 *             | ciphertext: m | tag: 16 |                        AES-GCM, additional data: the reader's associated data
 *
 * The key service binds nothing to the data key, neither additional data nor an encryption context. Associated data is stored nowhere:
 * it is taken to be empty, and only opening a whole body shows whether it was.
 */
import { randomBytes } from "node:crypto";
import { DataKey, type KeyContext, keyScheme, type KeyUri } from "../../core/key.ts";
import type { ByteStream, ObjectHead } from "../../core/object.ts";
import { SealiftError } from "../../core/error.ts";
import type { Envelope, FreshSeal, Seal, SealBytes } from "../envelope.ts";
import { forged } from "../s3ec/forged.ts";
import { type GcmParameters, openGcm, sealGcm } from "../s3ec/gcm.ts";
import { about } from "../s3ec/names.ts";
import { adoptGcm } from "./adopt.ts";
import { asAesGcmKey, CONVERTED, type Dek, DEKS } from "./dek.ts";
import { malformed, unsupported } from "./fault.ts";
import { type FoundMark, markIn, marked } from "./marker.ts";
import { NONCE, PREFIX, PREFIX_TYPE } from "./seal.ts";
import { type PrefixType, readStart, type Start, startBytes, startSize, startWants } from "./start.ts";

const FRESH_KEY_BYTES = 32;
const UNCOMMITTED = ["uncommitted"] as const;

function parse(mark: FoundMark, head: ObjectHead, bytes: Uint8Array): Seal {
  const { content, prefixType, key, owns } = mark;
  const dek = dekOf(content);
  const { prefix, wrapped, nonce } = readStart(bytes, { prefixType, nonceBytes: dek.nonceBytes });
  const start = bytes.subarray(0, startSize({ prefix, wrapped, nonce }));
  plainSizeOf(head.sizeBytes - start.length, dek);
  const fixed = new Map([
    [NONCE, Buffer.from(nonce).toString("base64")],
    [PREFIX_TYPE, prefixType],
    [PREFIX, Buffer.from(prefix).toString("base64")],
  ]);
  return {
    format: tink.id,
    content,
    wrap: keyScheme(key),
    wrapped: { scheme: keyScheme(key), uri: key, bytes: Uint8Array.from(wrapped) },
    context: new Map(),
    form: "none",
    fixed,
    owns,
    start: Uint8Array.from(start),
    advisories: UNCOMMITTED,
    notes: [],
  };
}

/** A broken mark asks for nothing: it is `read` that refuses it. */
function wholeMark({ attributes }: ObjectHead): FoundMark | undefined {
  try {
    return markIn(attributes.metadata);
  } catch {
    return undefined;
  }
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
function standing(seal: Seal): { readonly start: Start; readonly mark: FoundMark } {
  const { wrapped, content, fixed } = seal;
  if (seal.format !== tink.id) throw defect(`a seal of ${seal.format} was given to ${tink.id}`);
  if (wrapped?.uri === undefined) throw defect("a seal was written before its key was wrapped by a key with a name");
  const bytesOf = (name: string) => Buffer.from(fixed.get(name) ?? "", "base64");
  const prefixType = fixed.get(PREFIX_TYPE) as PrefixType;
  return {
    start: { prefix: bytesOf(PREFIX), wrapped: wrapped.bytes, nonce: bytesOf(NONCE) },
    mark: { content, prefixType, key: wrapped.uri, owns: [] },
  };
}

function write(seal: Seal): SealBytes {
  const { start, mark } = standing(seal);
  return { metadata: marked(mark), startBytes: startSize(start) };
}

const defect = (what: string): SealiftError => new SealiftError("INTERNAL", what);

function check({ content }: Seal, key: DataKey): void {
  if (dekOf(content).keyIn(key.reveal()) === undefined) throw forged();
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
    format: tink.id,
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
function parametersOf({ content, fixed }: Seal, dataKey: DataKey): GcmParameters {
  const key = dekOf(content).keyIn(dataKey.reveal());
  if (key === undefined) throw forged();
  return { key, iv: Buffer.from(fixed.get(NONCE) ?? "", "base64"), aad: new Uint8Array() };
}

async function* seal(plaintext: ByteStream, seal: Seal, key: DataKey): ByteStream {
  yield* sealGcm(plaintext, parametersOf(seal, key));
}

async function* open(ciphertext: ByteStream, seal: Seal, key: DataKey): ByteStream {
  yield* openGcm(ciphertext, parametersOf(seal, key));
}

function sealedSize(plainBytes: number, { content }: Seal): number {
  const { tagBytes, plainBytesMax } = dekOf(content);
  if (plainBytes <= plainBytesMax) return plainBytes + tagBytes;
  throw new SealiftError("TOO_LARGE", `at most ${plainBytesMax} bytes of plaintext in one Tink ciphertext`);
}

export const tink: Envelope = {
  id: "tink",
  verifies: "at-end",
  wants: (head, start) => {
    const mark = wholeMark(head);
    return mark ? startWants(start, { ...mark, nonceBytes: dekOf(mark.content).nonceBytes }) : 0;
  },
  read: (head, start) =>
    about(head.key, () => {
      const mark = markIn(head.attributes.metadata);
      return mark && parse(mark, head, start);
    }),
  retarget,
  adopt: adoptGcm,
  adoptKey: (_seal, key) => asAesGcmKey(key),
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
};
