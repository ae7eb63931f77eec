/**
 * S3EC V2 with AES-GCM and Tink with AES-GCM encrypt alike: key, nonce, no additional data, tag at the end. Such a body stands in a
 * Tink envelope unchanged, behind a start that holds what the metadata held. V1 and CBC bodies do not: they are of another cipher.
 *
 * A body of V3 is AES-GCM as well, under a key that is derived from the data key, with an IV of 01 x 12 and the two bytes of its
 * suite as additional data. Where the job asks for it, the derived key becomes Tink's data key: readers have to pass these bytes as
 * associated data, nothing commits to the key any more, and as nobody can undo a derivation, there is no way back.
 */
import { type DataKey, type KeyUri, keyScheme } from "../../core/key.ts";
import type { Seal } from "../envelope.ts";
import { RESERVED } from "../s3ec/context.ts";
import { IV, TAG_LEN } from "../s3ec/names.ts";
import { derivedKey, V3_IV } from "../s3ec/v3.ts";
import { asAesGcmKey, CONVERTED } from "./dek.ts";
import { unsupported } from "./fault.ts";
import { V3_ASSOCIATED } from "./marker.ts";
import { ASSOCIATED, NONCE, PREFIX, PREFIX_TYPE } from "./seal.ts";

const V3 = "s3ec-v3";
const GCM_V2 = { format: "s3ec-v2", content: "AES/GCM/NoPadding" };
/** Tink's readers hold ciphertext and plaintext in memory; Java's end at 2 GiB. */
const COMFORTABLE_BYTES = 2 ** 30;

const NOTE_LARGE = "larger than 1 GiB: Tink's readers hold all of it in memory, Java's cannot above 2 GiB";
const NOTE_RAW = "the materials description is not kept: Tink has no place for it";
const NOTE_V3 =
  "readers have to pass the bytes 00 73 as associated data; its key commitment is lost, and there is no way back to V3";
const noteLost = (names: readonly string[]) =>
  `the key context is not kept, Tink binds none: ${names.map((name) => JSON.stringify(name.slice(0, 64))).join(", ")}`;

interface Adoption {
  readonly bodyBytes: number;
  /** Bodies of V3 are adopted, too. */
  readonly fromV3: boolean;
}

/** Throws SEAL_UNSUPPORTED, saying why. */
export function adoptGcm(seal: Seal, to: KeyUri, { bodyBytes, fromV3 }: Adoption): Seal {
  const isV3 = seal.format === V3 && fromV3;
  if (!isV3 && (seal.format !== GCM_V2.format || seal.content !== GCM_V2.content)) throw unsupported(whyNot(seal));
  if (keyScheme(to) === "local-rsa") throw unsupported("nothing is wrapped under local-rsa keys: they only open");
  return {
    format: "tink",
    content: CONVERTED,
    wrap: keyScheme(to),
    context: new Map(),
    form: "none",
    fixed: new Map([
      [NONCE, isV3 ? Buffer.from(V3_IV).toString("base64") : (seal.fixed.get(IV) ?? "")],
      [PREFIX_TYPE, "RAW"],
      [PREFIX, ""],
      ...(isV3 ? [[ASSOCIATED, V3_ASSOCIATED] as const] : []),
    ]),
    owns: seal.owns,
    advisories: isV3 ? ["uncommitted"] : seal.advisories,
    notes: [
      ...seal.notes.filter((note) => !note.startsWith(TAG_LEN)),
      ...(isV3 ? [NOTE_V3] : []),
      ...losses(seal, bodyBytes),
    ],
  };
}

/** The key of an adopted body as Tink wraps it. The caller wipes both. */
export function adoptedKey(seal: Seal, key: DataKey): DataKey {
  if (seal.format !== V3) return asAesGcmKey(key);
  const bodyKey = derivedKey(seal, key);
  try {
    return asAesGcmKey(bodyKey);
  } finally {
    bodyKey.wipe();
  }
}

function losses({ context, wrapped }: Seal, bodyBytes: number): string[] {
  const lost = [...context.keys()].filter((name) => name !== RESERVED);
  const notes = lost.length === 0 ? [] : [wrapped?.raw ? NOTE_RAW : noteLost(lost)];
  return bodyBytes > COMFORTABLE_BYTES ? [...notes, NOTE_LARGE] : notes;
}

function whyNot({ format, content }: Seal): string {
  const body = `a body of ${format}, ${content}, cannot stand in a Tink envelope unchanged`;
  if (format === V3) {
    const price = "V3 seals under a derived key with additional data, and commits to the key";
    return `${body} for ordinary readers: ${price} (options.tinkFromV3 converts it all the same; read what that costs)`;
  }
  if (content.includes("CBC")) return `${body}: it is AES-CBC, and Tink has only authenticated encryption`;
  return `${body}: only AES-GCM bodies of s3ec-v2 can`;
}
