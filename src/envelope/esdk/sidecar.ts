/**
 * A message of the AWS Encryption SDK, byte for byte as it was, and its data key wrapped once more beside it:
 *
 *   metadata  sealift-esdk-key       base64 of the wrapped data key
 *             sealift-esdk-wrap      aws-kms | gcp-kms | local-kms
 *             sealift-esdk-uri       the URI of the key that wraps it
 *             sealift-esdk-message   suite, a slash, base64 of the message id: 0478/...
 *   object    the message
 *
 * The data key is bound to the message's own key context and one pair more, `sealift:esdk-message` with the value of the fourth name,
 * by AWS KMS as pairs, by the others as canonical JSON (RFC 8785). Keys in the header stay: whoever could open the message before
 * still can, and a signature still holds. For readers there is the keyring of this package.
 */
import { type KeyContext, type KeyUri, keyScheme, keyUri, type WrappedKey } from "../../core/key.ts";
import type { ObjectHead } from "../../core/object.ts";
import type { Envelope, Seal, SealBytes } from "../envelope.ts";
import { providerOf, schemeCalled } from "./held.ts";
import { isMessage } from "./magic.ts";
import {
  checkMessage,
  ESDK,
  messageOf,
  NOTHING_KEPT_OUT,
  openMessage,
  plainMessageSize,
  readMessage,
  sealedMessageSize,
  sealMessage,
  wantsHeader,
} from "./message.ts";
import { BESIDE, BESIDE_KEY, BESIDE_MESSAGE, BESIDE_URI, BESIDE_WRAP, isBeside } from "./names.ts";
import { defect, malformed, unsupported } from "./refusal.ts";

const SIDECAR = "esdk-sidecar";
/** The pair that names the message. */
const RESERVED = "sealift:esdk-message";
const BASE64 = /^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$|^[A-Za-z0-9+/]{2,3}={1,2}$/;

/** A seal of either envelope as it stands beside the message under `to`, its key not wrapped yet. Throws SEAL_UNSUPPORTED. */
export function beside(seal: Seal, to: KeyUri): Seal {
  const wrap = providerOf(to);
  if (seal.format === SIDECAR) return { ...seal, wrap, wrapped: undefined };
  const context = boundContext(seal.context, nameOf(seal));
  return { ...seal, format: SIDECAR, wrap, wrapped: undefined, others: undefined, context, form: undefined };
}

function nameOf(seal: Seal): string {
  const { suite, messageId } = messageOf(seal);
  return `${suite.id}/${Buffer.from(messageId).toString("base64")}`;
}

function read(head: ObjectHead, start: Uint8Array, keptOut: KeyContext): Seal | undefined {
  const found = readBeside(head.attributes.metadata);
  if (found === undefined) return undefined;
  if (!isMessage(start)) throw malformed(`${BESIDE_MESSAGE} beside what is no message`);
  const { wrap, wrapped, owns } = found;
  const message = readMessage(start, head.sizeBytes, keptOut);
  const name = nameOf({ ...message, wrap });
  if (found.message !== name) throw malformed(`${BESIDE_MESSAGE} names another message than it stands beside`);
  const context = boundContext(message.context, name);
  return { ...message, format: SIDECAR, wrap, wrapped, context, form: undefined, owns };
}

export interface Beside {
  readonly wrap: string;
  readonly wrapped: WrappedKey;
  /** The message that it says it is about. */
  readonly message: string;
  readonly owns: readonly string[];
}

/** undefined where nothing of it is there. Throws SEAL_MALFORMED, SEAL_UNSUPPORTED. */
export function readBeside(metadata: ReadonlyMap<string, string>): Beside | undefined {
  const { values, owns } = fieldsOf(metadata);
  if (owns.length === 0) return undefined;
  const missing = BESIDE.filter((name) => !values.get(name));
  if (missing.length > 0) throw malformed(`${missing.join(", ")} is missing beside it`);
  const [key, wrap, uri, message] = BESIDE.map((name) => values.get(name) ?? "") as [string, string, string, string];
  return { wrap, wrapped: { scheme: schemeOf(wrap), uri: uriOf(uri, wrap), bytes: bytesOf(key) }, message, owns };
}

/** What the data key is bound to beside its message. Throws SEAL_UNSUPPORTED where the message's own pairs say so too. */
export function boundContext(context: KeyContext, message: string): KeyContext {
  if (context.has(RESERVED)) throw unsupported(`its key context holds ${RESERVED}, which is ours`);
  return new Map([...context, [RESERVED, message]]);
}

/** By lower-case name, and the names as the object spells them. */
function fieldsOf(metadata: ReadonlyMap<string, string>) {
  const values = new Map<string, string>();
  const owns: string[] = [];
  for (const [spelled, value] of metadata) {
    const name = spelled.toLowerCase();
    if (!isBeside(name)) continue;
    if (values.has(name)) throw malformed(`${name} stands twice beside it, in two spellings`);
    values.set(name, value);
    owns.push(spelled);
  }
  return { values, owns };
}

function schemeOf(wrap: string) {
  const scheme = schemeCalled(wrap);
  if (scheme === undefined)
    throw unsupported(`data keys wrapped as ${JSON.stringify(wrap.slice(0, 64))} (${BESIDE_WRAP})`);
  return scheme;
}

function uriOf(text: string, wrap: string): KeyUri {
  try {
    const uri = keyUri(text);
    if (keyScheme(uri) === schemeOf(wrap)) return uri;
  } catch {
    // Told below, without the text.
  }
  throw malformed(`${BESIDE_URI} is not the URI of a key of ${wrap}`);
}

function bytesOf(text: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  if (!BASE64.test(text) || bytes.toString("base64") !== text) throw malformed(`${BESIDE_KEY} is not base64`);
  return bytes;
}

function write(seal: Seal): SealBytes {
  const { format, wrapped, wrap } = seal;
  if (format !== SIDECAR) throw defect(`a seal of ${format} was given to ${SIDECAR}`);
  if (wrapped?.uri === undefined || wrapped.raw || providerOf(wrapped.uri) !== wrap) {
    throw defect(`a key wrapped by ${wrapped?.scheme ?? "nobody"} in a seal for ${wrap}`);
  }
  const metadata = new Map([
    [BESIDE_KEY, Buffer.from(wrapped.bytes).toString("base64")],
    [BESIDE_WRAP, wrap],
    [BESIDE_URI, wrapped.uri],
    [BESIDE_MESSAGE, nameOf(seal)],
  ]);
  return { metadata, startBytes: 0 };
}

/** `keptOut`: pairs that writers left out of their messages (message.ts). */
export const sidecarWith = (keptOut: KeyContext): Envelope => ({
  id: SIDECAR,
  verifies: "at-end",
  wants: ({ attributes: { metadata } }, start) =>
    [...metadata.keys()].some((name) => isBeside(name.toLowerCase())) ? wantsHeader(start) : 0,
  read: (head, start) => read(head, start, keptOut),
  retarget: beside,
  check: checkMessage,
  write,
  fresh: () => {
    throw unsupported(`nothing new is sealed beside its message: choose ${ESDK}`);
  },
  seal: sealMessage,
  open: openMessage,
  sealedSize: sealedMessageSize,
  plainSize: plainMessageSize,
});

export const esdkSidecar = sidecarWith(NOTHING_KEPT_OUT);
