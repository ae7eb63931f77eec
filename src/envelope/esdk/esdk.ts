/**
 * Messages of the AWS Encryption SDK whose own header holds the data key (message.ts, which draws them), and where the data key goes under
 * another key: into the header, in place of all that were there, or beside the message, which then stays as it is.
 *
 *   suite                unsigned, version 1   unsigned, version 2   signed
 *   auto                 header                beside                beside
 *   sidecar              beside                beside                beside
 *   in-place             header                header, with a note   header, signed anew, with a note
 *
 * A signature is over the header too, and the writer's key is gone: where the header is written anew, so is the signature, by a key made
 * for the message and named in its context, to which the data key is bound again.
 */
import type { KeyContext, KeyUri } from "../../core/key.ts";
import type { Ending, Envelope, Seal } from "../envelope.ts";
import { headDecides } from "../foreign.ts";
import {
  checkMessage,
  ESDK,
  freshMessage,
  messageOf,
  NOTE_HELD,
  NOTHING_KEPT_OUT,
  openMessage,
  plainMessageSize,
  readHeld,
  sealedMessageSize,
  sealMessage,
  startMessage,
  wantsHeader,
  writeMessage,
} from "./message.ts";
import { providerOf } from "./held.ts";
import { SIGNER } from "./header.ts";
import { signedAnew } from "./resigned.ts";
import { Signer } from "./signer.ts";
import type { Signing } from "./suites.ts";
import { beside } from "./sidecar.ts";

export type EsdkPlace = "auto" | "sidecar" | "in-place";

const NOTE_REPLACED = "its header is written anew: one data key takes the place of all that were there";
const NOTE_REUSED =
  "two headers under one key and IV: whoever has both versions of the message can forge its body; let nobody keep the old one";

const NOTE_SIGNED =
  "signed anew once its own signature has held: from then on the signature says that it was moved so, not who wrote it";

/** As it is to stand, and who will sign it. */
interface SignedSeal extends Seal {
  readonly signer: Signer;
}

const signerOf = (seal: Seal): Signer | undefined => (seal as Partial<SignedSeal>).signer;

function inHeaderSigned(seal: Seal, signing: Signing, to: KeyUri): SignedSeal {
  const signer = new Signer(signing);
  const context = new Map([...seal.context, [SIGNER, signer.point]]);
  const notes = [NOTE_REPLACED, NOTE_SIGNED, ...(messageOf(seal).suite.version === 2 ? [NOTE_REUSED] : [])];
  return { ...inHeader(seal, to, notes), context, renewed: [SIGNER], signer };
}

function ending(from: Seal, to: Seal): Ending | undefined {
  const signer = signerOf(to);
  return signer && ((body, start, key) => signedAnew(body, { from, signer, start }, key));
}

function inHeader(seal: Seal, to: KeyUri, notes: readonly string[]): Seal {
  const own = seal.notes.filter((note) => !note.startsWith(NOTE_HELD));
  const wrap = providerOf(to);
  return { ...seal, wrap, wrapped: undefined, others: undefined, start: undefined, notes: [...own, ...notes] };
}

function retarget(place: EsdkPlace, seal: Seal, to: KeyUri): Seal {
  const { suite } = messageOf(seal);
  if (place === "sidecar") return beside(seal, to);
  if (suite.signing) return place === "auto" ? beside(seal, to) : inHeaderSigned(seal, suite.signing, to);
  if (suite.version === 1) return inHeader(seal, to, [NOTE_REPLACED]);
  return place === "auto" ? beside(seal, to) : inHeader(seal, to, [NOTE_REPLACED, NOTE_REUSED]);
}

/** `keptOut`: pairs that writers left out of their messages (message.ts). */
export const esdkAs = (place: EsdkPlace, keptOut: KeyContext = NOTHING_KEPT_OUT): Envelope => ({
  id: ESDK,
  verifies: "at-end",
  wants: (head, start) => (headDecides(head) ? 0 : wantsHeader(start)),
  read: (head, start) => readHeld(head, start, keptOut),
  retarget: (seal, to) => retarget(place, seal, to),
  check: checkMessage,
  write: writeMessage,
  start: startMessage,
  startsWithKey: true,
  ending,
  fresh: freshMessage,
  seal: sealMessage,
  open: openMessage,
  sealedSize: sealedMessageSize,
  plainSize: plainMessageSize,
});

export const esdk = esdkAs("auto");
