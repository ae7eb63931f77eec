/**
 * RSA blocks of k bytes, opened without padding by the library and unpadded here, because Node opens neither PKCS #1 v1.5 nor
 * OAEP with two different hashes. RFC 8017, 7.1.2 and 7.2.2: every byte is looked at whatever the earlier ones held, there is one
 * way to fail, and the answer is decided before anything is cut by its length (Bleichenbacher 1998, Manger 2001).
 */
import { createHash } from "node:crypto";

export type Hash = "sha1" | "sha256" | "sha384" | "sha512";

/** All ones where x is zero, else zero; x of 0 to 2^31 - 1. */
const isZero = (x: number): number => (x - 1) >> 31;

/** `00 02 | at least 8 bytes, none 00 | 00 | message`, for messages of these sizes. */
export function fromPkcs1(block: Buffer, sizes: readonly number[]): Buffer | undefined {
  let size = 0;
  for (const candidate of sizes) {
    const separator = block.length - candidate - 1;
    let wrong = (block[0] ?? 1) | ((block[1] ?? 0) ^ 2) | (block[separator] ?? 1);
    for (let at = 2; at < separator; at++) wrong |= isZero(block[at] ?? 0) & 1;
    size |= isZero(wrong) & candidate;
  }
  return size === 0 || block.length < size + 11 ? undefined : Buffer.from(block.subarray(-size));
}

/**
 * BouncyCastle's cipher `RSA` pads nothing: zeros, then the message. Of 32 bytes only, and not beginning with zeros: a shorter key
 * could not be told from one that begins with them.
 */
export function fromTextbook(block: Buffer): Buffer | undefined {
  const at = block.length - 32;
  let above = 0;
  for (let i = 0; i < at; i++) above |= block[i] ?? 0;
  let head = 0;
  for (let i = at; i < at + 8; i++) head |= block[i] ?? 0;
  const wrong = (~isZero(above) & 1) | (isZero(head) & 1);
  return wrong === 0 ? Buffer.from(block.subarray(at)) : undefined;
}

/** EME-OAEP with an empty label: `00 | seed, masked | hash of the label | 00 ... | 01 | message, masked`. */
export function fromOaep(block: Buffer, hash: Hash, maskHash: Hash): Buffer | undefined {
  const label = createHash(hash).digest();
  const bodyAt = 1 + label.length;
  if (block.length < bodyAt + label.length + 1) return undefined;
  const seed = block.subarray(1, bodyAt);
  const body = block.subarray(bodyAt);
  mask(seed, body, maskHash);
  mask(body, seed, maskHash);
  let wrong = block[0] ?? 1;
  for (const [at, byte] of label.entries()) wrong |= byte ^ (body[at] ?? 0);
  let searching = -1;
  let messageAt = 0;
  for (let at = label.length; at < body.length; at++) {
    const byte = body[at] ?? 0;
    const isOne = isZero(byte ^ 1);
    wrong |= searching & ~isZero(byte) & ~isOne & 1;
    messageAt |= searching & isOne & (at + 1);
    searching &= isZero(byte);
  }
  wrong |= searching & 1;
  return wrong === 0 ? Buffer.from(body.subarray(messageAt)) : undefined;
}

/** MGF1, RFC 8017, B.2.1, laid over `target` in place. */
function mask(target: Buffer, seed: Uint8Array, hash: Hash): void {
  const counter = Buffer.alloc(4);
  for (let at = 0, turn = 0; at < target.length; turn++) {
    counter.writeUInt32BE(turn);
    for (const byte of createHash(hash).update(seed).update(counter).digest()) {
      if (at < target.length) target[at] = (target[at] ?? 0) ^ byte;
      at++;
    }
  }
}
