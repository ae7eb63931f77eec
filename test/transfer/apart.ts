/** Objects whose envelope a client keeps in an instruction file, their data keys wrapped under a bare AES key of the ring. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ListedObject } from "../../src/core/object.ts";
import type { Envelope } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import type { Shores } from "../../src/transfer/shores.ts";
import { collect, type Harbour, type KeyRing, OLD, once } from "./harness.ts";
import { WaywardKms } from "./wayward.ts";

export type Format = "V1" | "V2" | "V3";

/** What a client would store: names beside the body, names in the file. */
export interface Apart {
  readonly body: Buffer;
  readonly metadata: Record<string, string>;
  readonly file: Record<string, unknown>;
}

type Keys = Pick<KeyRing, "directory">;

const bareKey = async ({ directory }: Keys): Promise<Buffer> =>
  Buffer.from(await readFile(join(directory, "old.key"), "latin1"), "base64");

async function wrap(ring: Keys, dataKey: Uint8Array, bound: string): Promise<string> {
  const key = await bareKey(ring);
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(bound));
  return Buffer.concat([iv, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()]).toString("base64");
}

async function v1(ring: Keys, plaintext: Buffer): Promise<Apart> {
  const [dataKey, iv] = [randomBytes(32), randomBytes(16)];
  const ecb = createCipheriv("aes-256-ecb", await bareKey(ring), null);
  const cbc = createCipheriv("aes-256-cbc", dataKey, iv);
  return {
    body: Buffer.concat([cbc.update(plaintext), cbc.final()]),
    metadata: { "x-amz-unencrypted-content-length": String(plaintext.length) },
    file: {
      "x-amz-key": Buffer.concat([ecb.update(dataKey), ecb.final()]).toString("base64"),
      "x-amz-iv": iv.toString("base64"),
      "x-amz-matdesc": "{}",
    },
  };
}

async function fresh(ring: Keys, envelope: Envelope, plaintext: Buffer, bound: string) {
  const { seal, dataKey } = envelope.fresh(new Map(), OLD);
  const body = await collect(envelope.seal(once(plaintext), seal, dataKey));
  const wrapped = await wrap(ring, dataKey.reveal(), bound);
  dataKey.wipe();
  return { body, wrapped, fixed: Object.fromEntries(seal.fixed) };
}

async function v2(ring: Keys, plaintext: Buffer): Promise<Apart> {
  const content = "AES/GCM/NoPadding";
  const { body, wrapped, fixed } = await fresh(ring, s3ecV2, plaintext, content);
  return {
    body,
    metadata: {},
    file: {
      ...fixed,
      "x-amz-key-v2": wrapped,
      "x-amz-wrap-alg": "AES/GCM",
      "x-amz-cek-alg": content,
      "x-amz-tag-len": 128,
      "x-amz-matdesc": '{ "keyId": "tenant-1" }',
    },
  };
}

async function v3(ring: Keys, plaintext: Buffer): Promise<Apart> {
  const { body, wrapped, fixed } = await fresh(ring, s3ecV3, plaintext, "115");
  return {
    body,
    metadata: { "x-amz-c": "115", ...fixed },
    file: { "x-amz-3": wrapped, "x-amz-w": "02", "x-amz-m": null },
  };
}

/** The data key of a V2 object, wrapped under the same bare key anew: what rotating it does to the file. */
export async function wrappedAgain(ring: Keys, wrapped: string): Promise<string> {
  const bytes = Buffer.from(wrapped, "base64");
  const bound = "AES/GCM/NoPadding";
  const opened = createDecipheriv("aes-256-gcm", await bareKey(ring), bytes.subarray(0, 12));
  opened.setAAD(Buffer.from(bound)).setAuthTag(bytes.subarray(44));
  return wrap(ring, Buffer.concat([opened.update(bytes.subarray(12, 44)), opened.final()]), bound);
}

const MAKE = { V1: v1, V2: v2, V3: v3 };

export const makeApart = (ring: Keys, format: Format, plaintext: Buffer): Promise<Apart> =>
  MAKE[format](ring, plaintext);

export interface Put {
  readonly body: ListedObject;
  readonly file: ListedObject;
}

/** `change` is what somebody made of it since. */
export async function putApart(
  harbour: Harbour,
  key: string,
  format: Format,
  plaintext: Buffer,
  change: (made: Apart) => Apart = (made) => made,
): Promise<Put> {
  const { body, metadata, file } = change(await makeApart(harbour.ring, format, plaintext));
  const own = new Map([...Object.entries(metadata), ["owner", "app"] as const]);
  return {
    file: await putFile(harbour, key, file),
    body: await harbour.raw(harbour.source, key, body, { metadata: own }),
  };
}

export const putFile = (harbour: Harbour, key: string, file: unknown): Promise<ListedObject> => {
  const text = typeof file === "string" ? file : JSON.stringify(file);
  return harbour.raw(harbour.source, `${key}.instruction`, Buffer.from(text));
};

/** The shores of a job that names the bare key. */
export const shoresOf = (harbour: Harbour): Shores => ({
  ...harbour.shores(),
  sourceKms: [new WaywardKms(openLocalKms({ directory: harbour.ring.directory, raw: [OLD] }))],
});
