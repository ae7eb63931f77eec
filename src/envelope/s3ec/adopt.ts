/**
 * Bodies that stand in S3EC V2 unchanged: AES-GCM ones of Tink (tink/adopt.ts, the way back), AES-CBC ones of V1. Of Tink's associated
 * data nothing is stored: S3EC has none, so it is taken to be empty, and where it was not, the object does not open.
 */
import { DataKey, type KeyUri } from "../../core/key.ts";
import type { Seal } from "../envelope.ts";
import { bareAesKey, isAesGcm } from "../tink/dek.ts";
import { ASSOCIATED, NONCE } from "../tink/seal.ts";
import { boundTo } from "./context.ts";
import { forged } from "./forged.ts";
import { IV, TAG_LEN, unsupported } from "./names.ts";
import { KMS_CONTEXT, wrapUnder } from "./wrap.ts";

const GCM = "AES/GCM/NoPadding";
const NOTE_ASSOCIATED =
  "Tink's associated data is taken to be empty: where a writer passed any, the object does not open (verify --full tells)";

/** Throws SEAL_UNSUPPORTED, saying why. */
export function adoptTink(seal: Seal, to: KeyUri): Seal {
  const { format, content, fixed, owns, advisories, notes } = seal;
  if (format !== "tink" || !isAesGcm(content)) {
    throw unsupported(`a body of ${format}, ${content}, cannot stand in s3ec-v2 unchanged`);
  }
  if (fixed.has(ASSOCIATED))
    throw unsupported("its body was one of s3ec-v3 and is bound to associated data, which s3ec-v2 has none of");
  return {
    format: "s3ec-v2",
    content: GCM,
    wrap: wrapUnder(to, KMS_CONTEXT),
    context: boundTo(new Map(), GCM),
    fixed: new Map([
      [IV, fixed.get(NONCE) ?? ""],
      [TAG_LEN, "128"],
    ]),
    owns,
    advisories,
    notes: [...notes, NOTE_ASSOCIATED],
  };
}

/** The caller wipes both. */
export function adoptTinkKey(seal: Seal, key: DataKey): DataKey {
  if (seal.format !== "tink") return new DataKey(key.reveal());
  const bare = bareAesKey(key);
  if (bare === undefined) throw forged();
  return bare;
}
