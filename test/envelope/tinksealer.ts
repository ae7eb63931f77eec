/** Bodies and key messages as Tink's writers make them, from the published layouts: it shares no code with the program. */
import { createCipheriv, createHmac } from "node:crypto";

const KEY = Buffer.alloc(32, 0x21);
const MAC_KEY = Buffer.alloc(32, 0x37);

interface Type {
  /** The serialized key message. */
  readonly message: Buffer;
  readonly nonceBytes: number;
  /** Ciphertext and tag; absent: this runtime has no such cipher to seal with. */
  readonly body?: (plaintext: Uint8Array, nonce: Uint8Array, associatedData?: Uint8Array) => Buffer;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

function aead(cipher: "aes-256-gcm" | "aes-128-gcm" | "chacha20-poly1305", key: Buffer): NonNullable<Type["body"]> {
  return (plaintext, nonce, associatedData = new Uint8Array()) => {
    // One name for the three: they differ in their types, not in their use.
    const sealing = createCipheriv(cipher as "aes-256-gcm", key, nonce, { authTagLength: 16 }).setAAD(associatedData);
    return Buffer.concat([sealing.update(plaintext), sealing.final(), sealing.getAuthTag()]);
  };
}

function ctrHmac(key: Buffer, tagBytes: number): NonNullable<Type["body"]> {
  return (plaintext, iv, associatedData = new Uint8Array()) => {
    const cipher = createCipheriv(`aes-${key.length * 8}-ctr`, key, iv);
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    const bits = Buffer.alloc(8);
    bits.writeUInt32BE(associatedData.length * 8, 4);
    const tag = createHmac("sha256", MAC_KEY)
      .update(associatedData)
      .update(iv)
      .update(ciphertext)
      .update(bits)
      .digest();
    return Buffer.concat([ciphertext, tag.subarray(0, tagBytes)]);
  };
}

const SHORT = KEY.subarray(0, 16);
export const TYPES: Readonly<Record<string, Type>> = {
  AES256_GCM: { message: Buffer.concat([hex("1a 20"), KEY]), nonceBytes: 12, body: aead("aes-256-gcm", KEY) },
  AES128_GCM: { message: Buffer.concat([hex("1a 10"), SHORT]), nonceBytes: 12, body: aead("aes-128-gcm", SHORT) },
  CHACHA20_POLY1305: {
    message: Buffer.concat([hex("12 20"), KEY]),
    nonceBytes: 12,
    body: aead("chacha20-poly1305", KEY),
  },
  AES256_CTR_HMAC_SHA256: {
    message: Buffer.concat([hex("12 26 12 02 08 10 1a 20"), KEY, hex("1a 28 12 04 08 03 10 20 1a 20"), MAC_KEY]),
    nonceBytes: 16,
    body: ctrHmac(KEY, 32),
  },
  AES128_CTR_HMAC_SHA256: {
    message: Buffer.concat([hex("12 16 12 02 08 10 1a 10"), SHORT, hex("1a 28 12 04 08 03 10 10 1a 20"), MAC_KEY]),
    nonceBytes: 16,
    body: ctrHmac(SHORT, 16),
  },
  XCHACHA20_POLY1305: { message: Buffer.concat([hex("1a 20"), KEY]), nonceBytes: 24 },
  AES256_GCM_SIV: { message: Buffer.concat([hex("1a 20"), KEY]), nonceBytes: 12 },
};

export const typeOf = (template: string): Type => {
  const type = TYPES[template];
  if (type === undefined) throw new Error(`no template is called ${template}`);
  return type;
};

/** A whole object around a wrapped key. Where there is no cipher, the body is any bytes. */
export function objectOf(template: string, wrapped: Uint8Array, plaintext: Uint8Array, associatedData = ""): Buffer {
  const { nonceBytes, body } = typeOf(template);
  const nonce = Buffer.alloc(nonceBytes, 0x5e);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(wrapped.length);
  const sealed = body?.(plaintext, nonce, Buffer.from(associatedData)) ?? Buffer.alloc(plaintext.length + 16, 0x77);
  return Buffer.concat([length, wrapped, nonce, sealed]);
}
