/**
 * S3EC format V2: the envelope in the object's metadata, the body bare (S3EC specification, data-format/content-metadata.md).
 *
 *   metadata  x-amz-key-v2     base64 of the wrapped data key
 *             x-amz-wrap-alg   kms+context | kms | gcp-kms+context | local-kms+context | a bare key's, raw.ts
 *             x-amz-matdesc    JSON: the key context; under a bare key the materials description
 *             x-amz-cek-alg    AES/GCM/NoPadding        | AES/CBC/PKCS5Padding
 *             x-amz-iv         base64 of 12 bytes       | of 16
 *             x-amz-tag-len    128                      | absent or 0
 *             x-amz-unencrypted-content-length          informational, optional
 *             sealift-key, sealift-aad                  with our two wraps only
 *   body      | ciphertext: n | tag: 16 |               | blocks of 16, padded |
 *
 * The data key is the body's key: nothing commits the one to the other, so only opening the whole body proves them.
 */
import { randomBytes } from "node:crypto";
import type { Advisory } from "../../core/advisory.ts";
import type { KeyContext, KeyUri } from "../../core/key.ts";
import { DataKey, keyScheme } from "../../core/key.ts";
import type { ByteStream, ObjectHead } from "../../core/object.ts";
import type { Envelope, FreshSeal, Seal, SealBytes } from "../envelope.ts";
import { adoptTink, adoptTinkKey } from "./adopt.ts";
import { CBC_IV_BYTES, cbcPlainSize, cbcSealedSize, openCbc } from "./cbc.ts";
import { boundTo, contextText, demandBound, NOTE_DESCRIPTION, parseContext, RESERVED } from "./context.ts";
import { base64OfSize, bytesOf, decimalField, required } from "./fields.ts";
import { forged } from "./forged.ts";
import { GCM_IV_BYTES, gcmPlainSize, gcmSealedSize, openGcm, sealGcm } from "./gcm.ts";
import type { GcmParameters } from "./gcm.ts";
import { instructionFile } from "./instruction.ts";
import {
  about,
  CEK_ALG,
  fieldsOf,
  generationOf,
  IV,
  KEY_V2,
  malformed,
  MATDESC,
  PLAIN_LENGTH,
  PLAIN_MD5,
  TAG_LEN,
  unsupported,
  WRAP_ALG,
} from "./names.ts";
import type { Fields } from "./names.ts";
import { bindsContent, isRaw, V1_RAW, V2_RAW } from "./raw.ts";
import { KMS_CONTEXT, KMS_PLAIN, namedKey, readWrapped, openerOf, renamedKey, wrapUnder, writtenWrap } from "./wrap.ts";

const GCM = "AES/GCM/NoPadding";
export const CBC = "AES/CBC/PKCS5Padding";
const TAG_BITS = "128";
/** The PHP and Go clients have written 128- and 192-bit keys. */
const KEY_SIZES = [16, 24, 32];
const FRESH_KEY_BYTES = 32;

const NOTE_MD5 = `${PLAIN_MD5} dropped: it tells the plaintext (CVE-2022-2582)`;
const NOTE_TAG_LEN = `${TAG_LEN} was missing and is written as ${TAG_BITS}`;
const NOTE_KEY_ID = "kms_cmk_id in the key context now names the destination key";

function parse(fields: Fields, sizeBytes: number): Seal {
  const { values, owns } = fields;
  const wrap = required(values, WRAP_ALG);
  const opener = openerOf(wrap, V2_RAW, [KMS_CONTEXT, KMS_PLAIN], WRAP_ALG);
  const content = required(values, CEK_ALG);
  if (content !== GCM && content !== CBC) {
    throw unsupported(`content encrypted as ${JSON.stringify(content.slice(0, 64))} (${CEK_ALG}) is not carried`);
  }
  // Java binds the name of AES-GCM even there, so that a body relabelled from GCM to CBC (CVE-2020-8912) would look the same.
  if (content === CBC && typeof opener === "object" && bindsContent(opener.algorithm)) {
    throw unsupported(`an AES-CBC body with its key wrapped as ${wrap}: clients disagree on what binds the two`);
  }
  const fixed = bodyOf(values, content, sizeBytes);
  const context = parseContext(values.get(MATDESC), MATDESC);
  demandBound(context, content, wrap === KMS_CONTEXT);
  const wrapped = readWrapped(values, KEY_V2, { name: wrap, opener, content, context });
  const [advisories, notes] = [advisoriesOf(content, wrap), notesOf(values, content)];
  return { format: s3ecV2.id, content, wrap, wrapped, context, fixed, owns, advisories, notes };
}

/** The parameters of a body, after a look at whether any plaintext has its size. */
export function bodyOf(
  values: ReadonlyMap<string, string>,
  content: string,
  sizeBytes: number,
): ReadonlyMap<string, string> {
  const fixed = fixedOf(values, content);
  checkSize(content, sizeBytes, decimalField(values, PLAIN_LENGTH));
  return fixed;
}

function fixedOf(values: ReadonlyMap<string, string>, content: string): ReadonlyMap<string, string> {
  base64OfSize(values, IV, content === GCM ? GCM_IV_BYTES : CBC_IV_BYTES);
  const tagBits = values.get(TAG_LEN);
  // The C++ client writes "0" on CBC. A GCM object without the field is read by the Go client, with it by all.
  if (tagBits !== undefined && tagBits !== (content === GCM ? TAG_BITS : "0")) {
    throw malformed(`${TAG_LEN} does not fit ${content}`);
  }
  const kept = [IV, TAG_LEN, PLAIN_LENGTH];
  return new Map([...values].filter(([name]) => kept.includes(name)));
}

/** The stated length is not authenticated, but one that cannot be true shows a damaged or forged envelope. */
function checkSize(content: string, sizeBytes: number, statedBytes: number | undefined): void {
  if (content === GCM) gcmPlainSize(sizeBytes);
  else cbcPlainSize(sizeBytes);
  if (statedBytes === undefined) return;
  const expected = content === GCM ? statedBytes + (sizeBytes - gcmPlainSize(sizeBytes)) : cbcSealedSize(statedBytes);
  if (expected !== sizeBytes)
    throw malformed(`${PLAIN_LENGTH} ${statedBytes} does not fit a body of ${sizeBytes} bytes`);
}

export function advisoriesOf(content: string, wrap: string): Advisory[] {
  const algorithm = V1_RAW.get(wrap) ?? V2_RAW.get(wrap);
  const isUnbound = wrap === KMS_PLAIN || (algorithm !== undefined && !bindsContent(algorithm));
  return [content === GCM ? "uncommitted" : "cbc", ...(isUnbound ? (["unbound"] as const) : [])];
}

export function notesOf(values: ReadonlyMap<string, string>, content: string): string[] {
  const notes: string[] = [];
  if (content === GCM && !values.has(TAG_LEN)) notes.push(NOTE_TAG_LEN);
  if (values.has(PLAIN_MD5)) notes.push(NOTE_MD5);
  return notes;
}

/** `kms` stays `kms`, also on its way back from another cloud: only `kms+context` puts the reserved pair into the context. */
function retarget(seal: Seal, to: KeyUri): Seal {
  if (isRaw(seal.wrap)) return underKms(seal, to);
  const wrapped = undefined;
  if (keyScheme(to) !== "aws-kms") return { ...seal, wrap: wrapUnder(to, KMS_CONTEXT), wrapped };
  if (seal.wrap !== KMS_PLAIN && seal.context.has(RESERVED)) return { ...seal, wrap: KMS_CONTEXT, wrapped };
  // From another cloud it may be V1, which named no key: the SDK for Java 1 opens no `kms` without the name.
  const context = seal.wrap === KMS_PLAIN ? renamedKey(seal.context, to) : namedKey(seal.context, to);
  const renamed = contextText(context) !== contextText(seal.context);
  return { ...seal, wrap: KMS_PLAIN, context, wrapped, notes: renamed ? [...seal.notes, NOTE_KEY_ID] : seal.notes };
}

/** V1 has the same bodies and cannot name a KMS: it becomes V2 under one anyway. */
function adopt(seal: Seal, to: KeyUri): Seal {
  if (seal.format === "s3ec-v1") return retarget({ ...seal, format: s3ecV2.id }, to);
  return adoptTink(seal, to);
}

/** From a bare key to a KMS. Official readers open AES-CBC under AWS KMS as `kms` only. */
function underKms(seal: Seal, to: KeyUri): Seal {
  const isGcm = seal.content === GCM;
  const toAws = keyScheme(to) === "aws-kms";
  const context = isGcm ? boundTo(seal.context, GCM) : toAws ? namedKey(seal.context, to) : seal.context;
  const notes = seal.context.size > 0 ? [...seal.notes, NOTE_DESCRIPTION] : seal.notes;
  return { ...seal, wrap: wrapUnder(to, isGcm ? KMS_CONTEXT : KMS_PLAIN), context, wrapped: undefined, notes };
}

function write(seal: Seal): SealBytes {
  const { key, own } = writtenWrap(seal, s3ecV2.id);
  const metadata = new Map([
    [KEY_V2, key],
    [WRAP_ALG, seal.wrap],
    [MATDESC, contextText(seal.context)],
    [CEK_ALG, seal.content],
    ...(seal.content === GCM ? [[TAG_LEN, TAG_BITS] as const] : []),
    ...seal.fixed,
    ...own,
  ]);
  return { metadata, startBytes: 0 };
}

function check(_seal: Seal, key: DataKey): void {
  if (!KEY_SIZES.includes(key.sizeBytes)) throw forged();
}

function fresh(context: KeyContext, to: KeyUri): FreshSeal {
  const bytes = randomBytes(FRESH_KEY_BYTES);
  const dataKey = new DataKey(bytes);
  bytes.fill(0);
  const fixed = new Map([
    [IV, randomBytes(GCM_IV_BYTES).toString("base64")],
    [TAG_LEN, TAG_BITS],
  ]);
  const wrap = wrapUnder(to, KMS_CONTEXT);
  const bound = boundTo(context, GCM);
  const advisories = advisoriesOf(GCM, wrap);
  const seal = { format: s3ecV2.id, content: GCM, wrap, context: bound, fixed, owns: [], advisories, notes: [] };
  return { seal, dataKey };
}

/** Called inside the generators: everything that goes wrong with a stream comes out of its iteration. */
function parametersOf(seal: Seal, key: DataKey): GcmParameters {
  check(seal, key);
  return { key: key.reveal(), iv: bytesOf(seal.fixed, IV), aad: new Uint8Array() };
}

async function* seal(plaintext: ByteStream, seal: Seal, key: DataKey): ByteStream {
  if (seal.content !== GCM) throw unsupported("nothing new is sealed with AES-CBC");
  yield* sealGcm(plaintext, parametersOf(seal, key));
}

async function* open(ciphertext: ByteStream, seal: Seal, key: DataKey): ByteStream {
  const parameters = parametersOf(seal, key);
  if (seal.content === GCM) yield* openGcm(ciphertext, parameters);
  else yield* openCbc(ciphertext, parameters.key, parameters.iv);
}

export const s3ecV2: Envelope = {
  id: "s3ec-v2",
  verifies: "at-end",
  wants: () => 0,
  divided: [instructionFile],
  read: (head: ObjectHead) =>
    about(head.key, () => {
      const fields = fieldsOf(head.attributes.metadata);
      return generationOf(fields) === "v2" ? parse(fields, head.sizeBytes) : undefined;
    }),
  retarget,
  adopt,
  adoptKey: adoptTinkKey,
  check,
  checksKeyAlone: true,
  write,
  advisories: ["uncommitted"],
  fresh,
  seal,
  open,
  sealedSize: (plainBytes, { content }) => (content === GCM ? gcmSealedSize(plainBytes) : cbcSealedSize(plainBytes)),
  plainSize: (sealedBytes, { content }) => (content === GCM ? gcmPlainSize(sealedBytes) : cbcPlainSize(sealedBytes)),
};
