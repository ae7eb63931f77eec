/**
 * S3EC format V1: the envelope in the object's metadata, the body bare (S3EC specification, data-format/content-metadata.md). Read
 * and opened; nothing is sealed this way, and under a KMS the object is written as V2, because V1 cannot name a wrap.
 *
 *   metadata  x-amz-key        base64 of the wrapped data key: AES/ECB (32 or 48 bytes) or RSA (the modulus)
 *             x-amz-iv         base64 of 16 bytes
 *             x-amz-matdesc    JSON: the materials description, bound to nothing
 *             x-amz-unencrypted-content-length          informational, optional
 *   body      | blocks of 16, padded |                  AES-CBC
 *
 * No algorithm is stored, so there is nothing to relabel: the body is AES-CBC, and the length of the wrapped key tells its wrap.
 */
import type { KeyUri } from "../../core/key.ts";
import type { ObjectHead } from "../../core/object.ts";
import type { Envelope, Seal, SealBytes } from "../envelope.ts";
import { contextText, demandBound, parseContext } from "./context.ts";
import { base64Field } from "./fields.ts";
import { about, fieldsOf, generationOf, KEY_V1, MATDESC, unsupported } from "./names.ts";
import type { Fields } from "./names.ts";
import { V1_RAW, wrapOfSize } from "./raw.ts";
import { advisoriesOf, bodyOf, CBC, notesOf, s3ecV2 } from "./v2.ts";
import { openerOf, readWrapped, writtenWrap } from "./wrap.ts";

const NOTE_V2 = "format V1 cannot name a KMS: written as V2, which the clients read in their legacy modes";

function parse({ values, owns }: Fields, sizeBytes: number): Seal {
  const wrap = wrapOfSize(base64Field(values, KEY_V1).length);
  const fixed = bodyOf(values, CBC, sizeBytes);
  const context = parseContext(values.get(MATDESC), MATDESC);
  demandBound(context, CBC, false);
  const opener = openerOf(wrap, V1_RAW, [], KEY_V1);
  const wrapped = readWrapped(values, KEY_V1, { name: wrap, opener, content: CBC, context });
  const [advisories, notes] = [advisoriesOf(CBC, wrap), notesOf(values, CBC)];
  return { format: s3ecV1.id, content: CBC, wrap, wrapped, context, fixed, owns, advisories, notes };
}

function retarget(seal: Seal, to: KeyUri): Seal {
  const moved = s3ecV2.retarget({ ...seal, format: s3ecV2.id }, to);
  return { ...moved, notes: [...moved.notes, NOTE_V2] };
}

function write(seal: Seal): SealBytes {
  const { key } = writtenWrap(seal, s3ecV1.id);
  const metadata = new Map([[KEY_V1, key], [MATDESC, contextText(seal.context)], ...seal.fixed]);
  return { metadata, startBytes: 0 };
}

const cannotSeal = () => unsupported("nothing new is sealed as s3ec-v1: choose s3ec-v2 or s3ec-v3");

/** Data key and body are as in V2, the envelope is not. */
export const s3ecV1: Envelope = {
  ...s3ecV2,
  id: "s3ec-v1",
  read: (head: ObjectHead) =>
    about(head.key, () => {
      const fields = fieldsOf(head.attributes.metadata);
      return generationOf(fields) === "v1" ? parse(fields, head.sizeBytes) : undefined;
    }),
  retarget,
  write,
  fresh: () => {
    throw cannotSeal();
  },
  seal: () => {
    throw cannotSeal();
  },
};
