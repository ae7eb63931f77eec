/**
 * No client-side envelope.
 *
 *   body      | as it is |
 *
 * An object is plain only where nothing in its head speaks for an envelope, nor in its first bytes (AWS Encryption SDK messages).
 */
import { SealiftError } from "../core/error.ts";
import type { Envelope } from "./envelope.ts";
import { isMessage } from "./esdk/magic.ts";
import { headDecides, refuseForeign } from "./foreign.ts";
import { about, fieldsOf, generationOf } from "./s3ec/names.ts";
import { markIn } from "./tink/marker.ts";

const cannotSeal = (): SealiftError =>
  new SealiftError("SEAL_UNSUPPORTED", "plain is no seal: choose s3ec-v2 or s3ec-v3");

export const plain: Envelope = {
  id: "plain",
  verifies: "never",
  wants: () => 0,
  read: (head, start) => {
    const generation = about(head.key, () => generationOf(fieldsOf(head.attributes.metadata)));
    if (generation !== undefined || about(head.key, () => markIn(head.attributes.metadata))) return undefined;
    refuseForeign(head);
    if (headDecides(head) || isMessage(start)) return undefined;
    return {
      format: plain.id,
      content: "none",
      wrap: "none",
      context: new Map(),
      fixed: new Map(),
      owns: [],
      notes: [],
    };
  },
  retarget: (seal) => seal,
  check: () => {},
  write: () => ({ metadata: new Map(), startBytes: 0 }),
  fresh: () => {
    throw cannotSeal();
  },
  seal: () => {
    throw cannotSeal();
  },
  open: (ciphertext) => ciphertext,
  sealedSize: (plainBytes) => plainBytes,
  plainSize: (sealedBytes) => sealedBytes,
};
