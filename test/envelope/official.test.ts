/** Objects that the official Python clients of Tink and of Azure wrote (test/vectors/{tink,azure}/SOURCES.md). */
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { envelopesWith } from "../../src/compose/envelopes.ts";
import { DataKey, type WrappedKey } from "../../src/core/key.ts";
import { azure } from "../../src/envelope/azure/azure.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { openRsaKms } from "../../src/kms/local/rsa.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { recognise } from "../../src/transfer/recognise.ts";
import { load } from "./keyring.ts";
import { codeOf, collect, GCP_KEY, headOf, inPieces } from "./material.ts";
import { openRawGcm } from "./tinkreader.ts";

interface TinkFile {
  readonly kekHex: string;
  readonly plaintext: string;
  readonly envelopes: readonly { template: string; associatedData: string; ciphertextHex: string }[];
  readonly keysets: { json: string; jsonOld: string; binaryHex: string; sealedHex: string; streamHex: string };
}
interface AzureFile {
  readonly kekHex: string;
  readonly vectors: readonly {
    protocol: string;
    algorithm: string;
    encryptiondata: string;
    bodyHex: string;
    plaintext: string;
  }[];
}

const read = <T>(path: string): T => JSON.parse(readFileSync(new URL(`../vectors/${path}`, import.meta.url), "utf8"));
const byTink = read<TinkFile>("tink/official-python.json");
const byAzure = read<AzureFile>("azure/official-python.json");
const hex = (text: string): Buffer => Buffer.from(text, "hex");
const never = new AbortController().signal;

describe("Tink", () => {
  const kek = hex(byTink.kekHex);
  const opens = async ({ bytes }: WrappedKey) => ({
    dataKey: new DataKey(openRawGcm(kek, Buffer.from(bytes))),
    by: GCP_KEY,
  });
  const kms: Kms = {
    scheme: "gcp-kms",
    unwrap: opens,
    wrap: () => Promise.reject(new Error("wraps nothing")),
    check: async () => {},
    close: async () => {},
  };
  const claim = (template: string) => envelopesWith({ tink: { template, key: GCP_KEY, prefix: "RAW" } });
  const NOT_HERE = ["AES256_GCM_SIV"];

  it("wrote with every template that it has", () => expect(byTink.envelopes.length).toBe(12));

  it.each(byTink.envelopes)("$template, associated data $associatedData", async (vector) => {
    const { template, associatedData, ciphertextHex } = vector;
    const object = hex(ciphertextHex);
    const envelopes = claim(template);
    const { envelope, seal } = recognise(headOf({}, object.length), object, envelopes);
    const { dataKey } = await opens(seal.wrapped as WrappedKey);
    envelope.check(seal, dataKey);
    expect(Buffer.from(envelope.start?.(seal) ?? []).equals(object.subarray(0, seal.start?.length))).toBe(true);
    const opening = async () =>
      collect(await openPlaintext(headOf({}, object.length), inPieces(object, [5]), envelopes, [kms], never));
    if (NOT_HERE.includes(template)) expect(await codeOf(opening)).toBe("SEAL_UNSUPPORTED");
    else if (associatedData !== "") expect(await codeOf(opening)).toBe("SEAL_FORGED");
    else expect((await opening()).toString()).toBe(byTink.plaintext);
  });

  it.each([
    ["JSON", Buffer.from(byTink.keysets.json)],
    ["JSON", Buffer.from(byTink.keysets.jsonOld)],
    ["BINARY", hex(byTink.keysets.binaryHex)],
  ] as const)("an encrypted keyset in %s", async (format, object) => {
    const envelopes = envelopesWith({ tinkKeysets: { format, key: GCP_KEY } });
    const { envelope, seal } = recognise(headOf({}, object.length), object, envelopes);
    expect(envelope.id).toBe("tink-keyset");
    const { dataKey } = await opens(seal.wrapped as WrappedKey);
    envelope.check(seal, dataKey);
    expect(Buffer.from(envelope.start?.(seal) ?? []).equals(object)).toBe(true);
  });

  it("what keysets encrypt begins like no envelope: streams and messages under a keyset stay as they are", () => {
    for (const text of [byTink.keysets.streamHex, byTink.keysets.sealedHex]) {
      const { envelope } = recognise(headOf({}, hex(text).length), hex(text), claim("AES256_GCM"));
      expect(envelope.id).toBe("plain");
    }
  });
});

describe("Azure", () => {
  let directory = "";
  let kms: readonly Kms[] = [];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "sealift-official-"));
    await chmod(directory, 0o700);
    for (const bytes of [16, 24, 32]) {
      const text = hex(byAzure.kekHex).subarray(0, bytes).toString("base64");
      await writeFile(join(directory, `kek${bytes}.key`), text, { mode: 0o600 });
    }
    const { rsa_private_key_pem: pem } = load<{ rsa_private_key_pem: string }>("11-jce-key-wraps");
    await writeFile(join(directory, "vault.pem"), pem, { mode: 0o600 });
    kms = [openLocalKms({ directory }), openRsaKms({ directory })];
  });
  afterAll(async () => {
    await Promise.all(kms.map((one) => one.close()));
    await rm(directory, { recursive: true });
  });

  it("wrote with six wraps, and an empty blob", () => {
    expect(new Set(byAzure.vectors.map(({ algorithm }) => algorithm)).size).toBe(6);
    expect(byAzure.vectors.filter(({ bodyHex }) => bodyHex === "").length).toBe(1);
  });

  it.each(byAzure.vectors)("$protocol under $algorithm: $plaintext", async (vector) => {
    const { encryptiondata, bodyHex, plaintext } = vector;
    const body = hex(bodyHex);
    const head = headOf({ encryptiondata }, body.length);
    for (const sizes of [[body.length || 1], [1]]) {
      const opened = await openPlaintext(head, inPieces(body, sizes), [azure], kms, never);
      expect((await collect(opened)).toString()).toBe(plaintext);
    }
    const { seal } = recognise(head, new Uint8Array(), [azure]);
    expect(azure.write(seal).metadata.get("encryptiondata")).toBe(encryptiondata);
  });
});
