/** The published messages (test/vectors/esdk), and keys for them. */
import { readFileSync } from "node:fs";
import { DataKey, type KeyContext } from "../../../src/core/key.ts";
import type { Envelope, Seal } from "../../../src/envelope/envelope.ts";
import { esdk } from "../../../src/envelope/esdk/esdk.ts";
import { NOTHING_KEPT_OUT, readMessage } from "../../../src/envelope/esdk/message.ts";
import { esdkSidecar } from "../../../src/envelope/esdk/sidecar.ts";
import { plain } from "../../../src/envelope/plain.ts";
import { s3ecV1 } from "../../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../../src/envelope/s3ec/v3.ts";
import { recognise, wantedBytes } from "../../../src/transfer/recognise.ts";
import { bodyOf } from "../../../src/transfer/start.ts";
import { collect, headOf, inPieces, type Metadata } from "../material.ts";

export const ALL: readonly Envelope[] = [s3ecV3, s3ecV2, s3ecV1, esdk, esdkSidecar, plain];

export const file = (name: string): Buffer => readFileSync(new URL(`../../vectors/esdk/${name}`, import.meta.url));
const json = <T>(name: string): T => JSON.parse(file(name).toString()) as T;

export interface Vector {
  readonly id: string;
  readonly file: string;
  readonly suite: string;
  readonly version: number;
  readonly frameLength: number;
  readonly encryptionContext: readonly (readonly [string, string])[];
  readonly edks: readonly { readonly providerId: string; readonly encryptedDataKeyB64: string }[];
  readonly offsets: { readonly headerEnd: number; readonly bodyEnd: number; readonly total: number };
  readonly decryptKeyDescription: { readonly type: string; readonly key?: string };
  readonly reproducedEncryptionContext: Readonly<Record<string, string>> | null;
  readonly description: string;
  readonly dataKeyHex: string;
}

export interface CommitmentVector {
  readonly ciphertext: string;
  readonly "decrypted-dek": string;
  readonly "encryption-context": Readonly<Record<string, string>>;
  readonly "plaintext-frames": readonly string[];
  readonly comment: string;
  readonly status: boolean;
}

export interface ZeroKeyVector {
  readonly name: string;
  readonly base64: string;
  readonly suite: string;
  readonly signatureValid?: boolean;
  readonly headerTagOkWithZeroKey?: boolean;
  readonly edks: number;
}

export interface OwnVector {
  readonly suite: string;
  readonly messageHex: string;
  readonly dataKeyHex: string;
  readonly plaintextUtf8: string;
  readonly kekHex: string;
}

export interface KmsVector {
  readonly file: string;
  readonly suite: string;
  readonly headerEnd: number;
  readonly edks: readonly { readonly providerInfo: string; readonly encryptedDataKeyB64: string }[];
}

export const VECTORS = json<readonly Vector[]>("vectors.json");
export const COMMITMENTS = json<{ tests: readonly CommitmentVector[] }>("commitment-test-vectors.json").tests;
export const ZERO_KEYS = json<{ messages: readonly ZeroKeyVector[] }>("js-zero-key.json").messages;
export const OWN = json<{ messages: readonly OwnVector[] }>("selfmade-nonframed.json").messages;
export const UNDER_KMS = json<readonly KmsVector[]>("nonframed-kms/index.json");
export const KEYS = json<{ keys: Readonly<Record<string, { material: string; encoding: string }>> }>("keys.json").keys;
export const SMALL = file("plaintexts/small");

/** As many bytes of the object's start as the formats ask for, and not one more. */
export function startOf(object: Uint8Array, metadata: Metadata = {}): Uint8Array {
  const head = headOf(metadata, object.length);
  let known = 0;
  for (;;) {
    const wanted = wantedBytes(head, object.subarray(0, known), ALL);
    if (wanted <= known) return object.subarray(0, known);
    known = wanted;
  }
}

export const read = (object: Uint8Array, metadata: Metadata = {}): { envelope: Envelope; seal: Seal } =>
  recognise(headOf(metadata, object.length), startOf(object, metadata), ALL);

export const keyOf = (bytes: string, encoding: BufferEncoding = "hex"): DataKey =>
  new DataKey(Buffer.from(bytes, encoding));

/** The whole message, by whoever has its data key, whatever holds that in its header. */
export async function opened(
  object: Uint8Array,
  key: DataKey,
  sizes?: readonly number[],
  keptOut: KeyContext = NOTHING_KEPT_OUT,
): Promise<Buffer> {
  const seal = { ...readMessage(startOf(object), object.length, keptOut), wrap: "" };
  return collect(esdk.open(bodyOf(inPieces(object, sizes), seal), seal, key));
}
