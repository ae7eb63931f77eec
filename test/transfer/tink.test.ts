/** `envelope: tink` and back over both clouds' key services: what a copy, a second copy and a comparison make of it. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { envelopesWith } from "../../src/compose/envelopes.ts";
import { crc32c } from "../../src/core/crc32c.ts";
import { DataKey, type KeyUri, keyUri } from "../../src/core/key.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { plain } from "../../src/envelope/plain.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { tink } from "../../src/envelope/tink/tink.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { planObject } from "../../src/transfer/plan.ts";
import type { Rules, Shores } from "../../src/transfer/shores.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { objectOf, typeOf } from "../envelope/tinksealer.ts";
import { openTinkEnvelope, wrappedKeyIn } from "../envelope/tinkreader.ts";
import { bytesOf, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, OTHER, rulesOf } from "./harness.ts";
import { NEVER } from "./wayward.ts";

const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
let ring: KeyRing;
let awsCloud: PocketAwsKms;
let gcpCloud: PocketGcpKms;
let aws: Kms;
let gcp: Kms;
let awsKey: KeyUri;
let gcpKey: KeyUri;

beforeAll(async () => {
  ring = await makeKeyRing();
  awsCloud = await startPocketAwsKms();
  gcpCloud = await startPocketGcpKms();
  awsKey = keyUri(`aws-kms://${awsCloud.createKey()}`);
  gcpKey = keyUri(`gcp-kms://${gcpCloud.createKey("k")}`);
  aws = openAwsKms({ endpoint: awsCloud.url, region: "us-east-1", credentials: CREDENTIALS });
  gcp = openGcpKms({ endpoint: gcpCloud.url, anonymous: true });
});
afterAll(async () => {
  await Promise.all([aws.close(), gcp.close()]);
  await Promise.all([awsCloud.close(), gcpCloud.close(), ring.cleanup()]);
});

let harbour: Harbour;
beforeEach(() => {
  harbour = new Harbour(ring);
});

const plaintext = randomBytes(5000);
/** How often the key service has handed out a data key. */
const opened = () => [...awsCloud.counts].reduce((sum, [what, count]) => (/Decrypt/.test(what) ? sum + count : sum), 0);
const sealedV2 = (key = "a") => harbour.sealed(key, plaintext, s3ecV2, { under: awsKey, kms: aws });

const toTink = (change: Partial<Rules> = {}): { shores: Shores; rules: Rules } => ({
  shores: { ...harbour.shores(), envelopes: [s3ecV3, s3ecV2, tink], sourceKms: [aws], destinationKms: [gcp] },
  rules: rulesOf({ wrapWith: gcpKey, allow: [awsKey], envelope: "tink", ...change }),
});
const VERIFIED = { verify: true, signal: NEVER };

async function asTinkReads(key: string): Promise<Buffer> {
  const object = await bytesOf(harbour.destination, key);
  const wrapped = { scheme: "gcp-kms", uri: gcpKey, bytes: wrappedKeyIn(object) } as const;
  const unwrapped = await gcp.unwrap(wrapped, new Map(), NEVER, "none");
  return openTinkEnvelope(object, unwrapped?.dataKey.reveal() ?? Buffer.alloc(0));
}

describe("S3EC V2 becomes Tink", () => {
  it("its body untouched, opened as Tink opens it, with a checksum known before the first byte", async () => {
    const { shores, rules } = toTink();
    const listed = await sealedV2();
    let promised: number | undefined;
    harbour.destination.beforePut = (_, options) => void (promised = options.crc32c);
    expect(await copyObject(listed, shores, rules, VERIFIED)).toMatchObject({ outcome: "rewrapped", verified: true });
    const object = await bytesOf(harbour.destination, "a");
    const body = await bytesOf(harbour.source, "a");
    expect(object.subarray(-body.length).equals(body)).toBe(true);
    expect(promised).toBe(crc32c(object));
    expect((await asTinkReads("a")).equals(plaintext)).toBe(true);
    expect(await copyObject(listed, shores, rules, VERIFIED)).toMatchObject({ outcome: "already", verified: true });
    expect(await verifyObject(listed, shores, rules, { full: true, signal: NEVER })).toMatchObject({
      verdict: "same",
      opened: true,
    });
  });

  it("and S3EC V2 again, as it was", async () => {
    const there = toTink();
    const listed = await sealedV2();
    await copyObject(listed, there.shores, there.rules, VERIFIED);
    const tinkHead = await headOf(harbour.destination, "a");
    if (!tinkHead) throw new Error("it did not arrive");
    const home = new Harbour(ring).destination;
    const shores: Shores = {
      ...there.shores,
      source: harbour.destination,
      destination: home,
      sourceKms: [gcp],
      destinationKms: [aws],
    };
    const rules = rulesOf({ wrapWith: awsKey, allow: [gcpKey], envelope: "s3ec-v2" });
    const receipt = await copyObject(tinkHead, shores, rules, VERIFIED);
    expect(receipt).toMatchObject({ outcome: "rewrapped", verified: true });
    expect(receipt.notes.join()).toContain("associated data");
    expect((await bytesOf(home, "a")).equals(await bytesOf(harbour.source, "a"))).toBe(true);
    expect(await copyObject(tinkHead, shores, rules, VERIFIED)).toMatchObject({ outcome: "already", verified: true });
    expect(await verifyObject(tinkHead, shores, rules, { full: false, signal: NEVER })).toMatchObject({
      verdict: "same",
    });
    expect(await verifyObject(tinkHead, shores, rules, { full: true, signal: NEVER })).toMatchObject({
      verdict: "same",
      opened: true,
    });
  });

  it("also where its key is the job's own already: it is converted, not carried", async () => {
    const { shores, rules } = toTink();
    const listed = await harbour.sealed("a", plaintext, s3ecV2, { under: gcpKey, kms: gcp });
    const within = { ...shores, sourceKms: [gcp] };
    expect(await copyObject(listed, within, { ...rules, allow: [gcpKey] }, VERIFIED)).toMatchObject({
      outcome: "rewrapped",
    });
    expect((await asTinkReads("a")).equals(plaintext)).toBe(true);
  });

  it("not before its context was held against what the job demands", async () => {
    const { shores, rules } = toTink({ requireContext: new Map([["tenant", "7"]]) });
    const listed = await sealedV2();
    expect((await errorOf(copyObject(listed, shores, rules, VERIFIED))).code).toBe("KEY_CONTEXT");
    const fitting = { ...rules, requireContext: new Map([["tenant", "42"]]) };
    expect(await copyObject(listed, shores, fitting, VERIFIED)).toMatchObject({ outcome: "rewrapped" });
  });

  it("not where the job may not open its key", async () => {
    const { shores, rules } = toTink({ allow: [OTHER] });
    expect((await errorOf(copyObject(await sealedV2(), shores, rules, VERIFIED))).code).toBe("KMS_KEY_NOT_ALLOWED");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });

  it("V3 is refused before a key service is asked, and the plan says why", async () => {
    const { shores, rules } = toTink();
    const listed = await harbour.sealed("a", plaintext, s3ecV3, { under: awsKey, kms: aws });
    const before = opened();
    const error = await errorOf(copyObject(listed, shores, rules, VERIFIED));
    expect([error.code, error.object]).toEqual(["SEAL_UNSUPPORTED", "a"]);
    expect(opened()).toBe(before);
    const head = await headOf(harbour.source, "a");
    const { plan } = planObject(head as NonNullable<typeof head>, new Uint8Array(), shores, rules);
    expect(plan).toMatchObject({ action: "refuse", code: "SEAL_UNSUPPORTED", envelope: "s3ec-v3" });
  });

  it("a data key that Tink has no name for is refused, and wiped", async () => {
    const { shores, rules } = toTink();
    const listed = await sealedV2();
    const head = await headOf(harbour.source, "a");
    const short = new DataKey(Buffer.alloc(24, 7));
    const seal = s3ecV2.read(head as NonNullable<typeof head>, new Uint8Array());
    const wrapped = await aws.wrap(awsKey, short, seal?.context ?? new Map(), NEVER);
    const metadata = new Map(head?.attributes.metadata).set(
      "x-amz-key-v2",
      Buffer.from(wrapped.bytes).toString("base64"),
    );
    const swapped = await harbour.raw(harbour.source, listed.key, await bytesOf(harbour.source, "a"), { metadata });
    expect((await errorOf(copyObject(swapped, shores, rules, VERIFIED))).code).toBe("SEAL_UNSUPPORTED");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });
});

describe("objects without an envelope, sealed as Tink", () => {
  it("open as Tink opens them", async () => {
    const { shores, rules } = toTink({ sealWith: "tink", sealContext: new Map() });
    const all = { ...shores, envelopes: [...shores.envelopes, plain] };
    const listed = await harbour.plain("a", plaintext);
    expect(await copyObject(listed, all, rules, VERIFIED)).toMatchObject({ outcome: "resealed", verified: true });
    expect((await asTinkReads("a")).equals(plaintext)).toBe(true);
    expect(await copyObject(listed, all, rules, VERIFIED)).toMatchObject({ outcome: "already" });
    expect(await verifyObject(listed, all, rules, { full: true, signal: NEVER })).toMatchObject({ opened: true });
  });

  it("are refused under a key context, which Tink cannot bind", async () => {
    const { shores, rules } = toTink({ sealWith: "tink" });
    const all = { ...shores, envelopes: [...shores.envelopes, plain] };
    const listed = await harbour.plain("a", plaintext);
    expect((await errorOf(copyObject(listed, all, rules, VERIFIED))).code).toBe("SEAL_UNSUPPORTED");
  });
});

describe("Tink ciphertext of other programs", () => {
  const { message } = typeOf("AES256_CTR_HMAC_SHA256");

  async function foreign(key: KeyUri, kms: Kms, metadata = new Map<string, string>()): Promise<ListedObject> {
    const dek = new DataKey(message);
    const { bytes } = await kms.wrap(key, dek, new Map(), NEVER, "none");
    const object = objectOf("AES256_CTR_HMAC_SHA256", bytes, plaintext, "theirs");
    return harbour.raw(harbour.source, "a", object, { metadata });
  }
  const claiming = (key: KeyUri, change: Partial<Rules> = {}) => {
    const { shores, rules } = toTink({ envelope: undefined, ...change });
    return {
      shores: {
        ...shores,
        envelopes: envelopesWith({ tink: { template: "AES256_CTR_HMAC_SHA256", key, prefix: "RAW" } }),
      },
      rules,
    };
  };

  it("moves to another key service, the key message to the letter, the body untouched", async () => {
    const listed = await foreign(awsKey, aws);
    const { shores, rules } = claiming(awsKey);
    expect(await copyObject(listed, shores, rules, VERIFIED)).toMatchObject({ outcome: "rewrapped", verified: true });
    const before = await bytesOf(harbour.source, "a");
    const after = await bytesOf(harbour.destination, "a");
    const rest = (object: Buffer) => object.subarray(4 + wrappedKeyIn(object).length);
    expect(rest(after).equals(rest(before))).toBe(true);
    const wrapped = { scheme: "gcp-kms", uri: gcpKey, bytes: wrappedKeyIn(after) } as const;
    const unwrapped = await gcp.unwrap(wrapped, new Map(), NEVER, "none");
    expect(Buffer.from(unwrapped?.dataKey.reveal() ?? []).equals(message)).toBe(true);
    expect((await headOf(harbour.destination, "a"))?.attributes.metadata.get("sealift-tink")).toBe(
      "AES256_CTR_HMAC_SHA256/RAW",
    );
    expect(await copyObject(listed, shores, rules, VERIFIED)).toMatchObject({ outcome: "already", verified: true });
    expect(await verifyObject(listed, shores, rules, { full: false, signal: NEVER })).toMatchObject({
      verdict: "same",
    });
    // The writer's associated data is known to its readers alone.
    expect(await verifyObject(listed, shores, rules, { full: true, signal: NEVER })).toMatchObject({
      verdict: "unproven",
      code: "SEAL_FORGED",
    });
  });

  it("is rewrapped by ReEncrypt within AWS", async () => {
    const listed = await foreign(awsKey, aws);
    const other = keyUri(`aws-kms://${awsCloud.createKey()}`);
    const { shores, rules } = claiming(awsKey, { wrapWith: other });
    const within = { ...shores, destinationKms: [aws] };
    const before = opened();
    expect(before).toBeGreaterThan(0);
    const unverified = { verify: false, signal: NEVER };
    expect(await copyObject(listed, within, rules, unverified)).toMatchObject({ outcome: "rewrapped" });
    expect(opened()).toBe(before);
    expect(await copyObject(listed, within, rules, VERIFIED)).toMatchObject({ outcome: "already", verified: true });
  });

  it("under the job's own key already is carried as it is, without a mark", async () => {
    const listed = await foreign(gcpKey, gcp);
    const { shores, rules } = claiming(gcpKey, { allow: [gcpKey] });
    const own = { ...shores, sourceKms: [gcp] };
    expect(await copyObject(listed, own, rules, VERIFIED)).toMatchObject({ outcome: "carried" });
    expect((await bytesOf(harbour.destination, "a")).equals(await bytesOf(harbour.source, "a"))).toBe(true);
    expect(await copyObject(listed, own, rules, VERIFIED)).toMatchObject({ outcome: "already" });
  });

  it("that is none after all is refused by the key service, and nothing arrives", async () => {
    const body = Buffer.concat([Buffer.of(0, 0, 0, 100), randomBytes(500)]);
    const listed = await harbour.raw(harbour.source, "a", body);
    const { shores, rules } = claiming(awsKey);
    expect((await errorOf(copyObject(listed, shores, rules, VERIFIED))).code).toBe("KMS_CANNOT_OPEN");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });

  it("does not become S3EC unless it is AES-GCM", async () => {
    const listed = await foreign(awsKey, aws);
    const { shores, rules } = claiming(awsKey, { envelope: "s3ec-v2" });
    expect((await errorOf(copyObject(listed, shores, rules, VERIFIED))).code).toBe("SEAL_UNSUPPORTED");
  });
});

describe("an encrypted keyset", () => {
  const KEYSET = Buffer.concat([Buffer.from("08011220", "hex"), Buffer.alloc(32, 3)]);

  it("moves to another key service, and nothing but its wrapped keyset changes", async () => {
    const { bytes } = await aws.wrap(awsKey, new DataKey(KEYSET), new Map(), NEVER, "none");
    const text = (wrapped: Uint8Array) =>
      `{"keysetInfo":{"primaryKeyId":1,"keyInfo":[]}, "encryptedKeyset":"${Buffer.from(wrapped).toString("base64")}"}`;
    const listed = await harbour.raw(harbour.source, "keys.json", Buffer.from(text(bytes)));
    const { shores, rules } = toTink({ envelope: undefined });
    const all = { ...shores, envelopes: envelopesWith({ tinkKeysets: { format: "JSON", key: awsKey } }) };
    expect(await copyObject(listed, all, rules, VERIFIED)).toMatchObject({ outcome: "rewrapped", verified: true });
    const arrived = (await bytesOf(harbour.destination, "keys.json")).toString();
    const wrapped = Buffer.from(JSON.parse(arrived).encryptedKeyset, "base64");
    expect(arrived).toBe(text(wrapped));
    const unwrapped = await gcp.unwrap({ scheme: "gcp-kms", uri: gcpKey, bytes: wrapped }, new Map(), NEVER, "none");
    expect(Buffer.from(unwrapped?.dataKey.reveal() ?? []).equals(KEYSET)).toBe(true);
    expect(await copyObject(listed, all, rules, VERIFIED)).toMatchObject({ outcome: "already", verified: true });
    expect(await verifyObject(listed, all, rules, { full: true, signal: NEVER })).toMatchObject({
      verdict: "same",
      verified: true,
    });
    const other = { ...all, envelopes: envelopesWith({ tinkKeysets: { format: "JSON", key: gcpKey } }) };
    expect((await errorOf(copyObject(listed, other, rules, VERIFIED))).code).toBe("CONFLICT");
  });
});
