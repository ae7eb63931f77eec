/**
 * A key pair for one message, and its signature at an exact length, so that a footer can take another's place and the object keeps its
 * size before its end is known. Libraries hash as they sign and make lengths as they fall (DER leaves out leading zeros): so ECDSA
 * (FIPS 186-5, 6.4.1) is written out here over the digest, with the curve itself left to the library, and tried with new random numbers
 * until the length fits. Of one key only one signature is ever seen, and whoever made it is forgotten with it: how long the arithmetic
 * takes tells nobody anything.
 */
import { createECDH, createHash, type ECDH, type Hash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { unsupported } from "./refusal.ts";
import type { Signing } from "./suites.ts";

/** Orders of the base points (SEC 2, 2.4.2 and 2.5.1). */
const ORDERS = {
  prime256v1: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  secp384r1: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
} as const;
/** Lengths within three bytes of the longest come in a few hundred tries; others have one message in a hundred thousand. */
const TRIES_MAX = 5_000;
/** A try is a millisecond: others wait no longer than for some. */
const TRIES_AT_ONCE = 20;

export class Signer {
  readonly #signing: Signing;
  readonly #key: ECDH;

  constructor(signing: Signing) {
    this.#signing = signing;
    this.#key = createECDH(signing.curve);
    this.#key.generateKeys();
  }

  /** As a message names its signer: the compressed point, base64. */
  get point(): string {
    return this.#key.getPublicKey("base64", "compressed");
  }

  /** Of all bytes before the footer. */
  begin(): Hash {
    return createHash(this.#signing.hash);
  }

  /** DER, of exactly so many bytes. Throws SEAL_UNSUPPORTED where none can be had. */
  async sign(digest: Uint8Array, sizeBytes: number): Promise<Buffer> {
    const order = ORDERS[this.#signing.curve];
    const secret = numberOf(this.#key.getPrivateKey());
    const hash = numberOf(digest);
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (tries % TRIES_AT_ONCE === TRIES_AT_ONCE - 1) await setImmediate();
      const [nonce, r] = this.#nonce(order);
      if (r === 0n) continue;
      const s = (inverse(nonce, order) * (hash + r * secret)) % order;
      if (s === 0n) continue;
      // Either of the two is a signature, and mostly one of them begins with a zero byte in DER.
      const found = [s, order - s].map((each) => der(r, each)).find(({ length }) => length === sizeBytes);
      if (found) return found;
    }
    throw unsupported(`its signature is ${sizeBytes} bytes, and none of that length was found to take its place`);
  }

  #nonce(order: bigint): readonly [bigint, bigint] {
    const once = createECDH(this.#signing.curve);
    const point = once.generateKeys();
    return [numberOf(once.getPrivateKey()), numberOf(point.subarray(1, (point.length + 1) / 2)) % order];
  }
}

const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);

/** By Euclid. */
function inverse(value: bigint, order: bigint): bigint {
  let [a, b, x, y] = [value, order, 1n, 0n];
  while (b > 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return ((x % order) + order) % order;
}

/** `30 | length | 02 | length | r | 02 | length | s`. */
function der(r: bigint, s: bigint): Buffer {
  const body = Buffer.concat([integer(r), integer(s)]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

function integer(value: bigint): Buffer {
  const hex = value.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  const bytes = Buffer.from(Number.parseInt(even.slice(0, 2), 16) >= 0x80 ? `00${even}` : even, "hex");
  return Buffer.concat([Buffer.from([0x02, bytes.length]), bytes]);
}
