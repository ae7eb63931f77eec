/**
 * The header of a message (AWS Encryption SDK specification, data-format/message-header.md), all numbers big-endian:
 *
 *   version 1   | 01 | 80 | suite: 2 | message id: 16 | aad | keys | content | 00000000 | 0C | frame: 4 |                | iv: 12 | tag: 16 |
 *   version 2   | 02 |      suite: 2 | message id: 32 | aad | keys | content |                 frame: 4 | commitment: 32 |          tag: 16 |
 *
 *   aad         | length: 2 | pairs |                    the key context (core/key.ts, pairBytes)
 *   keys        | count: 2 | ( length: 2 | provider | length: 2 | info | length: 2 | wrapped data key ) ... |
 *   content     02: in frames of `frame` bytes; 01: in one piece, and `frame` is 0
 *
 * The tag is AES-GCM's over all that stands before the IV (in version 2: before the tag, with an IV of zeros). A message begins with
 * its magic (magic.ts); one that does and goes on otherwise is broken.
 */
import { type KeyContext, pairBytes } from "../../core/key.ts";
import { START_BYTES_MAX } from "../envelope.ts";
import { Cursor, Shortage } from "./cursor.ts";
import { malformed, unsupported } from "./refusal.ts";
import { COMMITMENT_BYTES, MESSAGE_ID_BYTES, type Suite, suiteOf } from "./suites.ts";

export const IV_BYTES = 12;
export const TAG_BYTES = 16;
/** Official writers make as many as there are keyrings; readers may refuse more than they expect. */
export const KEYS_MAX = 64;
const TYPE = 0x80;
const IN_ONE_PIECE = 1;
const FRAMED = 2;

/** A data key as a message holds it ("encrypted data key"). */
export interface HeldKey {
  readonly provider: string;
  readonly info: Uint8Array;
  readonly bytes: Uint8Array;
}

/** All but what authenticates it. */
export interface HeaderBody {
  readonly suite: Suite;
  readonly messageId: Uint8Array;
  /** In the order in which it stands there. */
  readonly context: KeyContext;
  readonly keys: readonly HeldKey[];
  /** 0: in one piece. */
  readonly frameBytes: number;
  readonly commitment?: Uint8Array | undefined;
}

export interface Header extends HeaderBody {
  /** Bytes that the tag is over. */
  readonly signedBytes: number;
  readonly iv: Uint8Array;
  readonly tag: Uint8Array;
  /** All of it, tag included. */
  readonly sizeBytes: number;
}

/** Of a message that begins with these bytes. Throws SEAL_MALFORMED, SEAL_UNSUPPORTED; a Shortage where it goes on. */
export function parseHeader(bytes: Uint8Array): Header {
  const cursor = new Cursor(bytes);
  const version = cursor.u8();
  if (version !== 1 && version !== 2) throw malformed(`version ${version}`);
  if (version === 1 && cursor.u8() !== TYPE) throw malformed("another type than 80");
  const suite = suiteOf(cursor.u16());
  if (suite?.version !== version) throw malformed(`its suite is none of version ${version}`);
  const messageId = cursor.take(MESSAGE_ID_BYTES[version]);
  const context = parsePairs(cursor.field());
  checkSigner(suite, context);
  const keys = parseKeys(cursor);
  const isFramed = parseContent(cursor);
  if (version === 1 && (cursor.u32() !== 0 || cursor.u8() !== IV_BYTES))
    throw malformed("reserved bytes that are not 0, or an IV length that is not 12");
  const frameBytes = cursor.u32();
  if (isFramed !== frameBytes > 0)
    throw malformed(`frames of ${frameBytes} bytes in a body that is${isFramed ? "" : " not"} framed`);
  const commitment = version === 2 ? cursor.take(COMMITMENT_BYTES) : undefined;
  const signedBytes = cursor.at;
  const iv = version === 1 ? cursor.take(IV_BYTES) : new Uint8Array(IV_BYTES);
  const tag = cursor.take(TAG_BYTES);
  return { suite, messageId, context, keys, frameBytes, commitment, signedBytes, iv, tag, sizeBytes: cursor.at };
}

/** How many of a message's first bytes hold its header, as far as these can tell; undefined: they hold it, or it is broken. */
export function missingBytes(bytes: Uint8Array): number | undefined {
  try {
    parseHeader(bytes);
  } catch (thrown) {
    if (thrown instanceof Shortage) return thrown.neededBytes;
  }
  return undefined;
}

/** Of an object that begins with these bytes and has no others, or more than are ever asked for. */
export function parseWholeHeader(bytes: Uint8Array): Header {
  try {
    return parseHeader(bytes);
  } catch (thrown) {
    if (!(thrown instanceof Shortage)) throw thrown;
    if (thrown.neededBytes > START_BYTES_MAX) throw unsupported(`its header is longer than ${START_BYTES_MAX} bytes`);
    throw malformed("it ends within its header");
  }
}

function parsePairs(bytes: Uint8Array): KeyContext {
  const context = new Map<string, string>();
  if (bytes.length === 0) return context;
  const cursor = new Cursor(bytes);
  try {
    // Two bytes of 0 for an empty context are an old writer's.
    for (let left = cursor.u16(); left > 0; left--) {
      const name = textOf(cursor.field(), "the key context");
      if (context.has(name)) throw malformed(`its key context names ${JSON.stringify(name.slice(0, 64))} twice`);
      context.set(name, textOf(cursor.field(), "the key context"));
    }
  } catch (thrown) {
    throw thrown instanceof Shortage ? malformed("its key context is longer than said") : thrown;
  }
  if (cursor.at !== bytes.length) throw malformed("its key context is shorter than said");
  return context;
}

/** Where the key that signed the whole stands: a compressed point, base64. */
export const SIGNER = "aws-crypto-public-key";

/** A signer without a suite that signs is a suite that somebody changed. */
function checkSigner({ id, signing }: Suite, context: KeyContext): void {
  const point = context.get(SIGNER);
  if (signing === undefined) {
    if (point !== undefined) throw malformed(`${SIGNER} beside the suite ${id}, which is not signed`);
    return;
  }
  if (point === undefined) throw malformed(`the suite ${id} is signed, and ${SIGNER} is not there`);
  const bytes = Buffer.from(point, "base64");
  if (bytes.length !== signing.pointBytes || bytes.toString("base64") !== point) {
    throw malformed(`${SIGNER} is not base64 of ${signing.pointBytes} bytes`);
  }
}

function parseKeys(cursor: Cursor): HeldKey[] {
  const count = cursor.u16();
  if (count === 0) throw malformed("it holds no data key");
  if (count > KEYS_MAX) throw unsupported(`it holds ${count} data keys, and ${KEYS_MAX} are the most that is carried`);
  return Array.from({ length: count }, () => {
    const provider = textOf(cursor.field(), "a provider's name");
    return { provider, info: cursor.field(), bytes: cursor.field() };
  });
}

function parseContent(cursor: Cursor): boolean {
  const content = cursor.u8();
  if (content !== IN_ONE_PIECE && content !== FRAMED) throw malformed(`content of type ${content}`);
  return content === FRAMED;
}

export function textOf(bytes: Uint8Array, what: string): string {
  try {
    // A byte order mark is a character of the text: without it other bytes would be bound.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed(`${what} is not UTF-8`);
  }
}

/** What the tag is to be over. Throws TOO_LARGE where a length does not fit its field. */
export function headerBody({ suite, messageId, context, keys, frameBytes, commitment }: HeaderBody): Buffer {
  const isFirst = suite.version === 1;
  return Buffer.concat([
    Buffer.from(isFirst ? [1, TYPE] : [2]),
    number(2, suite.code),
    messageId,
    sized(pairBytes(context)),
    number(2, keys.length),
    ...keys.flatMap(({ provider, info, bytes }) => [sized(Buffer.from(provider)), sized(info), sized(bytes)]),
    Buffer.from([frameBytes > 0 ? FRAMED : IN_ONE_PIECE]),
    ...(isFirst ? [number(4, 0), number(1, IV_BYTES)] : []),
    number(4, frameBytes),
    ...(commitment ? [commitment] : []),
  ]);
}

function number(sizeBytes: number, value: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  bytes.writeUIntBE(value, 0, sizeBytes);
  return bytes;
}

function sized(bytes: Uint8Array): Buffer {
  if (bytes.length > 0xffff)
    throw unsupported(`a field of ${bytes.length} bytes in its header, and 65535 are the most`);
  return Buffer.concat([number(2, bytes.length), bytes]);
}
