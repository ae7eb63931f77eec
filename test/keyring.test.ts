/** The official client (@aws-crypto/client-node) and this program read each other's messages. */
import { randomBytes } from "node:crypto";
import {
  AlgorithmSuiteIdentifier,
  buildClient,
  CommitmentPolicy,
  type KeyringNode,
  KMS,
  KmsKeyringNode,
  RawAesKeyringNode,
  RawAesWrappingSuiteIdentifier,
} from "@aws-crypto/client-node";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asSealiftError } from "../src/core/error.ts";
import { type KeyUri, keyName, keyUri } from "../src/core/key.ts";
import { type EsdkPlace, esdkIn } from "../src/envelope/esdk/esdk.ts";
import { SealiftKeyring } from "../src/keyring.ts";
import { openAwsKms } from "../src/kms/aws.ts";
import { openGcpKms } from "../src/kms/gcp/gcp.ts";
import type { Kms } from "../src/kms/kms.ts";
import { openLocalKms } from "../src/kms/local.ts";
import { openRsaKms } from "../src/kms/local/rsa.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../src/pocket/awskms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../src/pocket/gcpkms.ts";
import { copyObject } from "../src/transfer/copy.ts";
import { openPlaintext } from "../src/transfer/read.ts";
import { file, KEYS, SMALL, VECTORS } from "./envelope/esdk/vectors.ts";
import { bytesOf, collect, Harbour, headOf, type KeyRing, makeKeyRing, rulesOf } from "./transfer/harness.ts";
import { NEVER } from "./transfer/wayward.ts";

/** Old suites too: the client's default refuses what does not commit. */
const { encrypt, decrypt } = buildClient(CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT);
const strict = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);

let ring: KeyRing;
let cloud: PocketGcpKms;
let gcp: Kms;
let source: Kms[];
let gcpKey: KeyUri;
let awsCloud: PocketAwsKms;
let aws: Kms;
let awsKey: KeyUri;
const alias = keyUri("aws-kms://alias/moved");
const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const LOCAL = ["local://aes-128", "local://aes-256", "local-rsa://rsa", "local://old"].map(keyUri);

beforeAll(async () => {
  ring = await makeKeyRing();
  const put = (name: string, text: string) => writeFile(join(ring.directory, name), text, { mode: 0o600 });
  for (const name of ["aes-128", "aes-256"]) await put(`${name}.key`, `${KEYS[name]?.material}\n`);
  await put("rsa.pem", KEYS["rsa-4096-private"]?.material ?? "");
  cloud = await startPocketGcpKms();
  gcpKey = keyUri(`gcp-kms://${cloud.createKey("k")}`);
  gcp = openGcpKms({ endpoint: cloud.url, anonymous: true });
  awsCloud = await startPocketAwsKms();
  awsKey = keyUri(`aws-kms://${awsCloud.createKey()}`);
  const owner = new KMS({ endpoint: awsCloud.url, region: "us-east-1", credentials: CREDENTIALS });
  await owner.createAlias({ AliasName: keyName(alias), TargetKeyId: keyName(awsKey) });
  owner.destroy();
  aws = openAwsKms({ endpoint: awsCloud.url, region: "us-east-1", credentials: CREDENTIALS });
  source = [aws, openLocalKms({ directory: ring.directory }), openRsaKms({ directory: ring.directory }), gcp];
});
afterAll(async () => {
  await Promise.all(source.map((kms) => kms.close()));
  await Promise.all([cloud.close(), awsCloud.close(), ring.cleanup()]);
});

/** An object after its migration; to Google where nothing else is said. */
async function moved(
  message: Buffer,
  wrapWith: KeyUri = gcpKey,
  kms: Kms = gcp,
  place: EsdkPlace = "auto",
  beside: Readonly<Record<string, string>> = {},
): Promise<{ body: Buffer; metadata: Record<string, string> }> {
  const harbour = new Harbour(ring);
  const listed = await harbour.raw(harbour.source, "m", message, { metadata: new Map(Object.entries(beside)) });
  const envelopes = harbour.shores().envelopes.map((each) => (each.id === "esdk" ? esdkIn({ place }) : each));
  const shores = { ...harbour.shores(), sourceKms: source, destinationKms: [kms], envelopes };
  const rules = rulesOf({ wrapWith, allow: [...LOCAL, awsKey, gcpKey] });
  const receipt = await copyObject(listed, shores, rules, { verify: true, signal: NEVER });
  expect(receipt).toMatchObject({ outcome: "rewrapped", verified: true });
  const metadata = (await headOf(harbour.destination, "m"))?.attributes.metadata ?? new Map<string, string>();
  return { body: await bytesOf(harbour.destination, "m"), metadata: Object.fromEntries(metadata) };
}

const keyringFor = (metadata?: Record<string, string>, keys: readonly string[] = [gcpKey]) =>
  new SealiftKeyring({ keys, metadata, kms: [gcp] });

/** As applications on AWS have it. */
const officialKeyring = () =>
  new KmsKeyringNode({
    keyIds: [keyName(awsKey)],
    generatorKeyId: keyName(awsKey),
    // The two packages' types differ in what an optional field may hold.
    clientProvider: (() => new KMS({ endpoint: awsCloud.url, region: "us-east-1", credentials: CREDENTIALS })) as never,
  });

/** As this program reads it. */
async function opened(message: Buffer): Promise<Buffer> {
  const harbour = new Harbour(ring);
  await harbour.plain("m", message);
  const { head, body } = await harbour.source.inner.open("m", { signal: NEVER });
  return collect(await openPlaintext(head, body, harbour.shores().envelopes, source, NEVER));
}

const errorOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
    return "no error";
  } catch (thrown) {
    return `${asSealiftError(thrown).code} ${thrown instanceof Error ? thrown.message : ""}`;
  }
};

describe("messages that were moved to Google, read by the official client", () => {
  const readable = VECTORS.filter(
    ({ edks, id }) => edks[0]?.providerId !== "aws-kms-hierarchy" && !/^(3bd505b0|a04b2551|c4e1d9e3|7dd0f3b0)/.test(id),
  );
  for (const vector of readable) {
    it(`${vector.suite} ${vector.description.slice(0, 30)} ${vector.id.slice(0, 8)}`, async () => {
      const { body, metadata } = await moved(file(vector.file));
      expect(body.equals(file(vector.file))).toBe("sealift-esdk-key" in metadata);
      const { plaintext } = await decrypt(keyringFor(metadata), body);
      expect(plaintext.equals(SMALL)).toBe(true);
    });
  }
});

/** An enumeration in both directions; by name only. */
const suites = Object.entries(AlgorithmSuiteIdentifier).filter(([name]) => name.startsWith("ALG_")) as [
  string,
  AlgorithmSuiteIdentifier,
][];

async function rawKeyring(): Promise<KeyringNode> {
  const unencryptedMasterKey = new Uint8Array(
    Buffer.from(await readFile(join(ring.directory, "old.key"), "latin1"), "base64"),
  );
  const wrappingSuite = RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING;
  return new RawAesKeyringNode({ keyName: "old", keyNamespace: "app", unencryptedMasterKey, wrappingSuite });
}

describe("messages that the official client writes", () => {
  const context = { tenant: "42", zone: "zürich", "10": "ten" };

  it("are of eleven suites", () => expect(suites.map(([, code]) => code.toString(16)).sort()).toHaveLength(11));

  for (const [name, suiteId] of suites) {
    const client = suiteId >= 0x0400 ? strict : { encrypt, decrypt };
    it(`${name}: under a bare AES key, opened here, moved, and read by the client again`, async () => {
      const plaintext = randomBytes(1000);
      const written = await client.encrypt(await rawKeyring(), plaintext, {
        suiteId,
        frameLength: 100,
        encryptionContext: context,
      });
      expect((await opened(written.result)).equals(plaintext)).toBe(true);
      const { body, metadata } = await moved(written.result);
      const read = await client.decrypt(keyringFor(metadata), body);
      expect(read.plaintext.equals(plaintext)).toBe(true);
      expect(read.messageHeader.encryptionContext).toMatchObject(context);
    });

    it(`${name}: under Google KMS by this keyring, opened here and by the client`, async () => {
      const plaintext = randomBytes(100);
      const written = await client.encrypt(keyringFor(), plaintext, { suiteId, encryptionContext: context });
      expect((await opened(written.result)).equals(plaintext)).toBe(true);
      expect((await client.decrypt(keyringFor(), written.result)).plaintext.equals(plaintext)).toBe(true);
    });
  }
});

describe("messages that were moved to AWS, read by the official client and its own keyring", () => {
  const unsigned = VECTORS.filter(
    ({ suite, edks }) => /^0[01]/.test(suite) && edks[0]?.providerId !== "aws-kms-hierarchy",
  );

  it.each(unsigned)("$suite, its header written anew: without anything of ours", async ({ file: name }) => {
    const { body, metadata } = await moved(file(name), awsKey, aws);
    expect(Object.keys(metadata).filter((each) => each.startsWith("sealift-esdk"))).toEqual([]);
    const { plaintext, messageHeader } = await decrypt(officialKeyring(), body);
    expect(plaintext.equals(SMALL)).toBe(true);
    expect(messageHeader.encryptedDataKeys.map(({ providerId }) => providerId)).toEqual(["aws-kms"]);
  });

  it("0478 in place, where the job says so, and back to Google", async () => {
    const message = file(VECTORS.find(({ id }) => id.startsWith("8b30be2b"))?.file ?? "");
    const { body } = await moved(message, awsKey, aws, "in-place");
    expect((await strict.decrypt(officialKeyring(), body)).plaintext.equals(SMALL)).toBe(true);
    const again = await moved(body, gcpKey, gcp, "in-place");
    expect((await strict.decrypt(keyringFor(), again.body)).plaintext.equals(SMALL)).toBe(true);
    expect(await errorOf(strict.decrypt(officialKeyring(), again.body))).toMatch(/unencryptedDataKey has not been set/);
  });

  it.each([
    "ALG_AES128_GCM_IV12_TAG16",
    "ALG_AES192_GCM_IV12_TAG16_HKDF_SHA256",
    "ALG_AES256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384",
  ])("%s, written by the client under AWS KMS, comes to Google and home", async (name) => {
    const suiteId = AlgorithmSuiteIdentifier[name as keyof typeof AlgorithmSuiteIdentifier];
    const plaintext = randomBytes(10_000);
    const written = await encrypt(officialKeyring(), plaintext, { suiteId, encryptionContext: { tenant: "zürich" } });
    const there = await moved(written.result);
    expect((await decrypt(keyringFor(there.metadata), there.body)).plaintext.equals(plaintext)).toBe(true);
    const home = await moved(there.body, awsKey, aws, "auto", there.metadata);
    if ("sealift-esdk-key" in home.metadata) expect(home.body.equals(written.result)).toBe(true);
    expect((await decrypt(officialKeyring(), home.body)).plaintext.equals(plaintext)).toBe(true);
  });

  const signed = VECTORS.filter(
    ({ suite, edks, id }) =>
      /^0[235]/.test(suite) && edks[0]?.providerId !== "aws-kms-hierarchy" && !/^(c4e1d9e3|7dd0f3b0)/.test(id),
  );

  it.each(signed)(
    "$suite in place, signed anew: without anything of ours, and on to Google",
    async ({ file: name }) => {
      const { body, metadata } = await moved(file(name), awsKey, aws, "in-place");
      expect(Object.keys(metadata).filter((each) => each.startsWith("sealift-esdk"))).toEqual([]);
      expect((await decrypt(officialKeyring(), body)).plaintext.equals(SMALL)).toBe(true);
      const again = await moved(body, gcpKey, gcp, "in-place");
      expect((await decrypt(keyringFor(), again.body)).plaintext.equals(SMALL)).toBe(true);
    },
  );

  it("a data key that joins those of the header opens it, and so do they, and it is found again", async () => {
    const suiteId = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA256;
    const plaintext = randomBytes(5000);
    const written = await encrypt(await rawKeyring(), plaintext, { suiteId, encryptionContext: { tenant: "42" } });
    const harbour = new Harbour(ring);
    const listed = await harbour.plain("m", written.result);
    const ways = esdkIn({ place: "auto", keys: "add" });
    const envelopes = harbour.shores().envelopes.map((each) => (each.id === "esdk" ? ways : each));
    const shores = { ...harbour.shores(), sourceKms: source, destinationKms: [aws], envelopes };
    const rules = rulesOf({ wrapWith: awsKey, allow: LOCAL });
    for (const outcome of ["rewrapped", "already"]) {
      const receipt = await copyObject(listed, shores, rules, { verify: true, signal: NEVER });
      expect(receipt).toMatchObject({ outcome, verified: true });
    }
    const body = await bytesOf(harbour.destination, "m");
    for (const keyring of [officialKeyring(), await rawKeyring()]) {
      const read = await decrypt(keyring, body);
      expect(read.plaintext.equals(plaintext)).toBe(true);
      expect(read.messageHeader.encryptedDataKeys.map(({ providerId }) => providerId)).toEqual(["aws-kms", "app"]);
    }
  });

  it("an alias as the job's key is found again by the stamp, as the header names the key behind it", async () => {
    const harbour = new Harbour(ring);
    const message = file(VECTORS.find(({ id }) => id.startsWith("b2de7be8"))?.file ?? "");
    const listed = await harbour.plain("m", message);
    const shores = { ...harbour.shores(), sourceKms: source, destinationKms: [aws] };
    const rules = rulesOf({ wrapWith: alias, allow: LOCAL });
    const options = { verify: true, signal: NEVER };
    expect(await copyObject(listed, shores, rules, options)).toMatchObject({ outcome: "rewrapped", verified: true });
    expect(await copyObject(listed, shores, rules, options)).toMatchObject({ outcome: "already", verified: true });
  });
});

describe("the keyring refuses", () => {
  const message = file(VECTORS.find(({ id }) => id.startsWith("8b30be2b"))?.file ?? "");
  const other = file(VECTORS.find(({ id }) => id.startsWith("9abd86d3"))?.file ?? "");

  it("to be made without a key, or with what is none", () => {
    expect(() => keyringFor(undefined, [])).toThrow(/without a key/);
    expect(() => keyringFor(undefined, ["projects/p"])).toThrow(/not a key URI/);
  });

  it("a key that it was not told to open", async () => {
    const { body, metadata } = await moved(message);
    const strange = gcpKey.replace(/k$/, "other");
    expect(await errorOf(decrypt(keyringFor(metadata, [strange]), body))).toMatch(/which the keyring does not list/);
    const written = await encrypt(keyringFor(), "text");
    expect(await errorOf(decrypt(keyringFor(undefined, [strange]), written.result))).toMatch(/does not list/);
  });

  it("another message's data key, whatever its metadata says", async () => {
    const [first, second] = [await moved(message), await moved(other)];
    expect(await errorOf(decrypt(keyringFor(first.metadata), second.body))).not.toBe("no error");
    const renamed = { ...first.metadata, "sealift-esdk-message": second.metadata["sealift-esdk-message"] ?? "" };
    expect(await errorOf(decrypt(keyringFor(renamed), second.body))).toMatch(/does not open/);
  });

  it("metadata that is only a part of it", async () => {
    const { body, metadata } = await moved(message);
    const { "sealift-esdk-uri": _, ...rest } = metadata;
    expect(await errorOf(decrypt(keyringFor(rest), body))).toMatch(/sealift-esdk-uri is missing/);
  });

  it("and leaves alone what is not its own", async () => {
    expect(await errorOf(decrypt(keyringFor(), message))).toMatch(/unencryptedDataKey has not been set/);
  });
});
