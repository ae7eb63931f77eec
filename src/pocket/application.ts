/**
 * An application of the past: it seals objects as the official S3 encryption clients do, with nothing but node:crypto and the
 * published format (S3 Encryption Client specification, data-format/content-metadata.md and key-derivation.md). It shares no
 * code with `envelope/`, so that what it writes is a second opinion on what that room reads.
 */
import { createCipheriv, hkdfSync, randomBytes } from "node:crypto";

/** Has the KMS wrap a data key under a context; `Encrypt` of whatever KMS the application uses. */
export type WrapKey = (plainKey: Buffer, context: ReadonlyMap<string, string>) => Promise<Uint8Array>;

export interface SealedObject {
  readonly metadata: Map<string, string>;
  readonly body: Buffer;
}

export type Writer = (plaintext: Buffer, wrap: WrapKey, context: ReadonlyMap<string, string>) => Promise<SealedObject>;

const CEK = "aws:x-amz-cek-alg";
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const json = (context: ReadonlyMap<string, string>): string => asciiJson(JSON.stringify(Object.fromEntries(context)));
/** Metadata travels in headers: what is not ASCII is written as \uXXXX. */
const asciiJson = (text: string): string =>
  text.replace(/[^\u0020-\u007e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);

function gcm(key: Buffer, iv: Buffer, plaintext: Buffer, aad?: Buffer): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  if (aad) cipher.setAAD(aad);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** What Java, Go, .NET, C++, Ruby and PHP clients of the last years write by default: format V2, AES-GCM, `kms+context`. */
export const writeV2: Writer = async (plaintext, wrap, given) => {
  const key = randomBytes(32);
  const iv = randomBytes(12);
  const context = new Map([...given, [CEK, "AES/GCM/NoPadding"]]);
  const metadata = new Map([
    ["x-amz-key-v2", base64(await wrap(key, context))],
    ["x-amz-iv", base64(iv)],
    ["x-amz-matdesc", json(context)],
    ["x-amz-wrap-alg", "kms+context"],
    ["x-amz-cek-alg", "AES/GCM/NoPadding"],
    ["x-amz-tag-len", "128"],
    ["x-amz-unencrypted-content-length", String(plaintext.length)],
  ]);
  return { metadata, body: gcm(key, iv, plaintext) };
};

/** First-generation clients with a KMS key: wrap `kms`, the key's id in the context, AES-GCM. */
export const legacyGcm =
  (keyId: string): Writer =>
  async (plaintext, wrap, given) => {
    const key = randomBytes(32);
    const iv = randomBytes(12);
    const context = new Map([["kms_cmk_id", keyId], ...given]);
    const metadata = new Map([
      ["x-amz-key-v2", base64(await wrap(key, context))],
      ["x-amz-iv", base64(iv)],
      ["x-amz-matdesc", json(context)],
      ["x-amz-wrap-alg", "kms"],
      ["x-amz-cek-alg", "AES/GCM/NoPadding"],
      ["x-amz-tag-len", "128"],
    ]);
    return { metadata, body: gcm(key, iv, plaintext) };
  };

/** The same clients in encryption-only mode: AES-CBC, no integrity. */
export const legacyCbc =
  (keyId: string): Writer =>
  async (plaintext, wrap, given) => {
    const key = randomBytes(32);
    const iv = randomBytes(16);
    const context = new Map([["kms_cmk_id", keyId], ...given]);
    const cipher = createCipheriv("aes-256-cbc", key, iv);
    const metadata = new Map([
      ["x-amz-key-v2", base64(await wrap(key, context))],
      ["x-amz-iv", base64(iv)],
      ["x-amz-matdesc", json(context)],
      ["x-amz-wrap-alg", "kms"],
      ["x-amz-cek-alg", "AES/CBC/PKCS5Padding"],
      ["x-amz-unencrypted-content-length", String(plaintext.length)],
    ]);
    return { metadata, body: Buffer.concat([cipher.update(plaintext), cipher.final()]) };
  };

/** Clients since the end of 2025: format V3, key-committing AES-GCM. */
export const writeV3: Writer = async (plaintext, wrap, given) => {
  const key = randomBytes(32);
  const id = randomBytes(28);
  const suite = Buffer.from([0x00, 0x73]);
  const derive = (label: string, length: number): Buffer =>
    Buffer.from(hkdfSync("sha512", key, id, Buffer.concat([suite, Buffer.from(label)]), length));
  const context = new Map([...given, [CEK, "115"]]);
  const metadata = new Map([
    ["x-amz-3", base64(await wrap(key, context))],
    ["x-amz-c", "115"],
    ["x-amz-w", "12"],
    ["x-amz-d", base64(derive("COMMITKEY", 28))],
    ["x-amz-i", base64(id)],
    ["x-amz-t", json(context)],
  ]);
  return { metadata, body: gcm(derive("DERIVEKEY", 32), Buffer.alloc(12, 1), plaintext, suite) };
};
