/**
 * Messages of the AWS Encryption SDK whose own header holds the data key (message.ts, which draws them), and where the data key goes under
 * another key: into the header, in place of all that were there, or beside the message, which then stays as it is.
 *
 *   suite                unsigned, version 1   unsigned, version 2   signed
 *   auto                 header                beside                beside
 *   sidecar              beside                beside                beside
 *   in-place             header                header, with a note   refused
 *
 * A signature is over the header too, and its key is gone.
 */
import type { KeyContext, KeyUri } from "../../core/key.ts";
import type { Envelope, Seal } from "../envelope.ts";
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
import { unsupported } from "./refusal.ts";
import { beside } from "./sidecar.ts";

export type EsdkPlace = "auto" | "sidecar" | "in-place";

const NOTE_REPLACED = "its header is written anew: one data key takes the place of all that were there";
const NOTE_REUSED =
  "two headers under one key and IV: whoever has both versions of the message can forge its body; let nobody keep the old one";

function inHeader(seal: Seal, to: KeyUri, notes: readonly string[]): Seal {
  const own = seal.notes.filter((note) => !note.startsWith(NOTE_HELD));
  const wrap = providerOf(to);
  return { ...seal, wrap, wrapped: undefined, others: undefined, start: undefined, notes: [...own, ...notes] };
}

function retarget(place: EsdkPlace, seal: Seal, to: KeyUri): Seal {
  const { suite } = messageOf(seal);
  if (place === "sidecar") return beside(seal, to);
  if (suite.signing) {
    if (place === "auto") return beside(seal, to);
    throw unsupported(
      `suite ${suite.id} is signed: no other header fits its signature (options.esdk: auto puts the key beside it)`,
    );
  }
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
  fresh: freshMessage,
  seal: sealMessage,
  open: openMessage,
  sealedSize: sealedMessageSize,
  plainSize: plainMessageSize,
});

export const esdk = esdkAs("auto");
