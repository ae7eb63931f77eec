/**
 * Azure Storage client-side encryption, protocols 1.0, 2.0 and 2.1: the envelope is one JSON document in the metadata, document.ts. Read,
 * rewrapped and opened; nothing new is sealed this way. Snowflake writes the document of protocol 1.0 on Google Cloud Storage too.
 *
 *   metadata  encryptiondata      JSON, of which a rewrap changes WrappedContentKey alone
 *   body      | blocks of 16, padded |                           1.0: AES-CBC
 *             | nonce: 12 | ciphertext | tag: 16 | ...           2.0 and 2.1: AES-GCM in regions, regions.ts
 *
 * What is wrapped is the key (1.0), or eight bytes that name the protocol and then the key: readers compare them with the document, so
 * that nobody can relabel a body. They are wrapped again as they stand.
 */
import { type DataKey, type KeyContext, type KeyUri, keyScheme } from "../../core/key.ts";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream, ObjectHead } from "../../core/object.ts";
import type { Envelope, Seal, SealBytes } from "../envelope.ts";
import { cbcPlainSize, cbcSealedSize, openCbc } from "../s3ec/cbc.ts";
import { forged } from "../s3ec/forged.ts";
import { about } from "../s3ec/names.ts";
import { type Body, bodyOf, CBC, readDocument, writeDocument } from "./document.ts";
import { documentIn, ENCRYPTION_DATA, type FoundDocument, malformed, unsupported } from "./names.ts";
import { openRegions, regionsPlainSize, regionsSealedSize } from "./regions.ts";
import { readWrapped, wrapUnder } from "./wrap.ts";

const KEY_ID = "KeyId";
const KEY_BYTES = 32;
/** Snowflake encrypts with AES-128 under some accounts and names the algorithm as ever. */
const CBC_KEY_SIZES = [16, KEY_BYTES];
const PREFIX_BYTES = 8;

const NOTE_EDGE = "a body that was cut between two regions cannot be told from a whole one";
const noteKeyId = (keyId: string) => `KeyId ${JSON.stringify(keyId.slice(0, 256))} now names the destination key`;

function parse({ text, owns }: FoundDocument, sizeBytes: number): Seal {
  const { wrapped: stored, rest } = readDocument(text);
  const body = bodyOf(text);
  const wrapped = readWrapped(stored, body);
  plainSizeOf(sizeBytes, body);
  // Under a bare key it describes the key to its owner, and is bound to nothing.
  const context: KeyContext = new Map(wrapped.raw ? [[KEY_ID, stored.keyId]] : []);
  return {
    format: azure.id,
    content: body.content,
    wrap: stored.algorithm,
    wrapped,
    context,
    ...(wrapped.raw ? {} : { form: "none" as const }),
    fixed: new Map([[ENCRYPTION_DATA, rest]]),
    owns,
    advisories: [body.content === CBC ? "cbc" : "uncommitted"],
    notes: body.content === CBC ? [] : [NOTE_EDGE],
  };
}

function retarget(seal: Seal, to: KeyUri): Seal {
  const keyId = seal.context.get(KEY_ID);
  const notes = keyId === undefined ? seal.notes : [...seal.notes, noteKeyId(keyId)];
  return { ...seal, wrap: wrapUnder(to), wrapped: undefined, context: new Map(), form: "none", notes };
}

function write(seal: Seal): SealBytes {
  const { wrapped, wrap, context } = seal;
  if (seal.format !== azure.id) throw defect(`a seal of ${seal.format} was given to ${azure.id}`);
  if (wrapped === undefined) throw defect("a seal was written before its key was wrapped");
  const keyId = wrapped.raw ? context.get(KEY_ID) : wrapped.uri;
  if (keyId === undefined || (wrapped.raw === undefined && keyScheme(keyId as KeyUri) !== wrap)) {
    throw defect(`a key wrapped by ${wrapped.scheme} in a seal for ${wrap}`);
  }
  const encryptedKey = Buffer.from(wrapped.bytes).toString("base64");
  const document = writeDocument(documentOf(seal), { keyId, encryptedKey, algorithm: wrap });
  return { metadata: new Map([[ENCRYPTION_DATA, document]]), startBytes: 0 };
}

const documentOf = ({ fixed }: Seal): string => fixed.get(ENCRYPTION_DATA) ?? "";
const defect = (what: string): SealiftError => new SealiftError("INTERNAL", what);

/** The body's own key within the data key; undefined where it is not one of this protocol. A view. */
function bodyKey({ content, protocol }: Body, dataKey: DataKey): Uint8Array | undefined {
  const bytes = dataKey.reveal();
  if (content === CBC) return CBC_KEY_SIZES.includes(bytes.length) ? bytes : undefined;
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.write(protocol);
  const fits = bytes.length === PREFIX_BYTES + KEY_BYTES && prefix.equals(bytes.subarray(0, PREFIX_BYTES));
  return fits ? bytes.subarray(PREFIX_BYTES) : undefined;
}

function check(seal: Seal, key: DataKey): void {
  if (bodyKey(bodyOf(documentOf(seal)), key) === undefined) throw forged();
}

async function* open(ciphertext: ByteStream, seal: Seal, dataKey: DataKey): ByteStream {
  const body = bodyOf(documentOf(seal));
  const key = bodyKey(body, dataKey);
  if (key === undefined) throw forged();
  if (body.content === CBC) yield* openCbc(ciphertext, key, body.iv);
  else yield* openRegions(ciphertext, key, body.regionBytes);
}

function plainSizeOf(sealedBytes: number, { content, regionBytes }: Body): number | undefined {
  if (content !== CBC) return regionsPlainSize(sealedBytes, regionBytes);
  if (sealedBytes < 16 || sealedBytes % 16 !== 0) throw malformed(`no AES-CBC body has ${sealedBytes} bytes`);
  return cbcPlainSize(sealedBytes);
}

const cannotSeal = () => unsupported("nothing new is sealed as Azure's clients do: choose s3ec-v2 or s3ec-v3");

export const azure: Envelope = {
  id: "azure",
  verifies: "at-end",
  wants: () => 0,
  read: (head: ObjectHead) =>
    about(head.key, () => {
      const found = documentIn(head.attributes.metadata);
      return found && parse(found, head.sizeBytes);
    }),
  retarget,
  check,
  write,
  fresh: () => {
    throw cannotSeal();
  },
  seal: () => {
    throw cannotSeal();
  },
  open,
  sealedSize: (plainBytes, seal) => {
    const { content, regionBytes } = bodyOf(documentOf(seal));
    return content === CBC ? cbcSealedSize(plainBytes) : regionsSealedSize(plainBytes, regionBytes);
  },
  plainSize: (sealedBytes, seal) => plainSizeOf(sealedBytes, bodyOf(documentOf(seal))),
};
