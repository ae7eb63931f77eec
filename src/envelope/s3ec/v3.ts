/**
 * S3EC format V3: key-committing AES-GCM, the envelope in the object's metadata, the body bare (S3EC specification,
 * data-format/content-metadata.md, key-derivation.md, key-commitment.md).
 *
 *   metadata  x-amz-3   base64 of the wrapped data key
 *             x-amz-w   12 (kms+context) | gcp-kms+context | local-kms+context | 02, 22 (a bare key's, raw.ts)
 *             x-amz-t   JSON: the key context, with aws:x-amz-cek-alg = 115
 *             x-amz-m   JSON: under a bare key the materials description, instead
 *             x-amz-c   115, the suite 0x0073
 *             x-amz-d   base64 of the 28-byte key commitment
 *             x-amz-i   base64 of the 28-byte message id
 *             sealift-key, sealift-aad          with our two wraps only
 *   body      | ciphertext: n | tag: 16 |       AES-256-GCM, IV 01 x 12, AAD 00 73, key derived from data key and message id
 *
 * The IV is twelve times 0x01; pre-release clients used zeros, and what they wrote does not open.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { KeyContext, KeyUri } from "../../core/key.ts";
import { DataKey } from "../../core/key.ts";
import type { ByteStream, ObjectHead } from "../../core/object.ts";
import type { Envelope, FreshSeal, Seal, SealBytes } from "../envelope.ts";
import { bodyKeyOf, COMMITMENT_BYTES, commitmentOf, MESSAGE_ID_BYTES, SUITE } from "./commitment.ts";
import { boundTo, contextText, demandBound, NOTE_DESCRIPTION, parseContext } from "./context.ts";
import { base64OfSize, bytesOf, required } from "./fields.ts";
import { forged } from "./forged.ts";
import { GCM_IV_BYTES, gcmPlainSize, gcmSealedSize, openGcm, sealGcm } from "./gcm.ts";
import type { GcmParameters } from "./gcm.ts";
import { instructionFile } from "./instruction.ts";
import {
  about,
  fieldsOf,
  generationOf,
  KEY_V3,
  malformed,
  unsupported,
  V3_COMMITMENT,
  V3_CONTENT,
  V3_CONTEXT,
  V3_MATERIALS,
  V3_MESSAGE_ID,
  V3_WRAP,
} from "./names.ts";
import type { Fields } from "./names.ts";
import { V3_RAW } from "./raw.ts";
import { openerOf, readWrapped, V3_KMS_CONTEXT, wrapUnder, writtenWrap } from "./wrap.ts";

const CONTENT = "115";
export const V3_IV: Uint8Array = new Uint8Array(GCM_IV_BYTES).fill(1);
const KEY_BYTES = 32;
const RAW_AES = "02";
const GCM_WRAPPED_BYTES = GCM_IV_BYTES + KEY_BYTES + 16;

function parse({ values, owns }: Fields, sizeBytes: number): Seal {
  const wrap = required(values, V3_WRAP);
  const opener = openerOf(wrap, V3_RAW, [V3_KMS_CONTEXT], V3_WRAP);
  const content = required(values, V3_CONTENT);
  if (content !== CONTENT) {
    throw unsupported(`content encrypted as ${JSON.stringify(content.slice(0, 64))} (${V3_CONTENT}) is not carried`);
  }
  base64OfSize(values, V3_COMMITMENT, COMMITMENT_BYTES);
  if (isZero(base64OfSize(values, V3_MESSAGE_ID, MESSAGE_ID_BYTES))) throw malformed(`${V3_MESSAGE_ID} is all zero`);
  gcmPlainSize(sizeBytes);
  const context = contextOf(values, wrap);
  demandBound(context, content, !V3_RAW.has(wrap));
  const wrapped = readWrapped(values, KEY_V3, { name: wrap, opener, content, context });
  if (wrap === RAW_AES) base64OfSize(values, KEY_V3, GCM_WRAPPED_BYTES);
  const fixed = new Map([...values].filter(([name]) => name === V3_COMMITMENT || name === V3_MESSAGE_ID));
  return { format: s3ecV3.id, content, wrap, wrapped, context, fixed, owns, notes: [] };
}

/** Under a bare AES key the C++ client writes its description into the field of the context. */
function contextOf(values: ReadonlyMap<string, string>, wrap: string): KeyContext {
  const description = values.get(V3_MATERIALS) || undefined;
  const context = values.get(V3_CONTEXT) || undefined;
  const isRaw = V3_RAW.has(wrap);
  if (description !== undefined && !isRaw) throw malformed(`${V3_MATERIALS} beside a wrap by a KMS`);
  if (context !== undefined && isRaw && (wrap !== RAW_AES || description !== undefined)) {
    throw malformed(`${V3_CONTEXT} beside a wrap by a bare key`);
  }
  return description === undefined ? parseContext(context, V3_CONTEXT) : parseContext(description, V3_MATERIALS);
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** The context is carried whole: it binds the suite, and a reader on the way back expects it as it was. */
function retarget(seal: Seal, to: KeyUri): Seal {
  const moved = { ...seal, wrap: wrapUnder(to, V3_KMS_CONTEXT), wrapped: undefined };
  if (!V3_RAW.has(seal.wrap)) return moved;
  const notes = seal.context.size > 0 ? [...seal.notes, NOTE_DESCRIPTION] : seal.notes;
  return { ...moved, context: boundTo(seal.context, seal.content), notes };
}

function write(seal: Seal): SealBytes {
  const { key, own } = writtenWrap(seal, s3ecV3.id);
  const mapName = V3_RAW.has(seal.wrap) ? V3_MATERIALS : V3_CONTEXT;
  const metadata = new Map([
    [KEY_V3, key],
    [V3_WRAP, seal.wrap],
    [V3_CONTENT, seal.content],
    ...(seal.context.size > 0 ? [[mapName, contextText(seal.context)] as const] : []),
    ...seal.fixed,
    ...own,
  ]);
  return { metadata, startBytes: 0 };
}

/** Catches a wrapped key swapped under the same body, before anything is opened or wrapped again. */
function check(seal: Seal, key: DataKey): void {
  if (key.sizeBytes !== KEY_BYTES) throw forged();
  const stored = bytesOf(seal.fixed, V3_COMMITMENT);
  const derived = commitmentOf(key.reveal(), bytesOf(seal.fixed, V3_MESSAGE_ID));
  if (stored.length !== derived.length || !timingSafeEqual(stored, derived)) throw forged();
}

function fresh(context: KeyContext, to: KeyUri): FreshSeal {
  const bytes = randomBytes(KEY_BYTES);
  const messageId = freshMessageId();
  const fixed = new Map([
    [V3_COMMITMENT, commitmentOf(bytes, messageId).toString("base64")],
    [V3_MESSAGE_ID, messageId.toString("base64")],
  ]);
  const dataKey = new DataKey(bytes);
  bytes.fill(0);
  const wrap = wrapUnder(to, V3_KMS_CONTEXT);
  const bound = boundTo(context, CONTENT);
  return { seal: { format: s3ecV3.id, content: CONTENT, wrap, context: bound, fixed, owns: [], notes: [] }, dataKey };
}

/** All zero is refused by every reader. */
function freshMessageId(): Buffer {
  for (;;) {
    const messageId = randomBytes(MESSAGE_ID_BYTES);
    if (!isZero(messageId)) return messageId;
  }
}

async function* seal(plaintext: ByteStream, seal: Seal, key: DataKey): ByteStream {
  yield* withBodyKey(seal, key, (parameters) => sealGcm(plaintext, parameters));
}

async function* open(ciphertext: ByteStream, seal: Seal, key: DataKey): ByteStream {
  yield* withBodyKey(seal, key, (parameters) => openGcm(ciphertext, parameters));
}

/** The commitment first; then the derived key lives as long as the stream. */
async function* withBodyKey(seal: Seal, key: DataKey, stream: (parameters: GcmParameters) => ByteStream): ByteStream {
  check(seal, key);
  const bodyKey = bodyKeyOf(key.reveal(), bytesOf(seal.fixed, V3_MESSAGE_ID));
  try {
    yield* stream({ key: bodyKey, iv: V3_IV, aad: SUITE });
  } finally {
    bodyKey.fill(0);
  }
}

/** The key of the body itself, once the commitment has held: for a format that wraps that one. The caller wipes both. */
export function derivedKey(seal: Seal, key: DataKey): DataKey {
  check(seal, key);
  const bodyKey = bodyKeyOf(key.reveal(), bytesOf(seal.fixed, V3_MESSAGE_ID));
  try {
    return new DataKey(bodyKey);
  } finally {
    bodyKey.fill(0);
  }
}

export const s3ecV3: Envelope = {
  id: "s3ec-v3",
  verifies: "at-end",
  wants: () => 0,
  divided: [instructionFile],
  read: (head: ObjectHead) =>
    about(head.key, () => {
      const fields = fieldsOf(head.attributes.metadata);
      return generationOf(fields) === "v3" ? parse(fields, head.sizeBytes) : undefined;
    }),
  retarget,
  check,
  write,
  fresh,
  seal,
  open,
  sealedSize: (plainBytes) => gcmSealedSize(plainBytes),
  plainSize: (sealedBytes) => gcmPlainSize(sealedBytes),
};
