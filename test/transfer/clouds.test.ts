/** The same over the drivers of both clouds' KMSs, against the pocket clouds: what envelopes and KMSs ask of each other. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type KeyUri, keyUri } from "../../src/core/key.ts";
import type { ListedObject } from "../../src/core/object.ts";
import type { Seal } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { Budget } from "../../src/core/budget.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { copyPage } from "../../src/transfer/page.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { bytesOf, collect, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, rulesOf } from "./harness.ts";
import { NEVER } from "./wayward.ts";

const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
let ring: KeyRing;
let awsCloud: PocketAwsKms;
let gcpCloud: PocketGcpKms;
let aws: Kms;
let gcp: Kms;
let awsOld: KeyUri;
let awsNew: KeyUri;
let gcpKey: KeyUri;

beforeAll(async () => {
  ring = await makeKeyRing();
  awsCloud = await startPocketAwsKms();
  gcpCloud = await startPocketGcpKms();
  [awsOld, awsNew] = [keyUri(`aws-kms://${awsCloud.createKey()}`), keyUri(`aws-kms://${awsCloud.createKey()}`)];
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

/** As written before `kms+context`: the key's name is all that the data key is bound to. */
const legacy = (seal: Seal): Seal => ({
  ...seal,
  wrap: "kms",
  context: new Map([["kms_cmk_id", awsOld.slice("aws-kms://".length)]]),
});

const formats = {
  "s3ec-v2": { envelope: s3ecV2, more: {} },
  "s3ec-v2 with wrap kms": { envelope: s3ecV2, more: { reseal: legacy } },
  "s3ec-v3": { envelope: s3ecV3, more: {} },
};

const toGoogle = () => ({
  shores: { ...harbour.shores(), sourceKms: [aws], destinationKms: [gcp] },
  rules: rulesOf({ wrapWith: gcpKey, allow: [awsOld] }),
});
const withinAws = () => ({
  shores: { ...harbour.shores(), sourceKms: [aws], destinationKms: [aws] },
  rules: rulesOf({ wrapWith: awsNew, allow: [awsOld] }),
});

for (const [name, { envelope, more }] of Object.entries(formats)) {
  const make = (text: Buffer): Promise<ListedObject> =>
    harbour.sealed("a", text, envelope, { under: awsOld, kms: aws, ...more });

  describe(name, () => {
    it("goes from AWS to Google and back, its body untouched, its context with it", async () => {
      const text = randomBytes(5000);
      const listed = await make(text);
      const there = toGoogle();
      expect(await copyObject(listed, there.shores, there.rules, { verify: true, signal: NEVER })).toMatchObject({
        outcome: "rewrapped",
        verified: true,
      });
      const full = { full: true, signal: NEVER };
      expect(await verifyObject(listed, there.shores, there.rules, full)).toMatchObject({
        verdict: "same",
        opened: true,
      });
      const head = await headOf(harbour.destination, "a");
      if (!head) throw new Error("it did not arrive");
      const home = new Harbour(ring).destination;
      const back = {
        ...there.shores,
        source: harbour.destination,
        destination: home,
        sourceKms: [gcp],
        destinationKms: [aws],
      };
      const rules = rulesOf({ wrapWith: awsNew, allow: [gcpKey] });
      const receipt = await copyObject(head, back, rules, { verify: true, signal: NEVER });
      expect(receipt).toMatchObject({ outcome: "rewrapped", verified: true });
      expect((await bytesOf(home, "a")).equals(await bytesOf(harbour.source, "a"))).toBe(true);
      const opened = await home.inner.open("a", { signal: NEVER });
      const read = await collect(await openPlaintext(opened.head, opened.body, back.envelopes, [aws], NEVER));
      expect(read.equals(text)).toBe(true);
      expect(await copyObject(head, back, rules, { verify: true, signal: NEVER })).toMatchObject({
        outcome: "already",
      });
    });

    it("is rewrapped by ReEncrypt within AWS", async () => {
      const listed = await make(Buffer.from("text"));
      const before = new Map(awsCloud.counts);
      const { shores, rules } = withinAws();
      await copyObject(listed, shores, rules, { verify: false, signal: NEVER });
      const grown = [...awsCloud.counts]
        .filter(([what, count]) => count > (before.get(what) ?? 0))
        .map(([what]) => what);
      expect(grown.filter((what) => what.includes("ReEncrypt"))).not.toEqual([]);
      expect(grown.filter((what) => /Decrypt|[^e]Encrypt/.test(what))).toEqual([]);
      expect(await verifyObject(listed, shores, rules, { full: true, signal: NEVER })).toMatchObject({
        verdict: "same",
      });
      const again = { verify: true, signal: NEVER };
      expect(await copyObject(listed, shores, rules, again)).toMatchObject({ outcome: "already", verified: true });
    });

    it("under another AWS key than the job's is no object of the job", async () => {
      const listed = await make(Buffer.from("text"));
      const { shores, rules } = withinAws();
      await copyObject(listed, shores, rules, { verify: false, signal: NEVER });
      const third = keyUri(`aws-kms://${awsCloud.createKey()}`);
      const other = { ...rules, wrapWith: third };
      expect((await errorOf(copyObject(listed, shores, other, { verify: false, signal: NEVER }))).code).toBe(
        "CONFLICT",
      );
      const instead = { ...other, overwrite: true };
      const receipt = await copyObject(listed, shores, instead, { verify: true, signal: NEVER });
      expect(receipt).toMatchObject({ outcome: "rewrapped", verified: true });
    });

    it("is not opened by a key outside the allow-list, though only AWS knows which that is", async () => {
      const listed = await make(Buffer.from("text"));
      for (const { shores, rules } of [toGoogle(), withinAws()]) {
        const strict = { ...rules, allow: [awsNew] };
        const error = await errorOf(copyObject(listed, shores, strict, { verify: false, signal: NEVER }));
        expect(error.code).toBe("KMS_KEY_NOT_ALLOWED");
        expect(await headOf(harbour.destination, "a")).toBeUndefined();
      }
    });

    it("with its envelope in an instruction file arrives with it in its metadata", async () => {
      const text = randomBytes(5000);
      for (const { shores, rules } of [toGoogle(), withinAws()]) {
        harbour = new Harbour(ring);
        const [body, file] = await divided(await make(text));
        const there = { ...shores, source: harbour.source, destination: harbour.destination };
        const all = { objects: new Budget(2), signal: NEVER };
        const receipts = await copyPage([body, file], {}, there, { ...rules, verify: "full" }, all);
        expect(receipts).toMatchObject([
          { outcome: "rewrapped", verified: true },
          { outcome: "filtered", notes: [expect.stringContaining("envelope of another object")] },
        ]);
        const opened = await harbour.destination.inner.open("a", { signal: NEVER });
        const kms = there.destinationKms;
        const read = await collect(await openPlaintext(opened.head, opened.body, there.envelopes, kms, NEVER));
        expect(read.equals(text)).toBe(true);
        expect(await headOf(harbour.destination, "a.instruction")).toBeUndefined();
      }
    });
  });
}

/** The envelope of the object at the source, moved into a file as a client keeps it. */
async function divided({ key }: ListedObject): Promise<[ListedObject, ListedObject]> {
  const metadata = (await headOf(harbour.source, key))?.attributes.metadata ?? new Map<string, string>();
  const stays = (name: string) => /^x-amz-[cdi]$/.test(name);
  const file = Object.fromEntries([...metadata].filter(([name]) => !stays(name)));
  const left = new Map([...metadata].filter(([name]) => stays(name)));
  return [
    await harbour.raw(harbour.source, key, await bytesOf(harbour.source, key), { metadata: left }),
    await harbour.raw(harbour.source, `${key}.instruction`, Buffer.from(JSON.stringify(file))),
  ];
}

it("an envelope in a file whose key is the job's already is copied as it is, into the metadata, as text that a header can hold", async () => {
  const context = new Map([
    ["kms_cmk_id", awsNew.slice("aws-kms://".length)],
    ["tenant", "zürich\n7"],
  ]);
  const reseal = (seal: Seal): Seal => ({ ...seal, wrap: "kms", context });
  const made = await harbour.sealed("a", Buffer.from("text"), s3ecV2, { under: awsNew, kms: aws, reseal });
  const [body, file] = await divided(made);
  const spaced = JSON.parse((await bytesOf(harbour.source, file.key)).toString());
  spaced["x-amz-matdesc"] = JSON.stringify(JSON.parse(spaced["x-amz-matdesc"]), null, 2);
  await harbour.raw(harbour.source, file.key, Buffer.from(JSON.stringify(spaced)));
  const { shores, rules } = withinAws();
  expect(await copyObject(body, shores, rules, { verify: true, signal: NEVER })).toMatchObject({
    outcome: "carried",
    verified: true,
  });
  const opened = await harbour.destination.inner.open("a", { signal: NEVER });
  for (const value of opened.head.attributes.metadata.values()) expect(value).toMatch(/^[!-~]+$/);
  const read = await collect(await openPlaintext(opened.head, opened.body, shores.envelopes, [aws], NEVER));
  expect(read.toString()).toBe("text");
  expect(await copyObject(body, shores, rules, { verify: true, signal: NEVER })).toMatchObject({ outcome: "already" });
});
