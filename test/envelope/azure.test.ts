/** Azure client-side encryption: vectors, every wrap, what a rewrap leaves alone, what is refused, and what a changed byte comes to. */
import { constants, createCipheriv, generateKeyPairSync, publicEncrypt } from "node:crypto";
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SealiftError } from "../../src/core/error.ts";
import { DataKey, type KeyUri } from "../../src/core/key.ts";
import type { Seal } from "../../src/envelope/envelope.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { azure } from "../../src/envelope/azure/azure.ts";
import { plain } from "../../src/envelope/plain.ts";
import { s3ecV1 } from "../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { tink } from "../../src/envelope/tink/tink.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { openRsaKms } from "../../src/kms/local/rsa.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { recognise } from "../../src/transfer/recognise.ts";
import { type DocumentParts, documentOf, nonceOf, sealBlocks, sealRegions, withProtocol } from "./azuresealer.ts";
import { ALL_KEYS, AWS_KEY, codeOf, collect, GCP_KEY, headOf, inPieces, pattern, wrappedFor } from "./material.ts";

interface Vector {
  readonly name: string;
  readonly encryptiondata: object;
  readonly bodyHex: string;
  readonly kekHex: string;
  readonly plaintextHex: string;
}
const { vectors }: { vectors: readonly Vector[] } = JSON.parse(
  readFileSync(new URL("../vectors/azure/selfmade.json", import.meta.url), "utf8"),
);
const hex = (text: string): Buffer => Buffer.from(text, "hex");
const never = new AbortController().signal;
const ENVELOPES = [s3ecV3, s3ecV2, s3ecV1, tink, azure, plain];
const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const OTHER_RSA = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey;

let directory = "";
let kms: readonly Kms[] = [];
const KEYS: Readonly<Record<string, Buffer>> = {
  kek1: hex(vectors[0]?.kekHex ?? ""),
  short: Buffer.alloc(16, 5),
  middle: Buffer.alloc(24, 6),
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealift-azure-"));
  await chmod(directory, 0o700);
  for (const [name, key] of Object.entries(KEYS))
    await writeFile(join(directory, `${name}.key`), key.toString("base64"), { mode: 0o600 });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  await writeFile(join(directory, "vault.pem"), pem, { mode: 0o600 });
  kms = [openLocalKms({ directory }), openRsaKms({ directory })];
});
afterAll(async () => {
  await Promise.all(kms.map((one) => one.close()));
  await rm(directory, { recursive: true });
});

function read(encryptiondata: string, sizeBytes: number): Seal {
  const { envelope, seal } = recognise(headOf({ encryptiondata }, sizeBytes), new Uint8Array(), ENVELOPES);
  expect(envelope.id).toBe("azure");
  return seal;
}

const opened = async (encryptiondata: string, body: Uint8Array, sizes?: readonly number[]): Promise<Buffer> =>
  collect(await openPlaintext(headOf({ encryptiondata }, body.length), inPieces(body, sizes), ENVELOPES, kms, never));

describe("vectors", () => {
  it("are there, one of each protocol", () => expect(vectors.length).toBe(4));

  it.each(vectors)("$name opens, whole and byte by byte, and is written again as it was", async (vector) => {
    const text = JSON.stringify(vector.encryptiondata);
    const body = hex(vector.bodyHex);
    for (const sizes of [[body.length], [1], [7, 0, 30]])
      expect((await opened(text, body, sizes)).toString("hex")).toBe(vector.plaintextHex);
    const seal = read(text, body.length);
    expect(azure.write(seal).metadata).toEqual(new Map([["encryptiondata", text]]));
    expect(seal.context).toEqual(new Map([["KeyId", "local:kek1"]]));
  });

  it.each(vectors)("$name: one changed bit or a cut is refused, in pieces as well", async (vector) => {
    const text = JSON.stringify(vector.encryptiondata);
    const body = hex(vector.bodyHex);
    const isCbc = vector.name.startsWith("V1");
    const answer = async (bytes: Uint8Array, sizes?: readonly number[]) => codeOf(() => opened(text, bytes, sizes));
    for (let bit = 0; bit < body.length * 8; bit += isCbc ? 61 : 3) {
      const changed = Buffer.from(body);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const whole = await answer(changed);
      if (!isCbc) expect(whole, `bit ${bit}`).toBe("SEAL_FORGED");
      if (bit % 8 === 0) expect(await answer(changed, [1])).toBe(whole);
    }
    const region = vector.name.includes("region 32") ? 60 : body.length;
    for (let length = 0; length < body.length; length++) {
      const code = await answer(body.subarray(0, length));
      const isEdge = !isCbc && length % region === 0;
      if (isEdge) expect(code, `${length} bytes`).toBe("no error");
      else expect(["SEAL_FORGED", "SEAL_MALFORMED"], `${length} bytes`).toContain(code);
    }
  });

  it.each(vectors)("$name: one changed bit of the wrapped key does not open", async (vector) => {
    const text = JSON.stringify(vector.encryptiondata);
    const seal = read(text, hex(vector.bodyHex).length);
    const wrapped = seal.wrapped?.bytes ?? new Uint8Array();
    for (let bit = 0; bit < wrapped.length * 8; bit += 5) {
      const bytes = Uint8Array.from(wrapped);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const changed = azure.write({ ...seal, wrapped: { ...seal.wrapped, bytes } as NonNullable<Seal["wrapped"]> });
      const document = changed.metadata.get("encryptiondata") ?? "";
      expect(await codeOf(() => opened(document, hex(vector.bodyHex))), `bit ${bit}`).toBe("KMS_CANNOT_OPEN");
    }
  });
});

const KEY = Buffer.from(pattern(32));
const TEXT = pattern(150);
const wrapAes = (name: string, what: Uint8Array) => {
  const kek = KEYS[name] ?? Buffer.alloc(0);
  const cipher = createCipheriv(`id-aes${kek.length * 8}-wrap`, kek, Buffer.alloc(8, 0xa6));
  return Buffer.concat([cipher.update(what), cipher.final()]);
};
const byRsa = (padding: number, oaepHash: string | undefined, what: Uint8Array, key = publicKey) =>
  publicEncrypt({ key, padding, ...(oaepHash === undefined ? {} : { oaepHash }) }, what);
const OAEP = constants.RSA_PKCS1_OAEP_PADDING;
const WRAPS: Readonly<Record<string, (what: Uint8Array) => Buffer>> = {
  A128KW: (what) => wrapAes("short", what),
  A192KW: (what) => wrapAes("middle", what),
  A256KW: (what) => wrapAes("kek1", what),
  CKM_AES_KEY_WRAP: (what) => wrapAes("kek1", what),
  "RSA-OAEP": (what) => byRsa(OAEP, "sha1", what),
  "RSA-OAEP-256": (what) => byRsa(OAEP, "sha256", what),
  RSA1_5: (what) => byRsa(constants.RSA_PKCS1_PADDING, undefined, what),
};

function object(protocol: string, algorithm: string, more: Partial<DocumentParts> = {}) {
  const isFirst = protocol === "1.0";
  const what = isFirst ? KEY : withProtocol(protocol, KEY);
  const encryptedKey = WRAPS[algorithm]?.(what) ?? Buffer.alloc(48);
  const text = documentOf({ protocol, algorithm, encryptedKey, regionBytes: 64, ...more });
  const body = isFirst ? sealBlocks(TEXT, KEY, Buffer.alloc(16, 2)) : sealRegions(TEXT, KEY, 64, "java");
  return { text, body };
}

describe("wraps", () => {
  for (const protocol of ["1.0", "2.0", "2.1"]) {
    it.each(Object.keys(WRAPS))(`protocol ${protocol}, %s`, async (algorithm) => {
      const { text, body } = object(protocol, algorithm);
      expect((await opened(text, body)).equals(TEXT)).toBe(true);
    });
  }

  it("every failure of RSA has one answer: another key, another padding, a message of another length", async () => {
    const answers = new Set<string>();
    const fake = (algorithm: string, encryptedKey: Uint8Array) => object("2.0", algorithm, { encryptedKey });
    for (const { text, body } of [
      fake("RSA1_5", byRsa(constants.RSA_PKCS1_PADDING, undefined, withProtocol("2.0", KEY), OTHER_RSA)),
      fake("RSA1_5", byRsa(constants.RSA_PKCS1_PADDING, undefined, Buffer.alloc(24, 1))),
      fake("RSA1_5", byRsa(OAEP, "sha1", withProtocol("2.0", KEY))),
      fake("RSA1_5", Buffer.alloc(256, 0xff)),
      fake("RSA-OAEP", byRsa(OAEP, "sha256", withProtocol("2.0", KEY))),
      fake("RSA-OAEP-256", byRsa(OAEP, "sha1", withProtocol("2.0", KEY))),
      fake("RSA-OAEP", byRsa(OAEP, "sha1", Buffer.alloc(39, 1))),
      fake("RSA1_5", byRsa(constants.RSA_PKCS1_PADDING, undefined, KEY)),
      // A block that passes, around a key of no protocol or another one: told in no other words.
      fake("RSA1_5", byRsa(constants.RSA_PKCS1_PADDING, undefined, withProtocol("2.1", KEY))),
      fake("RSA-OAEP-256", byRsa(OAEP, "sha256", withProtocol("", KEY))),
      object("1.0", "RSA1_5", {
        encryptedKey: byRsa(constants.RSA_PKCS1_PADDING, undefined, withProtocol("2.0", KEY)),
      }),
    ]) {
      const error = await opened(text, body).catch((thrown: SealiftError) => thrown);
      answers.add(error instanceof SealiftError ? `${error.code} ${error.message}` : "opened");
    }
    expect(answers.size).toBe(1);
    expect([...answers][0]).toMatch(/^KMS_CANNOT_OPEN /);
  });

  it("a key of another protocol is forged, in the words of a changed body", async () => {
    const { body } = object("2.0", "A256KW");
    for (const prefix of ["2.1", "1.0", ""]) {
      const encryptedKey = wrapAes("kek1", withProtocol(prefix, KEY));
      const { text } = object("2.0", "A256KW", { encryptedKey });
      const error = await opened(text, body).catch((thrown: SealiftError) => thrown);
      expect(error).toMatchObject({ code: "SEAL_FORGED", message: expect.stringContaining("under this data key") });
    }
  });
});

describe("regions", () => {
  const text = documentOf({
    protocol: "2.1",
    regionBytes: 16,
    encryptedKey: wrapAes("kek1", withProtocol("2.1", KEY)),
  });
  const three = sealRegions(pattern(48), KEY, 16, "python");
  const region = (index: number) => three.subarray(index * 44, (index + 1) * 44);

  it.each(["python", "java", ".net"] as const)("are counted as %s counts", async (style) => {
    const body = sealRegions(pattern(5000), KEY, 16, style);
    expect((await opened(text, body)).equals(pattern(5000))).toBe(true);
    expect(nonceOf(style, 1).equals(nonceOf(style, 2))).toBe(false);
  });

  it("left out, swapped, repeated, or of two clients, they are forged", async () => {
    const other = sealRegions(pattern(48), KEY, 16, "java");
    for (const body of [
      Buffer.concat([region(1), region(2)]),
      Buffer.concat([region(0), region(2)]),
      Buffer.concat([region(0), region(2), region(1)]),
      Buffer.concat([region(0), region(0)]),
      Buffer.concat([region(0), region(1), other.subarray(88)]),
    ])
      expect(await codeOf(() => opened(text, body))).toBe("SEAL_FORGED");
    expect((await opened(text, three)).length).toBe(48);
  });

  it("none at all is an empty blob, and so is one without a byte; a second without a byte is not there", async () => {
    const cipher = createCipheriv("aes-256-gcm", KEY, Buffer.alloc(12));
    cipher.final();
    const lone = Buffer.concat([Buffer.alloc(12), cipher.getAuthTag()]);
    expect((await opened(text, Buffer.alloc(0))).length).toBe(0);
    expect((await opened(text, lone)).length).toBe(0);
    const second = createCipheriv("aes-256-gcm", KEY, nonceOf("python", 1));
    second.final();
    const empty = Buffer.concat([nonceOf("python", 1), second.getAuthTag()]);
    const twice = Buffer.concat([region(0), empty]);
    expect(await codeOf(() => opened(text, twice))).toBe("SEAL_MALFORMED");
    const seal = read(text, 44);
    const key = new DataKey(withProtocol("2.1", KEY));
    expect(await codeOf(() => collect(azure.open(inPieces(twice), seal, key)))).toBe("SEAL_FORGED");
  });
});

describe("a rewrap", () => {
  const odd =
    '{ "Later" : [1.50, {"a/b":null}, "\\u002b"],\n "WrappedContentKey":{"Algorithm":"A256KW","KeyId":"my\\u0020key","More":7,' +
    `"EncryptedKey":"${Buffer.alloc(48, 3).toString("base64")}"},"EncryptionAgent":{"Protocol":"2.0","EncryptionAlgorithm":"AES_GCM_256",` +
    '"Extra":"ö"},"EncryptedRegionInfo":{"DataLength":4194304,"NonceLength":12},"ContentEncryptionIV":null,"EncryptionMode":"FullBlob" }';

  it("changes three values and no other byte of the document", () => {
    const seal = read(odd, 100);
    for (const to of ALL_KEYS) {
      const moved = withWrapped(azure.retarget(seal, to), wrappedFor(to));
      const text = azure.write(moved).metadata.get("encryptiondata") ?? "";
      const expected = odd
        .replace('"my\\u0020key"', JSON.stringify(to))
        .replace('"A256KW"', JSON.stringify(to.slice(0, to.indexOf("://"))))
        .replace(Buffer.alloc(48, 3).toString("base64"), Buffer.from(wrappedFor(to).bytes).toString("base64"));
      expect(text).toBe(expected);
      const again = read(text, 100);
      expect(again).toMatchObject({ wrap: moved.wrap, form: "none", wrapped: { uri: to } });
      expect(again.context.size).toBe(0);
    }
    expect(azure.retarget(seal, GCP_KEY).notes.join()).toContain('"my key"');
  });

  it("is refused under keys that only open, and nothing new is sealed", async () => {
    const seal = read(odd, 100);
    expect(await codeOf(() => azure.retarget(seal, "local-rsa://k" as KeyUri))).toBe("SEAL_UNSUPPORTED");
    expect(await codeOf(() => azure.fresh(new Map(), AWS_KEY))).toBe("SEAL_UNSUPPORTED");
    expect(await codeOf(() => azure.seal(inPieces(TEXT), seal, new DataKey(KEY)))).toBe("SEAL_UNSUPPORTED");
  });
});

describe("Snowflake's envelope on Google Cloud Storage", () => {
  it.each([16, 32])("opens with the stage's master key, data keys of %i bytes", async (keyBytes) => {
    const key = KEY.subarray(0, keyBytes);
    const cipher = createCipheriv("aes-256-ecb", KEYS["kek1"] ?? Buffer.alloc(0), null);
    const encryptedKey = Buffer.concat([cipher.update(key), cipher.final()]);
    const encryptiondata = documentOf({ protocol: "1.0", algorithm: "AES_CBC_256", keyId: "symmKey1", encryptedKey });
    const matdesc = '{"queryId":"q","smkId":"1","keySize":"256"}';
    const body = sealBlocks(TEXT, key, Buffer.alloc(16, 2));
    const head = headOf({ encryptiondata, matdesc }, body.length);
    const plaintext = await collect(await openPlaintext(head, inPieces(body), ENVELOPES, kms, never));
    expect(plaintext.equals(TEXT)).toBe(true);
    const seal = azure.read(head, new Uint8Array()) as Seal;
    // What describes the key to Snowflake is its own metadata, and stays.
    expect(seal.owns).toEqual(["encryptiondata"]);
    expect(azure.retarget(seal, GCP_KEY)).toMatchObject({ wrap: "gcp-kms" });
  });
});

describe("what is refused", () => {
  const whole = documentOf({ protocol: "2.0" });
  const first = documentOf({ protocol: "1.0" });
  const answer = (encryptiondata: string, sizeBytes = 64, more = {}) =>
    codeOf(() => recognise(headOf({ encryptiondata, ...more }, sizeBytes), new Uint8Array(), ENVELOPES));

  it.each<[string, string, string]>([
    ["nothing in it", "", "SEAL_MALFORMED"],
    ["an empty object", "{}", "SEAL_MALFORMED"],
    ["a list", "[]", "SEAL_MALFORMED"],
    ["two objects", `${whole}{}`, "SEAL_MALFORMED"],
    ["a comma too many", whole.replace("}}", "},}"), "SEAL_MALFORMED"],
    ["a name twice", whole.replace('"KeyId"', '"KeyId":"a","KeyId"'), "SEAL_MALFORMED"],
    ["a name twice, in two spellings of JSON", whole.replace('"KeyId"', '"Key\\u0049d":"a","KeyId"'), "SEAL_MALFORMED"],
    ["too deep", whole.replace('"a client 1.0"', `${"[".repeat(20)}${"]".repeat(20)}`), "SEAL_MALFORMED"],
    ["too long", whole.replace("a client", "a".repeat(8192)), "SEAL_MALFORMED"],
    ["no key id", whole.replace('"kek"', '""'), "SEAL_MALFORMED"],
    ["a wrapped key that is no base64", whole.replace("AwMD", "A!MD"), "SEAL_MALFORMED"],
    [
      "a wrapped key of another length",
      documentOf({ protocol: "2.0", encryptedKey: Buffer.alloc(40) }),
      "SEAL_MALFORMED",
    ],
    ["one in 1.0", documentOf({ protocol: "1.0", encryptedKey: Buffer.alloc(48) }), "SEAL_MALFORMED"],
    ["a wrap that is not carried", documentOf({ protocol: "2.0", algorithm: "A256GCM" }), "SEAL_UNSUPPORTED"],
    ["Snowflake's wrap beside AES-GCM", documentOf({ protocol: "2.0", algorithm: "AES_CBC_256" }), "SEAL_UNSUPPORTED"],
    ["our wrap without the key's URI", documentOf({ protocol: "2.0", algorithm: "gcp-kms" }), "SEAL_MALFORMED"],
    [
      "our wrap with another's",
      documentOf({ protocol: "2.0", algorithm: "gcp-kms", keyId: AWS_KEY }),
      "SEAL_MALFORMED",
    ],
    ["another mode", whole.replace("FullBlob", "Blocks"), "SEAL_UNSUPPORTED"],
    ["another protocol", whole.replace('"2.0"', '"3.0"'), "SEAL_UNSUPPORTED"],
    ["AES-GCM relabelled as 1.0", whole.replace('"2.0"', '"1.0"'), "SEAL_MALFORMED"],
    ["AES-GCM relabelled as AES-CBC", whole.replace("AES_GCM_256", "AES_CBC_256"), "SEAL_MALFORMED"],
    ["1.0 relabelled as 2.0", first.replace('"1.0"', '"2.0"'), "SEAL_MALFORMED"],
    ["1.0 without IV", first.replace("ContentEncryptionIV", "IV"), "SEAL_MALFORMED"],
    ["1.0 with a short IV", documentOf({ protocol: "1.0", iv: Buffer.alloc(12) }), "SEAL_MALFORMED"],
    [
      "1.0 with regions",
      first.replace('"KeyWrapping', '"EncryptedRegionInfo":{"DataLength":1},"KeyWrapping'),
      "SEAL_MALFORMED",
    ],
    ["2.0 with an IV", whole.replace('"KeyWrapping', '"ContentEncryptionIV":"AAAA","KeyWrapping'), "SEAL_MALFORMED"],
    ["2.0 without regions", whole.replace("EncryptedRegionInfo", "Regions"), "SEAL_MALFORMED"],
    ["regions of nothing", documentOf({ protocol: "2.1", regionBytes: 0 }), "SEAL_MALFORMED"],
    ["regions of a part of a byte", documentOf({ protocol: "2.1", regionBytes: 0.5 }), "SEAL_MALFORMED"],
    ["regions as text", whole.replace("4194304", '"4194304"'), "SEAL_MALFORMED"],
    ["enormous regions", documentOf({ protocol: "2.1", regionBytes: 2 ** 31 }), "SEAL_UNSUPPORTED"],
    ["another nonce", whole.replace('"NonceLength":12', '"NonceLength":16'), "SEAL_MALFORMED"],
    ["all of it", whole, "no error"],
    ["all of 1.0", first, "no error"],
  ])("%s", async (_, document, expected) => {
    expect(await answer(document)).toBe(expected);
  });

  it("a body that no plaintext has, two spellings, two formats", async () => {
    expect(await answer(whole, 28)).toBe("no error");
    for (const size of [1, 12, 27]) expect(await answer(whole, size), String(size)).toBe("SEAL_MALFORMED");
    for (const size of [0, 8, 65]) expect(await answer(first, size), String(size)).toBe("SEAL_MALFORMED");
    expect(await answer(whole, 64, { Encryptiondata: whole })).toBe("SEAL_MALFORMED");
    expect(await answer(whole, 64, { "sealift-tink": "AES_GCM/RAW", "sealift-tink-key": GCP_KEY })).toBe(
      "SEAL_MALFORMED",
    );
    const { metadata } = s3ecV2.write(withWrapped(s3ecV2.fresh(new Map(), GCP_KEY).seal, wrappedFor(GCP_KEY)));
    expect(await answer(whole, 64, Object.fromEntries(metadata))).toBe("SEAL_MALFORMED");
  });

  it("every cut of the document, and every changed character, is read as it stands or refused", async () => {
    for (let at = 0; at < whole.length; at++) {
      expect(await answer(whole.slice(0, at)), `cut at ${at}`).toBe("SEAL_MALFORMED");
      const changed = whole.slice(0, at) + String.fromCharCode(whole.charCodeAt(at) ^ 1) + whole.slice(at + 1);
      expect(["no error", "SEAL_MALFORMED", "SEAL_UNSUPPORTED"], `at ${at}`).toContain(await answer(changed));
    }
  });
});
