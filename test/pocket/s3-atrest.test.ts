/** Encryption at rest as the pocket S3 shows it. */
import { createHash } from "node:crypto";
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { raw, refusal, type S3Bench, sample, sha256, startBench } from "./s3-bench.ts";

let bench: S3Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.close());

const Bucket = "plain";
const put = (Key: string, Body: string | Buffer, input: object = {}) =>
  bench.client.send(new PutObjectCommand({ Bucket, Key, Body, ...input }));
const head = (Key: string, input: object = {}) => bench.client.send(new HeadObjectCommand({ Bucket, Key, ...input }));
const get = (Key: string, input: object = {}) => bench.client.send(new GetObjectCommand({ Bucket, Key, ...input }));
async function print(Key: string, input: object = {}): Promise<string> {
  return sha256(Buffer.from((await (await get(Key, input)).Body?.transformToByteArray()) ?? []));
}

/** The client takes raw bytes too, and sends their Base64 and MD5. */
const own = (byte: number): object => ({ SSECustomerAlgorithm: "AES256", SSECustomerKey: Buffer.alloc(32, byte) });
const KEY = "arn:aws:kms:eu-west-1:111122223333:key/mine";
const MIB = 1024 * 1024;

describe("keys of S3 and of KMS", () => {
  it("are told on every answer, and the ETag stays an MD5 only under S3's own", async () => {
    const md5 = `"${createHash("md5").update("x").digest("hex")}"`;
    expect(await put("s3", "x")).toMatchObject({ ServerSideEncryption: "AES256", ETag: md5 });
    for (const ServerSideEncryption of ["aws:kms", "aws:kms:dsse"] as const) {
      const receipt = await put("kms", "x", { ServerSideEncryption, SSEKMSKeyId: KEY });
      expect(receipt).toMatchObject({ ServerSideEncryption, SSEKMSKeyId: KEY });
      expect(receipt.ETag).toMatch(/^"[0-9a-f]{32}"$/);
      expect(receipt.ETag).not.toBe(md5);
      expect(await head("kms")).toMatchObject({ ServerSideEncryption, SSEKMSKeyId: KEY, ETag: receipt.ETag });
      expect(await print("kms")).toBe(sha256("x"));
    }
  });

  it("may come with a bucket key, a context, or from the bucket's default", async () => {
    const kms = { ServerSideEncryption: "aws:kms", BucketKeyEnabled: true } as const;
    const SSEKMSEncryptionContext = Buffer.from('{"a":"b"}').toString("base64");
    await put("kms", "x", { ...kms, SSEKMSEncryptionContext });
    expect(await head("kms")).toMatchObject({ BucketKeyEnabled: true, SSEKMSKeyId: expect.stringMatching(/^arn:/) });
    const bad = put("kms", "x", { ...kms, SSEKMSEncryptionContext: "no" });
    expect(await refusal(bad)).toMatchObject({ name: "InvalidArgument" });
    await put("dsse", "x", { ...kms, ServerSideEncryption: "aws:kms:dsse" });
    expect((await head("dsse")).BucketKeyEnabled).toBeUndefined();
    await put("defaulted", "x", { Bucket: "sealed" });
    expect(await head("defaulted", { Bucket: "sealed" })).toMatchObject({
      ServerSideEncryption: "aws:kms",
      SSEKMSKeyId: "arn:aws:kms:us-east-1:000000000000:key/default-key",
    });
    await put("chosen", "x", { Bucket: "sealed", ServerSideEncryption: "AES256" });
    expect(await head("chosen", { Bucket: "sealed" })).toMatchObject({ ServerSideEncryption: "AES256" });
    expect(await refusal(put("x", "x", { SSEKMSKeyId: KEY }))).toMatchObject({ name: "InvalidArgument" });
    expect(await refusal(put("x", "x", { ServerSideEncryption: "rot13" }))).toMatchObject({ name: "InvalidArgument" });
  });

  it("are of no use in a read's headers", async () => {
    const headers = { "x-amz-server-side-encryption": "aws:kms" };
    expect(await raw(bench.pocket, { path: "/plain/kms", headers })).toMatchObject({ code: "InvalidArgument" });
  });
});

describe("a customer's key", () => {
  it("is needed for every look at the object", async () => {
    const body = sample(100_000);
    const receipt = await put("own", body, own(1));
    expect(receipt).toMatchObject({ SSECustomerAlgorithm: "AES256" });
    expect(receipt.ServerSideEncryption).toBeUndefined();
    expect(receipt.ETag).not.toBe(`"${createHash("md5").update(body).digest("hex")}"`);
    expect(await print("own", own(1))).toBe(sha256(body));
    for (const [start, end] of [
      [0, 1],
      [15, 17],
      [16, 99_999],
      [70_001, 70_002],
    ] as const) {
      const range = { Range: `bytes=${start}-${end - 1}`, ...own(1) };
      expect(await print("own", range)).toBe(sha256(body.subarray(start, end)));
    }
    expect(await refusal(get("own"))).toEqual({ name: "InvalidRequest", status: 400 });
    expect((await refusal(head("own"))).status).toBe(400);
    expect(await refusal(get("own", own(2)))).toEqual({ name: "AccessDenied", status: 403 });
    await put("open", "x");
    expect(await refusal(get("open", own(1)))).toEqual({ name: "InvalidRequest", status: 400 });
    const both = put("own", "x", { ...own(1), ServerSideEncryption: "AES256" });
    expect(await refusal(both)).toMatchObject({ name: "InvalidArgument" });
  });

  it("must be whole and match its own MD5", async () => {
    const prefix = "x-amz-server-side-encryption-customer";
    const key = Buffer.alloc(32, 1);
    const good = {
      [`${prefix}-algorithm`]: "AES256",
      [`${prefix}-key`]: key.toString("base64"),
      [`${prefix}-key-md5`]: createHash("md5").update(key).digest("base64"),
    };
    const attempt = async (headers: Record<string, string>) =>
      (await raw(bench.pocket, { method: "PUT", path: "/plain/own-raw", headers, body: "x" })).code;
    expect(await attempt(good)).toBeUndefined();
    expect(await attempt({ ...good, [`${prefix}-key-md5`]: "AAAA" })).toBe("InvalidArgument");
    expect(await attempt({ ...good, [`${prefix}-key`]: "AAAA" })).toBe("InvalidArgument");
    expect(await attempt({ ...good, [`${prefix}-algorithm`]: "ROT13" })).toBe("InvalidEncryptionAlgorithmError");
    expect(await attempt({ [`${prefix}-algorithm`]: "AES256" })).toBe("InvalidArgument");
  });

  it("opens the source of a copy and seals the copy", async () => {
    const body = sample(70_000);
    await put("own", body, own(1));
    const copy = (input: object) =>
      bench.client.send(new CopyObjectCommand({ Bucket, Key: "copied", CopySource: "plain/own", ...input }));
    const source = { CopySourceSSECustomerAlgorithm: "AES256", CopySourceSSECustomerKey: Buffer.alloc(32, 1) };
    expect(await refusal(copy({}))).toMatchObject({ name: "InvalidRequest" });
    await copy({ ...source, ...own(3) });
    expect(await print("copied", own(3))).toBe(sha256(body));
    await copy(source);
    expect(await print("copied")).toBe(sha256(body));
    expect(await head("copied")).toMatchObject({ ETag: `"${createHash("md5").update(body).digest("hex")}"` });
  });

  it("is asked for by every part", async () => {
    const body = sample(6 * MIB + 5);
    const where = { Bucket, Key: "own-parts" };
    const created = await bench.client.send(
      new CreateMultipartUploadCommand({
        ...where,
        ...own(1),
        ChecksumAlgorithm: "CRC32C",
        ChecksumType: "FULL_OBJECT",
      }),
    );
    const { UploadId } = created;
    const part = (PartNumber: number, Body: Buffer, key: object) =>
      bench.client.send(
        new UploadPartCommand({ ...where, UploadId, PartNumber, Body, ChecksumAlgorithm: "CRC32C", ...key }),
      );
    expect(await refusal(part(1, body, {}))).toMatchObject({ name: "InvalidRequest" });
    expect(await refusal(part(1, body, own(2)))).toMatchObject({ name: "AccessDenied" });
    const Parts = [
      { PartNumber: 1, ETag: (await part(1, body.subarray(0, 5 * MIB), own(1))).ETag },
      { PartNumber: 2, ETag: (await part(2, body.subarray(5 * MIB), own(1))).ETag },
    ];
    const done = new CompleteMultipartUploadCommand({ ...where, UploadId, MultipartUpload: { Parts } });
    expect((await bench.client.send(done)).ETag).toMatch(/-2"$/);
    expect(await print("own-parts", own(1))).toBe(sha256(body));
    const Range = `bytes=${5 * MIB - 5}-${5 * MIB + 20}`;
    expect(await print("own-parts", { ...own(1), Range })).toBe(sha256(body.subarray(5 * MIB - 5, 5 * MIB + 21)));
  });
});
