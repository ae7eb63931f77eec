/** Objects without an envelope, sealed as messages of the AWS Encryption SDK: read by the official client without anything of ours. */
import { buildClient, CommitmentPolicy, KMS, KmsKeyringNode } from "@aws-crypto/client-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rulesOf as rulesOfJob } from "../../src/compose/work.ts";
import { parseJob } from "../../src/config/job.ts";
import { type KeyUri, keyName, keyUri } from "../../src/core/key.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { bytesOf, Harbour, headOf, type KeyRing, makeKeyRing, rulesOf } from "./harness.ts";
import { NEVER } from "./wayward.ts";

const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const { decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);

let ring: KeyRing;
let cloud: PocketAwsKms;
let aws: Kms;
let key: KeyUri;
beforeAll(async () => {
  ring = await makeKeyRing();
  cloud = await startPocketAwsKms();
  key = keyUri(`aws-kms://${cloud.createKey()}`);
  aws = openAwsKms({ endpoint: cloud.url, region: "us-east-1", credentials: CREDENTIALS });
});
afterAll(async () => {
  await aws.close();
  await Promise.all([cloud.close(), ring.cleanup()]);
});

const official = () =>
  new KmsKeyringNode({
    keyIds: [keyName(key)],
    // The two packages' types differ in what an optional field may hold.
    clientProvider: (() => new KMS({ endpoint: cloud.url, region: "us-east-1", credentials: CREDENTIALS })) as never,
  });

describe("sealed afresh as a message", () => {
  // Nothing, a part of a frame, a frame to the byte, many.
  it.each([0, 1, 4096, 4097, 100_000])(
    "an object of %i bytes is read by the official client, found again, and proven",
    async (sizeBytes) => {
      const harbour = new Harbour(ring);
      const plaintext = Buffer.alloc(sizeBytes, "in the clear ");
      const listed = await harbour.plain("a", plaintext);
      const shores = { ...harbour.shores(), destinationKms: [aws] };
      const rules = rulesOf({ wrapWith: key, sealWith: "esdk", sealContext: new Map([["application", "ours"]]) });
      const options = { verify: true, signal: NEVER };
      expect(await copyObject(listed, shores, rules, options)).toMatchObject({ outcome: "resealed", verified: true });
      const message = await bytesOf(harbour.destination, "a");
      const read = await decrypt(official(), message);
      expect(read.plaintext.equals(plaintext)).toBe(true);
      expect(read.messageHeader.encryptionContext).toEqual({ application: "ours" });
      const head = await headOf(harbour.destination, "a");
      expect([...(head?.attributes.metadata.keys() ?? [])].filter((name) => name.includes("esdk"))).toEqual([]);
      expect(await copyObject(listed, shores, rules, options)).toMatchObject({ outcome: "already", verified: true });
      expect(await verifyObject(listed, shores, rules, { full: true, signal: NEVER })).toMatchObject({
        verdict: "same",
        opened: true,
      });
      expect(harbour.leaked()).toBe(0);
    },
  );

  it("is what a job asks for by options.sealAs; by itself a job seals as S3EC V3, or as what all is to stand in", () => {
    const sealWith = (options: object) => {
      const job = {
        apiVersion: "sealift/v1",
        kind: "Migration",
        source: { url: "file:///near" },
        destination: { url: "file:///far" },
        keys: { wrapWith: "local://new", localDirectory: "/keys" },
        options,
      };
      return rulesOfJob(parseJob(JSON.stringify(job), "job"), "m-0", 0).sealWith;
    };
    expect([{}, { sealAs: "esdk" }, { sealAs: "tink" }, { envelope: "tink" }].map(sealWith)).toEqual([
      "s3ec-v3",
      "esdk",
      "tink",
      "tink",
    ]);
    expect(sealWith({ envelope: "tink", sealAs: "s3ec-v3" })).toBe("s3ec-v3");
    expect(() => sealWith({ sealAs: "esdk", fallback: "copy" })).toThrow(/options.sealAs: .*fallback: seal/);
  });
});
