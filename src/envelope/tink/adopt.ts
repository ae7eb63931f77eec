/**
 * S3EC V2 with AES-GCM and Tink with AES-GCM encrypt alike: key, nonce, no additional data, tag at the end. Such a body stands in a
 * Tink envelope unchanged, behind a start that holds what the metadata held. Nothing else does: V1 and CBC bodies are of another
 * cipher, and V3 seals under a derived key with additional data, and a commitment that Tink has no place for.
 */
import { type KeyUri, keyScheme } from "../../core/key.ts";
import type { Seal } from "../envelope.ts";
import { RESERVED } from "../s3ec/context.ts";
import { IV, TAG_LEN } from "../s3ec/names.ts";
import { CONVERTED } from "./dek.ts";
import { unsupported } from "./fault.ts";
import { NONCE, PREFIX, PREFIX_TYPE } from "./seal.ts";

const GCM_V2 = { format: "s3ec-v2", content: "AES/GCM/NoPadding" };
/** Tink's readers hold ciphertext and plaintext in memory; Java's end at 2 GiB. */
const COMFORTABLE_BYTES = 2 ** 30;

const NOTE_LARGE = "larger than 1 GiB: Tink's readers hold all of it in memory, Java's cannot above 2 GiB";
const NOTE_RAW = "the materials description is not kept: Tink has no place for it";
const noteLost = (names: readonly string[]) =>
  `the key context is not kept, Tink binds none: ${names.map((name) => JSON.stringify(name.slice(0, 64))).join(", ")}`;

/** Throws SEAL_UNSUPPORTED, saying why. */
export function adoptGcm(seal: Seal, to: KeyUri, bodyBytes: number): Seal {
  if (seal.format !== GCM_V2.format || seal.content !== GCM_V2.content) throw unsupported(whyNot(seal));
  if (keyScheme(to) === "local-rsa") throw unsupported("nothing is wrapped under local-rsa keys: they only open");
  return {
    format: "tink",
    content: CONVERTED,
    wrap: keyScheme(to),
    context: new Map(),
    form: "none",
    fixed: new Map([
      [NONCE, seal.fixed.get(IV) ?? ""],
      [PREFIX_TYPE, "RAW"],
      [PREFIX, ""],
    ]),
    owns: seal.owns,
    advisories: seal.advisories,
    notes: [...seal.notes.filter((note) => !note.startsWith(TAG_LEN)), ...losses(seal, bodyBytes)],
  };
}

function losses({ context, wrapped }: Seal, bodyBytes: number): string[] {
  const lost = [...context.keys()].filter((name) => name !== RESERVED);
  const notes = lost.length === 0 ? [] : [wrapped?.raw ? NOTE_RAW : noteLost(lost)];
  return bodyBytes > COMFORTABLE_BYTES ? [...notes, NOTE_LARGE] : notes;
}

function whyNot({ format, content }: Seal): string {
  const body = `a body of ${format}, ${content}, cannot stand in a Tink envelope unchanged`;
  if (format === "s3ec-v3") return `${body}: V3 seals under a derived key with additional data, and commits to the key`;
  if (content.includes("CBC")) return `${body}: it is AES-CBC, and Tink has only authenticated encryption`;
  return `${body}: only AES-GCM bodies of s3ec-v2 can`;
}
