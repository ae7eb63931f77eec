/**
 * The footer of messages in suites that sign (AWS Encryption SDK specification, data-format/message-footer.md):
 *
 *   | length: 2 | ECDSA signature, DER |
 *
 * over every byte before it, header included. The key to check it by stands in the key context as a compressed point: it proves that
 * header and body were written together by whoever wrapped the data key under that context, and nothing about who that was.
 */
import { createPublicKey, createVerify, ECDH, type Verify } from "node:crypto";
import { forged } from "./refusal.ts";
import type { Signing } from "./suites.ts";

/** Of no curve is it longer than 106. */
const SIGNATURE_BYTES_MAX = 256;
export const FOOTER_BYTES_MIN = 2 + 8;

export class Witness {
  readonly #verify: Verify;
  readonly #signing: Signing;
  readonly #point: Buffer;

  constructor(signing: Signing, point: string) {
    this.#signing = signing;
    this.#point = Buffer.from(point, "base64");
    this.#verify = createVerify(signing.hash);
  }

  /** All bytes before the footer, in order. */
  sees(bytes: Uint8Array): void {
    this.#verify.update(bytes);
  }

  /** Throws SEAL_FORGED. */
  judge(signature: Uint8Array): void {
    if (signature.length > SIGNATURE_BYTES_MAX || !this.#fits(signature)) throw forged();
  }

  #fits(signature: Uint8Array): boolean {
    try {
      return this.#verify.verify({ key: publicKey(this.#signing, this.#point), dsaEncoding: "der" }, signature);
    } catch {
      // No point of the curve.
      return false;
    }
  }
}

/** SubjectPublicKeyInfo (RFC 5480) of an uncompressed point, without the point. */
const PREFIXES = {
  prime256v1: "3059301306072a8648ce3d020106082a8648ce3d030107034200",
  secp384r1: "3076301006072a8648ce3d020106052b81040022036200",
} as const;

function publicKey({ curve }: Signing, compressed: Buffer) {
  const point = ECDH.convertKey(compressed, curve, undefined, undefined, "uncompressed") as Buffer;
  const der = Buffer.concat([Buffer.from(PREFIXES[curve], "hex"), point]);
  return createPublicKey({ key: der, format: "der", type: "spki" });
}
