/** What one writes first: the official SDKs, an object at a time, 32 at once. LIST, GET, Decrypt, Encrypt, PUT. */
import { DecryptCommand, EncryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { GetObjectCommand, paginateListObjectsV2, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { DESTINATION_KEY } from "../seed.ts";
import { asked, credentials } from "./asked.ts";

const store = (endpoint: string) => new S3Client({ endpoint, region: "us-east-1", credentials, forcePathStyle: true });
const keys = (region: string) => new KMSClient({ endpoint: asked.kms, region, credentials });
const [source, destination] = [store(asked.source), store(asked.destination)];
const [sourceKms, destinationKms] = [keys("us-east-1"), keys("eu-west-1")];

async function move(Key: string): Promise<void> {
  const got = await source.send(new GetObjectCommand({ Bucket: asked.from, Key }));
  const Body = (await got.Body?.transformToByteArray()) ?? new Uint8Array(0);
  const metadata = { ...got.Metadata };
  const EncryptionContext = JSON.parse(metadata["x-amz-matdesc"] ?? "{}") as Record<string, string>;
  const CiphertextBlob = Buffer.from(metadata["x-amz-key-v2"] ?? "", "base64");
  const opened = await sourceKms.send(new DecryptCommand({ CiphertextBlob, EncryptionContext }));
  const Plaintext = opened.Plaintext ?? new Uint8Array(0);
  const wrapped = await destinationKms.send(
    new EncryptCommand({ KeyId: DESTINATION_KEY, Plaintext, EncryptionContext }),
  );
  metadata["x-amz-key-v2"] = Buffer.from(wrapped.CiphertextBlob ?? []).toString("base64");
  const ContentType = got.ContentType ?? "application/octet-stream";
  await destination.send(
    new PutObjectCommand({ Bucket: asked.to, Key, Body, ContentType, Metadata: metadata, IfNoneMatch: "*" }),
  );
}

const waiting: string[] = [];
for await (const page of paginateListObjectsV2({ client: source }, { Bucket: asked.from })) {
  for (const { Key } of page.Contents ?? []) if (Key !== undefined) waiting.push(Key);
}
const lane = async () => {
  for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) await move(key);
};
await Promise.all(Array.from({ length: asked.concurrency }, lane));
process.exit(0);
