/** The pocket AWS KMS, held against the official client. */
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyWithoutPlaintextCommand,
  KMSClient,
  ListKeysCommand,
  ReEncryptCommand,
} from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";

let pocket: PocketAwsKms;
let client: KMSClient;
let arn: string;
let otherArn: string;

const connect = (region = "us-east-1", secretAccessKey = "pocket-secret", accessKeyId = "pocket") =>
  new KMSClient({ endpoint: pocket.url, region, credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1 });

beforeAll(async () => {
  pocket = await startPocketAwsKms();
  client = connect();
  [arn, otherArn] = [pocket.createKey(), pocket.createKey()];
});
afterAll(async () => {
  client.destroy();
  await pocket.close();
});

const Plaintext = Buffer.alloc(32, 9);
const EncryptionContext = { "aws:x-amz-cek-alg": "AES/GCM/NoPadding", b: "2" };
const encrypt = async (KeyId = arn) => {
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext, EncryptionContext }));
  return Buffer.from(CiphertextBlob ?? []);
};
const named = (name: string) => ({ name });

describe("pocket AWS KMS", () => {
  it("opens what it sealed, with or without the key named, whatever the context's order", async () => {
    const CiphertextBlob = await encrypt();
    expect(CiphertextBlob.length).toBe(184);
    const turned = { b: "2", "aws:x-amz-cek-alg": "AES/GCM/NoPadding" };
    for (const KeyId of [undefined, arn, arn.split("/")[1]]) {
      const answer = await client.send(new DecryptCommand({ CiphertextBlob, KeyId, EncryptionContext: turned }));
      expect(Buffer.from(answer.Plaintext ?? [])).toEqual(Plaintext);
      expect(answer).toMatchObject({ KeyId: arn, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" });
    }
  });

  it("names each refusal as AWS does", async () => {
    const CiphertextBlob = await encrypt();
    const decrypt = (input: object) =>
      client.send(new DecryptCommand({ CiphertextBlob, KeyId: arn, EncryptionContext, ...input }));
    const flipped = Buffer.from(CiphertextBlob);
    flipped.writeUInt8(flipped.readUInt8(183) ^ 1, 183);
    const stray = Buffer.from(CiphertextBlob);
    stray.writeUInt8(stray.readUInt8(10) ^ 1, 10);
    await expect(decrypt({ EncryptionContext: {} })).rejects.toMatchObject(named("InvalidCiphertextException"));
    await expect(decrypt({ CiphertextBlob: flipped })).rejects.toMatchObject(named("InvalidCiphertextException"));
    await expect(decrypt({ CiphertextBlob: Buffer.alloc(9) })).rejects.toMatchObject(
      named("InvalidCiphertextException"),
    );
    await expect(decrypt({ CiphertextBlob: Buffer.alloc(6145) })).rejects.toMatchObject(named("ValidationException"));
    await expect(decrypt({ KeyId: otherArn })).rejects.toMatchObject(named("IncorrectKeyException"));
    await expect(decrypt({ CiphertextBlob: stray, KeyId: undefined })).rejects.toMatchObject(
      named("AccessDeniedException"),
    );
    await expect(decrypt({ KeyId: `${arn}x` })).rejects.toMatchObject(named("NotFoundException"));
    await expect(decrypt({ DryRun: true })).rejects.toMatchObject(named("DryRunOperationException"));
    const dry = { DryRun: true, DryRunModifiers: ["IGNORE_CIPHERTEXT"], CiphertextBlob: undefined };
    await expect(decrypt(dry)).rejects.toMatchObject(named("DryRunOperationException"));
    const tooLarge = new EncryptCommand({ KeyId: arn, Plaintext: Buffer.alloc(4097) });
    await expect(client.send(tooLarge)).rejects.toMatchObject(named("ValidationException"));
    const largest = new EncryptCommand({ KeyId: arn, Plaintext: Buffer.alloc(4096) });
    expect((await client.send(largest)).CiphertextBlob?.length).toBe(4096 + 152);
  });

  it("re-encrypts inside: new key, new context, same plaintext", async () => {
    const answer = await client.send(
      new ReEncryptCommand({
        CiphertextBlob: await encrypt(),
        SourceKeyId: arn,
        SourceEncryptionContext: EncryptionContext,
        DestinationKeyId: otherArn,
        DestinationEncryptionContext: { new: "1" },
      }),
    );
    expect(answer).toMatchObject({ SourceKeyId: arn, KeyId: otherArn });
    const { CiphertextBlob } = answer;
    const opened = await client.send(new DecryptCommand({ CiphertextBlob, EncryptionContext: { new: "1" } }));
    expect([opened.KeyId, Buffer.from(opened.Plaintext ?? [])]).toEqual([otherArn, Plaintext]);
  });

  it("generates data keys that it can open", async () => {
    const made = await client.send(new GenerateDataKeyCommand({ KeyId: arn, KeySpec: "AES_256", EncryptionContext }));
    const opened = await client.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, EncryptionContext }));
    expect(made.Plaintext?.length).toBe(32);
    expect(opened.Plaintext).toEqual(made.Plaintext);
    const quiet = await client.send(new GenerateDataKeyWithoutPlaintextCommand({ KeyId: arn, NumberOfBytes: 24 }));
    expect("Plaintext" in quiet && quiet.Plaintext).toBeFalsy();
    const shown = await client.send(new DecryptCommand({ CiphertextBlob: quiet.CiphertextBlob }));
    expect(shown.Plaintext?.length).toBe(24);
    await expect(client.send(new GenerateDataKeyCommand({ KeyId: arn }))).rejects.toMatchObject(
      named("ValidationException"),
    );
  });

  it("keeps keys, aliases and states, by Region", async () => {
    const { KeyMetadata } = await client.send(new CreateKeyCommand({ Description: "d" }));
    const KeyId = KeyMetadata?.Arn ?? "";
    await client.send(new CreateAliasCommand({ AliasName: "alias/mine", TargetKeyId: KeyId }));
    const byAlias = await client.send(new DescribeKeyCommand({ KeyId: "alias/mine" }));
    expect(byAlias.KeyMetadata).toMatchObject({ Arn: KeyId, KeyState: "Enabled", KeySpec: "SYMMETRIC_DEFAULT" });
    const { Keys } = await client.send(new ListKeysCommand({}));
    expect(Keys?.map(({ KeyArn }) => KeyArn)).toEqual(expect.arrayContaining([arn, otherArn, KeyId]));
    const sealed = await encrypt(KeyId);
    pocket.disable(KeyId);
    await expect(encrypt(KeyId)).rejects.toMatchObject(named("DisabledException"));
    pocket.setState(KeyId, "PendingDeletion");
    await expect(encrypt(KeyId)).rejects.toMatchObject(named("KMSInvalidStateException"));
    pocket.enable(KeyId);
    expect((await client.send(new DecryptCommand({ CiphertextBlob: sealed, EncryptionContext }))).KeyId).toBe(KeyId);
    const elsewhere = connect("eu-central-1");
    await expect(elsewhere.send(new DescribeKeyCommand({ KeyId }))).rejects.toMatchObject(named("NotFoundException"));
    expect((await elsewhere.send(new ListKeysCommand({}))).Keys).toEqual([]);
    elsewhere.destroy();
  });

  it("opens a multi-Region key's ciphertext under its replica", async () => {
    const id = "mrk-00112233445566778899aabbccddeeff";
    const [here, there] = ["us-east-1", "eu-west-1"].map((r) =>
      pocket.createKey({ arn: `arn:aws:kms:${r}:111122223333:key/${id}` }),
    );
    const elsewhere = connect("eu-west-1");
    const CiphertextBlob = await encrypt(here);
    const opened = await elsewhere.send(new DecryptCommand({ CiphertextBlob, KeyId: there, EncryptionContext }));
    expect(opened.KeyId).toBe(there);
    elsewhere.destroy();
  });

  it("checks signatures", async () => {
    const forged = connect("us-east-1", "wrong");
    const stranger = connect("us-east-1", "pocket-secret", "stranger");
    await expect(forged.send(new ListKeysCommand({}))).rejects.toMatchObject(named("InvalidSignatureException"));
    await expect(stranger.send(new ListKeysCommand({}))).rejects.toMatchObject(named("UnrecognizedClientException"));
    forged.destroy();
    stranger.destroy();
    const target = { "x-amz-target": "TrentService.ListKeys" };
    const bare = await fetch(pocket.url, { method: "POST", headers: target, body: "{}" });
    expect(await bare.json()).toMatchObject({ __type: "MissingAuthenticationTokenException" });
    expect((await fetch(`${pocket.url}/`)).status).toBe(404);
  });
});
