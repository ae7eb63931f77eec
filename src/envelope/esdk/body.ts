/**
 * The body of a message (AWS Encryption SDK specification, data-format/message-body.md):
 *
 *   in frames       | sequence: 4 | iv: 12 | ciphertext: frame | tag: 16 | ...
 *                   | FFFFFFFF | sequence: 4 | iv: 12 | length: 4 | ciphertext: length | tag: 16 |
 *   in one piece    | iv: 12 | length: 8 | ciphertext: length | tag: 16 |
 *
 * Sequences count from 1. The last frame holds at most as much as the others and may be empty. Each part is AES-GCM under the body's
 * key; its additional data (data-format/message-body-aad.md) says where it belongs:
 *
 *   | message id | label, by the kind of part | sequence: 4 | plaintext length: 8 |
 *
 * Neither the key context nor any wrapped key is in it: the body stays what it is, whoever holds the key.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream } from "../../core/object.ts";
import { cipherFor } from "./derive.ts";
import { Flow } from "./flow.ts";
import { IV_BYTES, TAG_BYTES } from "./header.ts";
import { forged, malformed } from "./refusal.ts";
import { FOOTER_BYTES_MIN } from "./signature.ts";

const LABELS = {
  frame: "AWSKMSEncryptionClient Frame",
  last: "AWSKMSEncryptionClient Final Frame",
  whole: "AWSKMSEncryptionClient Single Block",
} as const;
const LAST = 0xffffffff;
const FRAME_MORE = 4 + IV_BYTES + TAG_BYTES;
const LAST_MORE = FRAME_MORE + 8;
const WHOLE_MORE = IV_BYTES + 8 + TAG_BYTES;
/** What of a body in one piece stands before its ciphertext. */
export const WHOLE_HEAD_BYTES = IV_BYTES + 8;
/** 2^32 - 1 frames, the last among them. */
const FRAMES_MAX = 2 ** 32 - 1;
/** 2^39 - 256 bits under one key and IV (NIST SP 800-38D, 5.2.1.1). */
const WHOLE_BYTES_MAX = 2 ** 36 - 32;

/** Sees every byte before the footer, in order, and judges the signature in it. */
export interface Watching {
  sees(bytes: Uint8Array): void;
  /** Throws SEAL_FORGED. */
  judge(signature: Uint8Array): void;
}

export interface Body {
  readonly key: Uint8Array;
  readonly messageId: Uint8Array;
  /** 0: in one piece. */
  readonly frameBytes: number;
  /** Where the message is signed. */
  readonly witness?: Watching | undefined;
}

interface Part {
  readonly kind: keyof typeof LABELS;
  readonly sequence: number;
  readonly iv: Uint8Array;
  readonly plainBytes: number;
}

/** Plaintext flows before its tag is seen, and before the signature is. Every fault is the same SEAL_FORGED. */
export async function* openBody(ciphertext: ByteStream, body: Body): ByteStream {
  const flow = new Flow(ciphertext);
  try {
    if (body.frameBytes > 0) yield* openFrames(flow, body);
    else yield* openWhole(flow, body);
    if (body.witness) body.witness.judge(await flow.take((await flow.take(2)).readUInt16BE()));
    await flow.end();
  } finally {
    await flow.close();
  }
}

async function* openFrames(flow: Flow, body: Body): ByteStream {
  for (let sequence = 1; ; sequence++) {
    const first = (await seen(flow, body, 4)).readUInt32BE();
    const isLast = first === LAST;
    if ((isLast ? (await seen(flow, body, 4)).readUInt32BE() : first) !== sequence) throw forged();
    const iv = await seen(flow, body, IV_BYTES);
    const plainBytes = isLast ? (await seen(flow, body, 4)).readUInt32BE() : body.frameBytes;
    if (plainBytes > body.frameBytes) throw forged();
    yield* openPart(flow, body, { kind: isLast ? "last" : "frame", sequence, iv, plainBytes });
    if (isLast) return;
  }
}

async function* openWhole(flow: Flow, body: Body): ByteStream {
  const iv = await seen(flow, body, IV_BYTES);
  const length = (await seen(flow, body, 8)).readBigUInt64BE();
  if (length > BigInt(WHOLE_BYTES_MAX)) throw forged();
  yield* openPart(flow, body, { kind: "whole", sequence: 1, iv, plainBytes: Number(length) });
}

async function* openPart(flow: Flow, body: Body, part: Part): ByteStream {
  const decipher = createDecipheriv(cipherFor(body.key), body.key, part.iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(boundTo(body, part));
  for await (const piece of flow.pieces(part.plainBytes)) {
    body.witness?.sees(piece);
    yield decipher.update(piece);
  }
  const tag = await seen(flow, body, TAG_BYTES);
  try {
    decipher.setAuthTag(tag).final();
  } catch {
    throw forged();
  }
}

async function seen(flow: Flow, { witness }: Body, sizeBytes: number): Promise<Buffer> {
  const bytes = await flow.take(sizeBytes);
  witness?.sees(bytes);
  return bytes;
}

function boundTo({ messageId }: Body, { kind, sequence, plainBytes }: Part): Buffer {
  const place = Buffer.alloc(12);
  place.writeUInt32BE(sequence);
  place.writeBigUInt64BE(BigInt(plainBytes), 4);
  return Buffer.concat([messageId, Buffer.from(LABELS[kind]), place]);
}

/** In frames. Official writers count the IVs too: no two frames of a message have one. Throws TOO_LARGE. */
export async function* sealFrames(plaintext: ByteStream, body: Body): ByteStream {
  let held: Buffer = Buffer.alloc(0);
  let sequence = 1;
  for await (const chunk of plaintext) {
    held = Buffer.concat([held, chunk]);
    // What fills a frame waits until it is known not to be the last.
    while (held.length > body.frameBytes) {
      yield sealFrame(held.subarray(0, body.frameBytes), body, sequence++, "frame");
      held = held.subarray(body.frameBytes);
    }
  }
  yield sealFrame(held, body, sequence, "last");
}

function sealFrame(plaintext: Uint8Array, body: Body, sequence: number, kind: "frame" | "last"): Buffer {
  if (sequence > FRAMES_MAX) throw tooLarge(body.frameBytes);
  const iv = Buffer.alloc(IV_BYTES);
  iv.writeUInt32BE(sequence, IV_BYTES - 4);
  const cipher = createCipheriv(cipherFor(body.key), body.key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(boundTo(body, { kind, sequence, iv, plainBytes: plaintext.length }));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const head = kind === "last" ? [u32(LAST), u32(sequence), iv, u32(plaintext.length)] : [u32(sequence), iv];
  return Buffer.concat([...head, ciphertext, cipher.getAuthTag()]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Of the body, without a signature. Throws TOO_LARGE. */
export function sealedSize(plainBytes: number, frameBytes: number): number {
  if (frameBytes === 0) {
    if (plainBytes > WHOLE_BYTES_MAX) throw tooLarge(WHOLE_BYTES_MAX);
    return plainBytes + WHOLE_MORE;
  }
  const before = Math.max(Math.ceil(plainBytes / frameBytes) - 1, 0);
  if (before >= FRAMES_MAX) throw tooLarge(frameBytes);
  return plainBytes + before * FRAME_MORE + LAST_MORE;
}

/** undefined where a signature of unknown length is among the bytes. Throws SEAL_MALFORMED where no plaintext has this size. */
export function plainSize(sealedBytes: number, frameBytes: number, isSigned: boolean): number | undefined {
  const least = (frameBytes === 0 ? WHOLE_MORE : LAST_MORE) + (isSigned ? FOOTER_BYTES_MIN : 0);
  if (sealedBytes < least) throw noBody(sealedBytes);
  if (isSigned) return undefined;
  const rest = sealedBytes - least;
  if (frameBytes === 0) {
    if (rest > WHOLE_BYTES_MAX) throw noBody(sealedBytes);
    return rest;
  }
  // Some writers end with an empty frame after full ones: the same sum, counted as one frame more.
  const before = Math.floor(rest / (frameBytes + FRAME_MORE));
  const last = rest - before * (frameBytes + FRAME_MORE);
  if (last > frameBytes || before >= FRAMES_MAX) throw noBody(sealedBytes);
  return before * frameBytes + last;
}

const noBody = (sealedBytes: number): SealiftError => malformed(`no body of its kind has ${sealedBytes} bytes`);
const tooLarge = (bytes: number): SealiftError =>
  new SealiftError(
    "TOO_LARGE",
    `a message holds at most ${FRAMES_MAX} frames (of ${bytes} bytes), or 2^36 - 32 bytes in one piece`,
  );
