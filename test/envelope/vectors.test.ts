/**
 * Vectors of official writers and readers (test/vectors/s3ec; each file names its source): every object is read as a whole, opened
 * in one piece and byte by byte, and written again; an object whose envelope is in an instruction file is refused by its code where
 * nobody has joined the two (instruction.test.ts does). Objects under bare keys are in raw.test.ts.
 */
import { describe, expect, it } from "vitest";
import { DataKey } from "../../src/core/key.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import type { Envelope, Seal } from "../../src/envelope/envelope.ts";
import { plain } from "../../src/envelope/plain.ts";
import { openCbc } from "../../src/envelope/s3ec/cbc.ts";
import { bodyKeyOf, commitmentOf } from "../../src/envelope/s3ec/commitment.ts";
import { openGcm, sealGcm } from "../../src/envelope/s3ec/gcm.ts";
import { s3ecV1 } from "../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { load, vectors } from "./keyring.ts";
import { codeOf, collect, headOf, inPieces } from "./material.ts";

interface ObjectVector {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly body_hex?: string | null;
  readonly plaintext_hex?: string;
  readonly data_key_base64?: string;
  readonly kms_request?: unknown;
}

const objects = (file: string): readonly ObjectVector[] => load<{ cases: ObjectVector[] }>(file).cases;
const named = (file: string, name: RegExp): readonly ObjectVector[] => {
  const found = objects(file).filter((vector) => name.test(vector.name));
  if (found.length === 0) throw new Error(`${file} holds nothing like ${name}`);
  return found;
};
const hex = (text: string | null | undefined): Buffer => Buffer.from(text ?? "", "hex");
const base64 = (text: string | undefined): Buffer => Buffer.from(text ?? "", "base64");

const envelopes: readonly Envelope[] = [s3ecV3, s3ecV2, s3ecV1, plain];
function recognise(metadata: ObjectVector["metadata"], sizeBytes: number): { envelope: Envelope; seal: Seal } {
  for (const envelope of envelopes) {
    const seal = envelope.read(headOf(metadata, sizeBytes), new Uint8Array());
    if (seal !== undefined) return { envelope, seal };
  }
  throw new Error("no envelope took the object");
}

function takenForPlain(metadata: ObjectVector["metadata"], sizeBytes: number): Seal | undefined {
  try {
    return plain.read(headOf(metadata, sizeBytes), new Uint8Array());
  } catch {
    return undefined;
  }
}

/** What a write may change of an official object: the text of the JSON map, the missing tag length, the MD5 that is dropped. */
function normalised(metadata: ObjectVector["metadata"]): Map<string, string> {
  const map = new Map(Object.entries(metadata));
  map.delete("x-amz-unencrypted-content-md5");
  if (map.get("x-amz-cek-alg") === "AES/GCM/NoPadding") map.set("x-amz-tag-len", "128");
  return map;
}

const jsonNames = ["x-amz-matdesc", "x-amz-t"];
function parsed(metadata: ReadonlyMap<string, string>): Record<string, unknown> {
  return Object.fromEntries([...metadata].map(([name, v]) => [name, jsonNames.includes(name) ? JSON.parse(v) : v]));
}

const openable = [
  ...named("01-v3-commit-go", /^GetMockV3Object$/),
  ...named("02-v2-kms-go", /^(GetMockV2Object|V1Interop)/),
  ...objects("04-v2-kms-aws-sdk-go-v1"),
  ...named("10-official-ruby-writer-output", /^ruby-v(1-kms-cbc|2-kms-context)-40B$/),
  ...named("12-generated-from-spec", /^(V3 kms 100B|V2 kms AES-CBC)/),
];

describe("objects of official writers open, whole and byte by byte", () => {
  it.each(openable)("$name", async ({ metadata, body_hex, plaintext_hex, data_key_base64 }) => {
    const body = hex(body_hex);
    const { envelope, seal } = recognise(metadata, body.length);
    const key = new DataKey(base64(data_key_base64));
    envelope.check(seal, key);
    for (const sizes of [[body.length], [1], [15, 1, 17]]) {
      expect((await collect(envelope.open(inPieces(body, sizes), seal, key))).toString("hex")).toBe(plaintext_hex);
    }
    if (seal.content !== "AES/CBC/PKCS5Padding") {
      expect((await collect(envelope.seal(inPieces(hex(plaintext_hex)), seal, key))).equals(body)).toBe(true);
    }
    expect(Object.keys(metadata).toSorted()).toEqual([...seal.owns].toSorted());
  });
  it.each(openable)("written again: $name", ({ metadata, body_hex }) => {
    const { envelope, seal } = recognise(metadata, hex(body_hex).length);
    const { metadata: written } = envelope.write(seal);
    expect(parsed(written)).toEqual(parsed(normalised(metadata)));
    for (const value of written.values()) expect(value).toMatch(/^[!-~]+$/);
  });
});

describe("metadata of official writers", () => {
  it("Amazon SES: kms, four pairs of context", () => {
    const [ses] = objects("07-ses-metadata");
    const { seal } = recognise(ses?.metadata ?? {}, 3946 + 16);
    expect(seal).toMatchObject({ format: "s3ec-v2", wrap: "kms" });
    expect([...seal.context.keys()]).toEqual([
      "aws:ses:message-id",
      "aws:ses:rule-name",
      "aws:ses:source-account",
      "kms_cmk_id",
    ]);
    expect(seal.wrapped?.bytes.length).toBe(184);
  });
  it("Hadoop S3A: kms+context over an empty body", () => {
    const [hadoop] = named("08-metadata-samples", /^Hadoop/);
    expect(recognise(hadoop?.metadata ?? {}, 16).seal.wrapped?.bytes.length).toBe(184);
  });
  it("Java SDK v1, encryption only: a 204-byte wrapped key", () => {
    const [java] = named("08-metadata-samples", /encryption only/);
    expect(recognise(java?.metadata ?? {}, 32_784).seal.wrapped?.bytes.length).toBe(204);
  });
  it("Java SDK v1, authenticated: the truncated base64 of the manual is malformed", async () => {
    const [java] = named("08-metadata-samples", /authenticated/);
    expect(await codeOf(() => recognise(java?.metadata ?? {}, 32_784))).toBe("SEAL_MALFORMED");
  });
  it("the context is what the official client sent to the KMS", () => {
    const [ruby] = named("10-official-ruby-writer-output", /^ruby-v2-kms-context-40B$/);
    const { seal } = recognise(ruby?.metadata ?? {}, hex(ruby?.body_hex).length);
    expect(ruby?.kms_request).toMatchObject({ params: { encryption_context: Object.fromEntries(seal.context) } });
  });
  it.each(
    load<{ encryption_context_cases: { name: string; metadata: ObjectVector["metadata"]; expect: string }[] }>(
      "02-v2-kms-go",
    ).encryption_context_cases,
  )("context: $name", async ({ metadata, expect: outcome }) => {
    // Whether the caller's map equals the stored one is the reader's own question; here only the text can be wrong.
    const code = outcome.includes("not JSON") ? "SEAL_MALFORMED" : "no error";
    expect(await codeOf(() => recognise(metadata, 72))).toBe(code);
  });
});

describe("objects that are refused, by code", () => {
  const refusals: readonly (readonly [string, RegExp, string])[] = [
    ["01-v3-commit-go", /InvalidKCValue/, "SEAL_MALFORMED"],
    ["10-official-ruby-writer-output", /instruction-file/, "SEAL_UNSUPPORTED"],
    ["12-generated-from-spec", /-instr/, "SEAL_UNSUPPORTED"],
  ];
  const cases = refusals.flatMap(([file, name, code]) => named(file, name).map((vector) => ({ ...vector, code })));
  it.each(cases)("$name: $code", async ({ metadata, body_hex, code }) => {
    const sizeBytes = hex(body_hex).length;
    expect(takenForPlain(metadata, sizeBytes)).toBeUndefined();
    expect(await codeOf(() => recognise(metadata, sizeBytes))).toBe(code);
  });
  it("every vector with metadata has its place here", () => {
    const files = ["01-v3-commit-go", "02-v2-kms-go", "04-v2-kms-aws-sdk-go-v1", "10-official-ruby-writer-output"];
    const bare = vectors.filter(({ wrappedBy, instruction }) => wrappedBy !== undefined && !instruction);
    const placed = new Set([...openable, ...cases, ...bare].map(({ name }) => name));
    const left = [...files, "12-generated-from-spec"].flatMap(objects).filter(({ name }) => !placed.has(name));
    expect(left.map(({ name }) => name)).toEqual([
      "GetMockV3ObjectWithIncorrectKCValue", // below: read whole, refused by its commitment
      "OnlyDecryptsRegisteredAlgorithms (data key unknown; metadata/body only)",
    ]);
  });
});

describe("the commitment of V3", () => {
  const kat = load<{ cases: Record<string, string>[] }>("03-hkdf-commit-kat").cases;
  it.each(kat)("derivation $name", ({ data_key_hex, message_id_hex, encryption_key_hex, commitment_hex }) => {
    expect(commitmentOf(hex(data_key_hex), hex(message_id_hex)).toString("hex")).toBe(commitment_hex);
    expect(bodyKeyOf(hex(data_key_hex), hex(message_id_hex)).toString("hex")).toBe(encryption_key_hex);
  });
  it("refuses a key whose commitment differs, before any byte", async () => {
    const [vector] = named("01-v3-commit-go", /IncorrectKCValue/);
    const body = hex(vector?.body_hex);
    const { seal } = recognise(vector?.metadata ?? {}, body.length);
    const key = new DataKey(base64(vector?.data_key_base64));
    expect(await codeOf(() => s3ecV3.check(seal, key))).toBe("SEAL_FORGED");
    let touched = false;
    async function* watched() {
      touched = true;
      yield body;
    }
    expect(await codeOf(() => collect(s3ecV3.open(watched(), seal, key)))).toBe("SEAL_FORGED");
    expect(touched).toBe(false);
  });
  it("refuses bodies of pre-release writers, whose IV was zero", async () => {
    const [vector] = load<{ cases: PhpVector[] }>("03-hkdf-commit-kat").cases.slice(2);
    if (vector === undefined) throw new Error("no such vector");
    const key = new DataKey(hex(vector.data_key_hex));
    const { seal } = recognise(
      {
        "x-amz-3": "b3BhcXVl",
        "x-amz-w": "12",
        "x-amz-c": "115",
        "x-amz-t": '{"aws:x-amz-cek-alg":"115"}',
        "x-amz-d": hex(vector.commitment_hex).toString("base64"),
        "x-amz-i": hex(vector.message_id_hex).toString("base64"),
      },
      29,
    );
    const openOf = (text: string) => collect(s3ecV3.open(inPieces(hex(text)), seal, key));
    expect((await openOf(vector.with_release_iv.ciphertext_and_tag_hex)).toString()).toBe("Hello, World!");
    expect(await codeOf(() => openOf(vector.prerelease_ciphertext.ciphertext_and_tag_hex))).toBe("SEAL_FORGED");
  });
});

interface PhpVector {
  readonly data_key_hex: string;
  readonly message_id_hex: string;
  readonly commitment_hex: string;
  readonly with_release_iv: { readonly ciphertext_and_tag_hex: string };
  readonly prerelease_ciphertext: { readonly ciphertext_and_tag_hex: string };
}

describe("primitives", () => {
  const gcm = load<{ cases: Record<"key" | "pt" | "aad" | "iv" | "ct" | "tag" | "comment", string>[] }>(
    "06-aes-gcm-primitive-kat",
  );
  it.each(gcm.cases)("$comment $key", async ({ key, pt, aad, iv, ct, tag }) => {
    const parameters = { key: hex(key), iv: hex(iv), aad: hex(aad) };
    const body = Buffer.concat([hex(ct), hex(tag)]);
    expect((await collect(sealGcm(inPieces(hex(pt)), parameters))).equals(body)).toBe(true);
    expect((await collect(openGcm(inPieces(body, [1]), parameters))).equals(hex(pt))).toBe(true);
  });
  const cbc = load<{ cases: Record<string, string>[] }>("09-aes-cbc-primitive-kat").cases;
  it.each(cbc)(
    "AES-CBC $key_hex $plaintext_hex",
    async ({ key_hex, iv_hex, plaintext_hex, ciphertext_hex, padding }) => {
      const act = () => collect(openCbc(inPieces(hex(ciphertext_hex), [7]), hex(key_hex), hex(iv_hex)));
      if (padding === "none") expect(await codeOf(act)).toBe("SEAL_FORGED");
      else expect((await act()).toString("hex")).toBe(plaintext_hex);
    },
  );
  it("fixed-IV bodies of the Go client come out byte for byte", async () => {
    const { encrypt_cases } = load<{
      encrypt_cases: (ObjectVector & { iv_hex: string; kms_ciphertext_blob_base64: string })[];
    }>("02-v2-kms-go");
    expect(encrypt_cases.length).toBe(2);
    for (const { iv_hex, data_key_base64, plaintext_hex, body_hex, kms_ciphertext_blob_base64 } of encrypt_cases) {
      const metadata = {
        "x-amz-key-v2": kms_ciphertext_blob_base64,
        "x-amz-iv": hex(iv_hex).toString("base64"),
        "x-amz-wrap-alg": "kms+context",
        "x-amz-cek-alg": "AES/GCM/NoPadding",
        "x-amz-matdesc": '{"aws:x-amz-cek-alg":"AES/GCM/NoPadding"}',
      };
      const { envelope, seal } = recognise(metadata, hex(body_hex).length);
      const whole = withWrapped(seal, { scheme: "aws-kms", bytes: base64(kms_ciphertext_blob_base64) });
      const body = await collect(
        envelope.seal(inPieces(hex(plaintext_hex)), whole, new DataKey(base64(data_key_base64))),
      );
      expect(body.toString("hex")).toBe(body_hex);
    }
  });
});
