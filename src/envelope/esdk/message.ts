/**
 * Messages of the AWS Encryption SDK: the envelope stands before the body, in the object itself, and metadata says nothing.
 *
 *   object   | header (header.ts), its tag | body (body.ts) | footer (signature.ts), in suites that sign |
 *
 * The header's tag is made with the data key over all of the header, wrapped keys included, so that a data key which opens is proven
 * to be this message's. Where it goes under another key: esdk.ts.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { SealiftError } from "../../core/error.ts";
import { contextBytes, DataKey, type KeyContext, type KeyUri } from "../../core/key.ts";
import type { ByteStream, ObjectHead } from "../../core/object.ts";
import { type FreshSeal, type Seal, type SealBytes, START_BYTES_MAX } from "../envelope.ts";
import { headDecides } from "../foreign.ts";
import { openBody, plainSize, sealedSize, sealFrames, WHOLE_HEAD_BYTES } from "./body.ts";
import { bodyKey, checkCommitment, commitmentOf, headerTag } from "./derive.ts";
import {
  type Header,
  type HeaderBody,
  headerBody,
  type HeldKey,
  IV_BYTES,
  KEYS_MAX,
  missingBytes,
  parseHeader,
  parseWholeHeader,
  SIGNER,
  TAG_BYTES,
} from "./header.ts";
import { heldKey, openingsOf, providerOf } from "./held.ts";
import { isMessage, MAGIC_BYTES } from "./magic.ts";
import { defect, forged, malformed, unsupported } from "./refusal.ts";
import { Witness } from "./signature.ts";
import { COMMITMENT_BYTES, MESSAGE_ID_BYTES, type Suite, suiteCalled } from "./suites.ts";

export const ESDK = "esdk";
const CONTENT = "esdk-";
const MESSAGE_ID = "message-id";
const FRAME_BYTES = "frame-bytes";
const COMMITMENT = "commitment";
/** Names, as a JSON list; absent: none. */
const KEPT_OUT = "kept-out";
/** What official writers take where they are told nothing. */
const FRESH_FRAME_BYTES = 4096;
const FRESH_SUITE = "0478";

export const NOTE_HELD = "held by";

/** How much of the object's start holds the header; 0: it is no message, or a broken one. */
export function wantsHeader(start: Uint8Array): number {
  if (start.length < MAGIC_BYTES) return MAGIC_BYTES;
  if (!isMessage(start)) return 0;
  const missing = missingBytes(start);
  // A body in one piece says its length at its beginning, which is looked at too.
  if (missing === undefined) return wholeHead(start);
  // Asked for in doubling steps: fields are short and many.
  return Math.max(missing, 2 * start.length);
}

function wholeHead(start: Uint8Array): number {
  try {
    const { frameBytes, sizeBytes } = parseHeader(start);
    return frameBytes === 0 ? sizeBytes + WHOLE_HEAD_BYTES : 0;
  } catch {
    return 0;
  }
}

export const NOTHING_KEPT_OUT: KeyContext = new Map();

/**
 * The seal of a message as it stands, whoever holds its data key. `keptOut`: pairs that its writer left out of the header and bound
 * all the same (AWS Encryption SDK specification, framework/required-encryption-context-cmm.md); a name that the header has is the
 * header's. Throws SEAL_MALFORMED, SEAL_UNSUPPORTED.
 */
export function readMessage(start: Uint8Array, sizeBytes: number, keptOut: KeyContext): Omit<Seal, "wrap"> {
  const header = parseWholeHeader(start);
  const { suite, messageId, frameBytes, commitment } = header;
  checkSize(header, start, sizeBytes);
  const missing = [...keptOut].filter(([name]) => !header.context.has(name));
  const context = new Map([...header.context, ...missing]);
  const fixed = new Map([
    [MESSAGE_ID, base64(messageId)],
    [FRAME_BYTES, String(frameBytes)],
    ...(commitment ? [[COMMITMENT, base64(commitment)] as const] : []),
    ...(missing.length > 0 ? [[KEPT_OUT, JSON.stringify(missing.map(([name]) => name).sort())] as const] : []),
  ]);
  const whole = Uint8Array.from(start.subarray(0, header.sizeBytes));
  return {
    format: ESDK,
    content: CONTENT + suite.id,
    context,
    form: "esdk",
    fixed,
    owns: [],
    start: whole,
    advisories: suite.version === 1 ? ["uncommitted"] : [],
    notes: [],
  };
}

/** A message that was cut shows itself here where its length says so. */
function checkSize({ sizeBytes: headerBytes, frameBytes, suite }: Header, start: Uint8Array, sizeBytes: number): void {
  const isSigned = suite.signing !== undefined;
  plainSize(sizeBytes - headerBytes, frameBytes, isSigned);
  if (frameBytes > 0) return;
  const head = Buffer.from(start.subarray(headerBytes, headerBytes + WHOLE_HEAD_BYTES));
  if (head.length < WHOLE_HEAD_BYTES) throw unsupported(`its header is longer than ${START_BYTES_MAX} bytes`);
  const sealed = Number(head.readBigUInt64BE(IV_BYTES)) + WHOLE_HEAD_BYTES + TAG_BYTES;
  const rest = sizeBytes - headerBytes - sealed;
  if (isSigned ? rest < 0 : rest !== 0) throw malformed("its body is not as long as it says");
}

export function readHeld(head: ObjectHead, start: Uint8Array, keptOut: KeyContext): Seal | undefined {
  if (headDecides(head) || !isMessage(start)) return undefined;
  const message = orNoMessage(() => readMessage(start, head.sizeBytes, keptOut));
  const { keys } = parseWholeHeader(start);
  const { openings, closed } = openingsOf(keys, message.context);
  const [first, ...others] = openings;
  if (!first) throw unsupported(`its data key is held by ${closed.join(", ")} and by nothing that can be opened here`);
  return {
    ...message,
    wrap: first.wrap,
    wrapped: first.wrapped,
    ...(others.length === 0 ? {} : { others: others.map(({ wrapped }) => wrapped) }),
    notes: [...message.notes, ...closed.map((kind) => `${NOTE_HELD} ${kind} too, which is not opened here`)],
  };
}

/** Nothing but its first bytes says that it is one: the way out for those that are none is told with the refusal. */
function orNoMessage<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof SealiftError)) throw thrown;
    const told = `${thrown.message} (if it is no message at all, name it in options.plain)`;
    throw new SealiftError(thrown.code, told, { cause: thrown });
  }
}

/** What the body and the header's tag are made of. */
export interface Message {
  readonly suite: Suite;
  readonly messageId: Uint8Array;
  readonly frameBytes: number;
  readonly commitment: Uint8Array | undefined;
}

export function messageOf({ content, fixed }: Seal): Message {
  const suite = suiteCalled(content.slice(CONTENT.length));
  const messageId = bytesIn(fixed, MESSAGE_ID);
  if (!suite || messageId.length !== MESSAGE_ID_BYTES[suite.version]) throw defect("a seal of no message");
  const commitment = suite.version === 2 ? bytesIn(fixed, COMMITMENT) : undefined;
  if (commitment && commitment.length !== COMMITMENT_BYTES) throw defect("a seal without its commitment");
  return { suite, messageId, frameBytes: Number(fixed.get(FRAME_BYTES)), commitment };
}

const bytesIn = (fixed: ReadonlyMap<string, string>, name: string): Buffer =>
  Buffer.from(fixed.get(name) ?? "", "base64");
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

/** Throws SEAL_FORGED where the key is not the message's, or its header is not as it was written. */
export function checkMessage(seal: Seal, dataKey: DataKey): void {
  checkedKey(seal, dataKey).fill(0);
}

/** The key of the body, once the header has proven it. The caller wipes it. */
export function checkedKey(seal: Seal, dataKey: DataKey): Buffer {
  const { suite, messageId, commitment } = messageOf(seal);
  if (commitment) checkCommitment(suite, messageId, commitment, dataKey);
  const key = bodyKey(suite, messageId, dataKey);
  if (seal.start === undefined || isSignedBy(key, seal.start, keptOutBytes(seal))) return key;
  key.fill(0);
  throw forged();
}

function isSignedBy(key: Uint8Array, start: Uint8Array, keptOut: Uint8Array): boolean {
  const { iv, tag, signedBytes } = parseHeader(start);
  return timingSafeEqual(headerTag(key, iv, Buffer.concat([start.subarray(0, signedBytes), keptOut])), tag);
}

const keptOutNames = ({ fixed }: Seal): readonly string[] => JSON.parse(fixed.get(KEPT_OUT) ?? "[]") as string[];

/** What the tag is over behind the header: the pairs that are not in it. */
const keptOutBytes = (seal: Seal): Uint8Array =>
  contextBytes(new Map(keptOutNames(seal).map((name) => [name, seal.context.get(name) ?? ""])), "esdk");

export async function* openMessage(ciphertext: ByteStream, seal: Seal, dataKey: DataKey): ByteStream {
  const { suite, messageId, frameBytes } = messageOf(seal);
  const key = checkedKey(seal, dataKey);
  try {
    const { signing } = suite;
    const witness = signing && new Witness(signing, seal.context.get(SIGNER) ?? "");
    witness?.sees(seal.start ?? new Uint8Array());
    yield* openBody(ciphertext, { key, messageId, frameBytes, witness });
  } finally {
    key.fill(0);
  }
}

export const sealedMessageSize = (plainBytes: number, seal: Seal): number =>
  sealedSize(plainBytes, messageOf(seal).frameBytes);

export function plainMessageSize(sealedBytes: number, seal: Seal): number | undefined {
  const { frameBytes, suite } = messageOf(seal);
  return plainSize(sealedBytes, frameBytes, suite.signing !== undefined);
}

export async function* sealMessage(plaintext: ByteStream, seal: Seal, dataKey: DataKey): ByteStream {
  const { suite, messageId, frameBytes } = messageOf(seal);
  if (suite.signing || frameBytes === 0) throw unsupported("nothing new is sealed with a signature, or in one piece");
  const key = bodyKey(suite, messageId, dataKey);
  try {
    yield* sealFrames(plaintext, { key, messageId, frameBytes });
  } finally {
    key.fill(0);
  }
}

export function freshMessage(context: KeyContext, to: KeyUri): FreshSeal {
  const suite = suiteCalled(FRESH_SUITE) as Suite;
  const bytes = randomBytes(suite.keyBytes);
  const dataKey = new DataKey(bytes);
  bytes.fill(0);
  const messageId = randomBytes(MESSAGE_ID_BYTES[suite.version]);
  const fixed = new Map([
    [MESSAGE_ID, base64(messageId)],
    [FRAME_BYTES, String(FRESH_FRAME_BYTES)],
    [COMMITMENT, base64(commitmentOf(suite, messageId, dataKey))],
  ]);
  const wrap = providerOf(to);
  return {
    seal: { format: ESDK, content: CONTENT + suite.id, wrap, context, form: "esdk", fixed, owns: [], notes: [] },
    dataKey,
  };
}

/** A seal whose data key joins those that the message holds already. */
export interface JoinedSeal extends Seal {
  readonly kept: readonly HeldKey[];
}

function unsignedHeader(seal: Seal): Buffer {
  if (seal.wrapped === undefined) throw defect("a seal was written before its key was wrapped");
  const { kept = [] } = seal as Partial<JoinedSeal>;
  const hidden = keptOutNames(seal);
  const context = new Map([...seal.context].filter(([name]) => !hidden.includes(name)));
  const body: HeaderBody = { ...messageOf(seal), context, keys: [heldKey(seal.wrapped), ...kept] };
  const header = headerBody(body);
  // What we could not read again is not written.
  if (header.length + IV_BYTES + TAG_BYTES + WHOLE_HEAD_BYTES <= START_BYTES_MAX && kept.length < KEYS_MAX)
    return header;
  throw unsupported(
    `with one more data key its header would be longer than is read (${START_BYTES_MAX} bytes, ${KEYS_MAX} keys)`,
  );
}

/** A seal that was read is written as it stands: its keys may be others', which only their owners can write. */
export function writeMessage(seal: Seal): SealBytes {
  if (seal.wrapped === undefined) throw defect("a seal was written before its key was wrapped");
  return { metadata: new Map(), startBytes: seal.start?.length ?? unsignedHeader(seal).length + signatureBytes(seal) };
}

const signatureBytes = (seal: Seal): number => (messageOf(seal).suite.version === 1 ? IV_BYTES + TAG_BYTES : TAG_BYTES);

/**
 * The header as it is to stand before an unchanged body. Under one key and one IV two tags over two headers give away the key that
 * tags are made with, and with it every frame's: so the IV is random, which version 1 has room for, and begins with a bit that no
 * frame's has. In version 2 it is zeros: only a message that is new is to have its header made here, or one whose owner said so.
 */
export function startMessage(seal: Seal, dataKey: DataKey | undefined): Uint8Array {
  if (seal.format !== ESDK) throw defect(`a seal of ${seal.format} was given to ${ESDK}`);
  if (seal.start !== undefined) return seal.start;
  if (!dataKey) throw defect("a header was to be made without its data key");
  const { suite, messageId } = messageOf(seal);
  const signed = unsignedHeader(seal);
  const iv = suite.version === 1 ? randomIv() : Buffer.alloc(IV_BYTES);
  const key = bodyKey(suite, messageId, dataKey);
  try {
    const tag = headerTag(key, iv, Buffer.concat([signed, keptOutBytes(seal)]));
    return Buffer.concat([signed, ...(suite.version === 1 ? [iv] : []), tag]);
  } finally {
    key.fill(0);
  }
}

/** Frames count theirs from zeros. */
function randomIv(): Buffer {
  const iv = randomBytes(IV_BYTES);
  iv[0] = (iv[0] ?? 0) | 0x80;
  return iv;
}
