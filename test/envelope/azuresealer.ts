/** Bodies as Azure's clients write them, from the published layouts: it shares no code with the program. */
import { createCipheriv } from "node:crypto";

export type NonceStyle = "python" | "java" | ".net";

export function nonceOf(style: NonceStyle, index: number): Buffer {
  const nonce = Buffer.alloc(12);
  if (style === "python") nonce.writeUInt32BE(index, 8);
  else if (style === "java") nonce.writeUInt32BE(index, 4);
  else nonce.writeUInt32LE(index + 1, 4);
  return nonce;
}

export function sealRegions(plaintext: Uint8Array, key: Uint8Array, regionBytes: number, style: NonceStyle): Buffer {
  const regions: Uint8Array[] = [];
  for (let at = 0, index = 0; at < plaintext.length; at += regionBytes, index++) {
    const nonce = nonceOf(style, index);
    const cipher = createCipheriv("aes-256-gcm", key, nonce);
    regions.push(nonce, cipher.update(plaintext.subarray(at, at + regionBytes)), cipher.final(), cipher.getAuthTag());
  }
  return Buffer.concat(regions);
}

export function sealBlocks(plaintext: Uint8Array, key: Uint8Array, iv: Uint8Array): Buffer {
  const cipher = createCipheriv(`aes-${key.length * 8}-cbc`, key, iv);
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
}

/** Eight bytes that name the protocol, and the key. */
export function withProtocol(protocol: string, key: Uint8Array): Buffer {
  const prefix = Buffer.alloc(8);
  prefix.write(protocol, "ascii");
  return Buffer.concat([prefix, key]);
}

export interface DocumentParts {
  readonly protocol: string;
  readonly algorithm?: string;
  readonly keyId?: string;
  readonly encryptedKey?: Uint8Array;
  readonly regionBytes?: number;
  readonly iv?: Uint8Array;
}

export function documentOf(parts: DocumentParts): string {
  const { protocol, algorithm = "A256KW", keyId = "kek", regionBytes = 4_194_304, iv = Buffer.alloc(16, 2) } = parts;
  const isFirst = protocol === "1.0";
  const { encryptedKey = Buffer.alloc(isFirst ? 40 : 48, 3) } = parts;
  return JSON.stringify({
    EncryptionMode: "FullBlob",
    WrappedContentKey: {
      KeyId: keyId,
      EncryptedKey: Buffer.from(encryptedKey).toString("base64"),
      Algorithm: algorithm,
    },
    EncryptionAgent: { Protocol: protocol, EncryptionAlgorithm: isFirst ? "AES_CBC_256" : "AES_GCM_256" },
    ...(isFirst
      ? { ContentEncryptionIV: Buffer.from(iv).toString("base64") }
      : { EncryptedRegionInfo: { DataLength: regionBytes, NonceLength: 12 } }),
    KeyWrappingMetadata: { EncryptionLibrary: "a client 1.0" },
  });
}
