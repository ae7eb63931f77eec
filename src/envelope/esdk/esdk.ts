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
  type JoinedSeal,
  type Message,
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
import { type Drops, holdAlike, staying } from "./joined.ts";
import { signedAnew } from "./resigned.ts";
import { Signer } from "./signer.ts";
import type { Signing } from "./suites.ts";
import { unsupported } from "./refusal.ts";
import { beside } from "./sidecar.ts";

export type EsdkPlace = "auto" | "sidecar" | "in-place";
/** What becomes of the data keys that a header holds when it is written anew. */
export type EsdkKeys = "replace" | "add";

export interface EsdkWays {
  readonly place: EsdkPlace;
  readonly keys?: EsdkKeys | undefined;
  /** With `add`: those of the header's data keys that do not stay. */
  readonly drops?: Drops | undefined;
  /** Pairs that writers left out of their messages (message.ts). */
  readonly keptOut?: KeyContext | undefined;
}

const NOTE_REPLACED = "its header is written anew: one data key takes the place of all that were there";
const NOTE_REUSED =
  "two headers under one key and IV: whoever has both versions of the message can forge its body; let nobody keep the old one";

const NOTE_JOINED = "its header is written anew: one data key joins those that were there";
const NOTE_KEPT = "its header stays as it is, also with the data keys that options.esdkDrop names";
const noteDropped = (name: string): string => `its data key of ${JSON.stringify(name.slice(0, 160))} is dropped`;
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

function joined(seal: Seal, to: KeyUri, drops: Drops | undefined, notes: readonly string[]): JoinedSeal {
  const { kept, dropped } = staying(seal, to, drops);
  return { ...inHeader(seal, to, [NOTE_JOINED, ...dropped.map(noteDropped), ...notes]), kept };
}

const goesBeside = (place: EsdkPlace, { suite }: Message): boolean =>
  place === "sidecar" || (place === "auto" && (suite.signing !== undefined || suite.version === 2));

/** Of one that the job's key opens already: false, if others have to go that the job drops. */
function isSettled({ place, drops }: EsdkWays, seal: Seal): boolean {
  if (drops === undefined || goesBeside(place, messageOf(seal))) return true;
  return staying(seal, seal.wrapped?.uri, drops).dropped.length === 0;
}

function inHeader(seal: Seal, to: KeyUri, notes: readonly string[]): Seal {
  const own = seal.notes.filter((note) => !note.startsWith(NOTE_HELD));
  const wrap = providerOf(to);
  return { ...seal, wrap, wrapped: undefined, others: undefined, start: undefined, notes: [...own, ...notes] };
}

function retarget({ place, keys = "replace", drops }: EsdkWays, seal: Seal, to: KeyUri): Seal {
  const message = messageOf(seal);
  const { suite } = message;
  if (goesBeside(place, message)) {
    const stays = staying(seal, to, drops).dropped.length > 0;
    return beside(stays ? { ...seal, notes: [...seal.notes, NOTE_KEPT] } : seal, to);
  }
  if (suite.signing) {
    if (keys === "replace") return inHeaderSigned(seal, suite.signing, to);
    throw unsupported(
      `suite ${suite.id} is signed: a new signer changes what its other data keys are bound to (options.esdkKeys)`,
    );
  }
  const notes = suite.version === 2 ? [NOTE_REUSED] : [];
  return keys === "add" ? joined(seal, to, drops, notes) : inHeader(seal, to, [NOTE_REPLACED, ...notes]);
}

export function esdkIn(ways: EsdkWays): Envelope {
  const { keptOut = NOTHING_KEPT_OUT } = ways;
  return {
    id: ESDK,
    verifies: "at-end",
    wants: (head, start) => (headDecides(head) ? 0 : wantsHeader(start)),
    read: (head, start) => readHeld(head, start, keptOut),
    retarget: (seal, to) => retarget(ways, seal, to),
    isSettled: (seal) => isSettled(ways, seal),
    startsAlike: holdAlike,
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
  };
}

export const esdk = esdkIn({ place: "auto" });
