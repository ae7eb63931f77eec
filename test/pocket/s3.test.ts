/** The pocket S3, held against the official client with its default settings. */
import { Readable } from "node:stream";
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetBucketEncryptionCommand,
  GetBucketLocationCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  type HeadObjectCommandInput,
  ListBucketsCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  PutObjectTaggingCommand,
} from "@aws-sdk/client-s3";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crc32c, crc32cText } from "../../src/core/crc32c.ts";
import { connect, refusal, type S3Bench, sample, sha256, startBench } from "./s3-bench.ts";

let bench: S3Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.close());

const put = (Key: string, Body: string | Buffer | Readable, input: Partial<PutObjectCommandInput> = {}) =>
  bench.client.send(new PutObjectCommand({ Bucket: "plain", Key, Body, ...input }));
const get = (Key: string, input: Partial<GetObjectCommandInput> = {}) =>
  bench.client.send(new GetObjectCommand({ Bucket: "plain", Key, ...input }));
const head = (Key: string, input: Partial<HeadObjectCommandInput> = {}) =>
  bench.client.send(new HeadObjectCommand({ Bucket: "plain", Key, ...input }));
async function bytes(Key: string, input: Partial<GetObjectCommandInput> = {}): Promise<Buffer> {
  return Buffer.from((await (await get(Key, input)).Body?.transformToByteArray()) ?? []);
}
/** Comparing hashes: a large Buffer in toEqual is compared byte by byte, and slowly. */
const print = (data: Buffer) => `${data.length} ${sha256(data)}`;
const md5 = (data: string | Buffer) => createHash("md5").update(data).digest("hex");

describe("objects", () => {
  it("come back with their bytes and everything set on them", async () => {
    const attributes = {
      ContentType: "text/plain",
      ContentEncoding: "gzip",
      ContentLanguage: "de, en",
      ContentDisposition: 'attachment; filename="a  b"',
      CacheControl: "no-store",
      Expires: new Date("2033-12-01T16:00:00Z"),
      Metadata: { mtime: "1.5", "x-amz-key-v2": "QUJD==", spaces: "two  inner" },
      StorageClass: "STANDARD_IA" as const,
    };
    const receipt = await put("whole", "hello", { ...attributes, Tagging: "a=1&b=2" });
    expect(receipt).toMatchObject({ ETag: `"${md5("hello")}"`, ServerSideEncryption: "AES256" });
    const { Expires: _, ...kept } = attributes;
    for (const answer of [await get("whole"), await head("whole")]) {
      expect(answer).toMatchObject({ ...kept, ETag: `"${md5("hello")}"`, ContentLength: 5, AcceptRanges: "bytes" });
      expect(answer).toMatchObject({ TagCount: 2, ExpiresString: "Thu, 01 Dec 2033 16:00:00 GMT" });
      expect(answer.LastModified?.getMilliseconds()).toBe(0);
      expect(answer.VersionId).toBeUndefined();
    }
    expect(await bytes("whole")).toEqual(Buffer.from("hello"));
  });

  it("are the same whether they came whole, as a stream or not at all", async () => {
    const body = sample(300_000);
    await put("streamed", Readable.from([body.subarray(0, 70_000), body.subarray(70_000)]), {
      ContentLength: body.length,
      ContentEncoding: "br",
    });
    expect(print(await bytes("streamed"))).toBe(print(body));
    // The framing of the transfer is no property of the object.
    expect(await head("streamed")).toMatchObject({ ContentEncoding: "br", ETag: `"${md5(body)}"` });
    await put("plain-stream", Readable.from([body]), { ContentLength: body.length });
    expect((await head("plain-stream")).ContentEncoding).toBeUndefined();
    await put("empty", "");
    expect(await head("empty")).toMatchObject({ ContentLength: 0, ETag: `"${md5("")}"` });
    expect(await bytes("empty")).toEqual(Buffer.alloc(0));
  });

  it("give any range as HTTP has it", async () => {
    const body = sample(150_000);
    await put("ranged", body);
    const range = (Range: string) => get("ranged", { Range });
    expect(await range("bytes=1-3")).toMatchObject({ ContentRange: "bytes 1-3/150000", ContentLength: 3 });
    expect(await bytes("ranged", { Range: "bytes=-10" })).toEqual(body.subarray(-10));
    expect(await bytes("ranged", { Range: "bytes=149990-999999" })).toEqual(body.subarray(-10));
    expect(print(await bytes("ranged", { Range: "bytes=0-1,4-5" }))).toBe(print(body));
    expect(await refusal(range("bytes=150000-"))).toEqual({ name: "InvalidRange", status: 416 });
    expect(await refusal(range("bytes=-0"))).toEqual({ name: "InvalidRange", status: 416 });
    await fc.assert(
      fc.asyncProperty(fc.nat(149_999), fc.nat(149_999), async (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        const piece = await bytes("ranged", { Range: `bytes=${start}-${end}` });
        expect(print(piece)).toBe(print(body.subarray(start, end + 1)));
      }),
      { numRuns: 25 },
    );
  });

  it("that are absent say so", async () => {
    expect(await refusal(get("nothing"))).toEqual({ name: "NoSuchKey", status: 404 });
    expect((await refusal(head("nothing"))).status).toBe(404);
    expect(await refusal(get("x", { Bucket: "no-such-bucket" }))).toEqual({ name: "NoSuchBucket", status: 404 });
    const gone = await bench.client.send(new DeleteObjectCommand({ Bucket: "plain", Key: "nothing" }));
    expect(gone.$metadata.httpStatusCode).toBe(204);
  });

  it("in an archive are named and not read", async () => {
    for (const StorageClass of ["GLACIER", "DEEP_ARCHIVE"] as const) {
      await put("cold", "x", { StorageClass });
      expect(await refusal(get("cold"))).toEqual({ name: "InvalidObjectState", status: 403 });
      expect(await head("cold")).toMatchObject({ StorageClass });
    }
    expect(await refusal(put("cold", "x", { StorageClass: "TEPID" as "GLACIER" }))).toMatchObject({
      name: "InvalidStorageClass",
    });
  });

  it("carry up to ten tags", async () => {
    const where = { Bucket: "plain", Key: "tagged" };
    await put("tagged", "x", { Tagging: "a=1&b=%26%C3%BC" });
    const read = async () => (await bench.client.send(new GetObjectTaggingCommand(where))).TagSet;
    expect(await read()).toEqual([
      { Key: "a", Value: "1" },
      { Key: "b", Value: "&ü" },
    ]);
    const TagSet = [{ Key: "<c>", Value: "" }];
    await bench.client.send(new PutObjectTaggingCommand({ ...where, Tagging: { TagSet } }));
    expect(await read()).toEqual(TagSet);
    await bench.client.send(new DeleteObjectTaggingCommand(where));
    expect((await head("tagged")).TagCount).toBeUndefined();
    const eleven = Array.from({ length: 11 }, (_, i) => `k${i}=v`).join("&");
    expect(await refusal(put("tagged", "y", { Tagging: eleven }))).toMatchObject({ name: "InvalidTag" });
    expect(await bytes("tagged")).toEqual(Buffer.from("x"));
  });

  it("keep their metadata up to 2 KB of names and values", async () => {
    const Metadata = { name: "v".repeat(2044) };
    await put("full", "x", { Metadata });
    expect((await head("full")).Metadata).toEqual(Metadata);
    const over = put("full", "y", { Metadata: { name: "v".repeat(2045) } });
    expect(await refusal(over)).toEqual({ name: "MetadataTooLarge", status: 400 });
    expect(await bytes("full")).toEqual(Buffer.from("x"));
  });
});

describe("checksums", () => {
  it("are stored, verified and told on request", async () => {
    const body = sample(1000);
    const crc = crc32cText(crc32c(body));
    const receipt = await put("summed", body, { ChecksumCRC32C: crc });
    expect(receipt).toMatchObject({ ChecksumCRC32C: crc, ChecksumType: "FULL_OBJECT" });
    expect(await head("summed", { ChecksumMode: "ENABLED" })).toMatchObject({ ChecksumCRC32C: crc });
    expect((await head("summed")).ChecksumCRC32C).toBeUndefined();
    const part = await get("summed", { ChecksumMode: "ENABLED", Range: "bytes=0-9" });
    expect(part.ChecksumCRC32C).toBeUndefined();
    const wanted = { Bucket: "plain", Key: "summed", ObjectAttributes: ["Checksum", "ObjectSize", "ETag"] as const };
    const attributes = await bench.client.send(
      new GetObjectAttributesCommand({ ...wanted, ObjectAttributes: [...wanted.ObjectAttributes] }),
    );
    expect(attributes).toMatchObject({ Checksum: { ChecksumCRC32C: crc }, ObjectSize: 1000, ETag: md5(body) });
  });

  it("that are wrong refuse the write, whichever they are", async () => {
    await put("kept", "old");
    const zeros = (size: number) => Buffer.alloc(size).toString("base64");
    const attempts: Partial<PutObjectCommandInput>[] = [
      { ChecksumCRC32C: zeros(4) },
      { ChecksumCRC32: zeros(4) },
      { ChecksumSHA1: zeros(20) },
      { ChecksumSHA256: zeros(32) },
      { ContentMD5: zeros(16) },
    ];
    for (const input of attempts) {
      expect(await refusal(put("kept", "new", input))).toEqual({ name: "BadDigest", status: 400 });
    }
    expect(await refusal(put("kept", "new", { ContentMD5: "AAAA" }))).toMatchObject({ name: "InvalidDigest" });
    expect(await refusal(put("kept", "new", { ChecksumCRC32C: "AAAA" }))).toMatchObject({ name: "InvalidRequest" });
    expect(await bytes("kept")).toEqual(Buffer.from("old"));
  });

  it("agree with the client's own in every algorithm, sent before or behind the body", async () => {
    const body = sample(100_000);
    for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"] as const) {
      await put("any", body, { ChecksumAlgorithm });
      // The client checks what it reads against the checksum that came with it.
      expect(print(await bytes("any", { ChecksumMode: "ENABLED" }))).toBe(print(body));
      await put("any", Readable.from([body]), { ChecksumAlgorithm, ContentLength: body.length });
      const answer = await get("any", { ChecksumMode: "ENABLED" });
      expect(answer[`Checksum${ChecksumAlgorithm}`]).toMatch(/=/);
      expect(print(Buffer.from((await answer.Body?.transformToByteArray()) ?? []))).toBe(print(body));
    }
  });
});

describe("conditions", () => {
  it("guard reads", async () => {
    const { ETag } = await put("guarded", "x");
    expect(await bytes("guarded", { IfMatch: ETag })).toEqual(Buffer.from("x"));
    expect(await refusal(get("guarded", { IfMatch: '"other"' }))).toEqual({ name: "PreconditionFailed", status: 412 });
    expect((await refusal(get("guarded", { IfNoneMatch: ETag }))).status).toBe(304);
    expect((await refusal(head("guarded", { IfMatch: '"other"' }))).status).toBe(412);
    const past = new Date(Date.now() - 1e9);
    expect((await refusal(get("guarded", { IfUnmodifiedSince: past }))).status).toBe(412);
    expect((await refusal(get("guarded", { IfModifiedSince: new Date(Date.now() + 1e9) }))).status).toBe(304);
  });

  it("guard writes: create-only, and only over what was seen", async () => {
    const { ETag } = await put("once", "first", { IfNoneMatch: "*" });
    expect(await refusal(put("once", "second", { IfNoneMatch: "*" }))).toEqual({
      name: "PreconditionFailed",
      status: 412,
    });
    expect(await refusal(put("once", "second", { IfMatch: '"other"' }))).toMatchObject({ status: 412 });
    expect(await refusal(put("never", "second", { IfMatch: ETag }))).toEqual({ name: "NoSuchKey", status: 404 });
    expect(await refusal(put("once", "second", { IfNoneMatch: ETag }))).toMatchObject({ status: 501 });
    expect(await bytes("once")).toEqual(Buffer.from("first"));
    await put("once", "second", { IfMatch: ETag });
    expect(await bytes("once")).toEqual(Buffer.from("second"));
  });

  it("let exactly one of many create-only writes through", async () => {
    const attempts = Array.from({ length: 8 }, (_, i) => put("race", `${i}`, { IfNoneMatch: "*" }));
    const results = await Promise.allSettled(attempts);
    const won = results.findIndex(({ status }) => status === "fulfilled");
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await bytes("race")).toEqual(Buffer.from(`${won}`));
  });
});

describe("versions", () => {
  const where = { Bucket: "versioned" };

  it("stay under their ids, behind markers too", async () => {
    const one = await put("v", "one", where);
    const two = await put("v", "two", where);
    expect(one.VersionId).not.toBe(two.VersionId);
    expect(await bytes("v", where)).toEqual(Buffer.from("two"));
    expect(await bytes("v", { ...where, VersionId: one.VersionId })).toEqual(Buffer.from("one"));
    const marker = await bench.client.send(new DeleteObjectCommand({ ...where, Key: "v" }));
    expect(marker).toMatchObject({ DeleteMarker: true });
    expect(await refusal(get("v", where))).toEqual({ name: "NoSuchKey", status: 404 });
    expect(await refusal(get("v", { ...where, VersionId: marker.VersionId }))).toMatchObject({ status: 405 });
    expect(await head("v", { ...where, VersionId: two.VersionId })).toMatchObject({ VersionId: two.VersionId });
    await put("v", "three", { ...where, IfNoneMatch: "*" });
    const { VersionId } = marker;
    await bench.client.send(new DeleteObjectCommand({ ...where, Key: "v", VersionId: two.VersionId }));
    const lost = get("v", { ...where, VersionId: two.VersionId });
    expect(await refusal(lost)).toEqual({ name: "NoSuchVersion", status: 404 });
    const unmarked = await bench.client.send(new DeleteObjectCommand({ ...where, Key: "v", VersionId }));
    expect(unmarked).toMatchObject({ DeleteMarker: true, VersionId });
  });

  it("begin and pause when the bucket is told so", async () => {
    const Bucket = "turning";
    bench.pocket.createBucket(Bucket);
    const turn = (Status: "Enabled" | "Suspended") =>
      bench.client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
    await put("k", "before", { Bucket });
    await turn("Enabled");
    await put("k", "during", { Bucket });
    expect(await bytes("k", { Bucket, VersionId: "null" })).toEqual(Buffer.from("before"));
    await turn("Suspended");
    expect(await put("k", "after", { Bucket })).toMatchObject({ VersionId: "null" });
    expect(await bytes("k", { Bucket, VersionId: "null" })).toEqual(Buffer.from("after"));
    const { Versions } = await bench.client.send(new ListObjectVersionsCommand({ Bucket }));
    expect(Versions?.map(({ VersionId }) => VersionId === "null")).toEqual([true, false]);
  });
});

describe("copies", () => {
  const copy = (Key: string, CopySource: string, input: object = {}) =>
    bench.client.send(new CopyObjectCommand({ Bucket: "plain", Key, CopySource, ...input }));

  it("take metadata along or replace it", async () => {
    const set = { Metadata: { a: "1" }, ContentType: "text/x", Tagging: "t=1", StorageClass: "STANDARD_IA" } as const;
    await put("from/ä+b c", "body", set);
    const result = await copy("to", `plain/${encodeURIComponent("from/ä+b c")}`);
    expect(result.CopyObjectResult).toMatchObject({ ETag: `"${md5("body")}"` });
    expect(await head("to")).toMatchObject({ Metadata: { a: "1" }, ContentType: "text/x", TagCount: 1 });
    await copy("to", "plain/to", { MetadataDirective: "REPLACE", Metadata: { b: "2" } });
    expect(await head("to")).toMatchObject({ Metadata: { b: "2" }, ContentLength: 4 });
    expect(await bytes("to")).toEqual(Buffer.from("body"));
    // The storage class is chosen anew, tags stay unless they are replaced.
    expect((await head("to")).StorageClass).toBeUndefined();
    expect((await head("to")).TagCount).toBe(1);
    await copy("to", "plain/to", { MetadataDirective: "REPLACE", TaggingDirective: "REPLACE", Tagging: "x=1&y=2" });
    expect((await head("to")).TagCount).toBe(2);
    await put("cold", "x", { StorageClass: "GLACIER" });
    expect(await refusal(copy("to", "plain/cold"))).toEqual({ name: "InvalidObjectState", status: 403 });
  });

  it("refuse what would change nothing, what is not there and what changed", async () => {
    const { ETag } = await put("self", "x");
    expect(await refusal(copy("self", "plain/self"))).toEqual({ name: "InvalidRequest", status: 400 });
    expect(await refusal(copy("to", "plain/nothing"))).toEqual({ name: "NoSuchKey", status: 404 });
    const ifMatch = (CopySourceIfMatch: string | undefined) => copy("to", "plain/self", { CopySourceIfMatch });
    expect(await refusal(ifMatch('"other"'))).toEqual({ name: "PreconditionFailed", status: 412 });
    await ifMatch(ETag);
  });

  it("reach back to a version", async () => {
    const { VersionId } = await put("old", "one", { Bucket: "versioned" });
    await put("old", "two", { Bucket: "versioned" });
    const result = await copy("restored", `versioned/old?versionId=${VersionId}`);
    expect(result.CopySourceVersionId).toBe(VersionId);
    expect(await bytes("restored")).toEqual(Buffer.from("one"));
  });
});

describe("buckets", () => {
  it("are made, found, described and removed", async () => {
    const Bucket = "made-here";
    await bench.client.send(new CreateBucketCommand({ Bucket }));
    expect(await bench.client.send(new HeadBucketCommand({ Bucket }))).toMatchObject({ BucketRegion: "us-east-1" });
    const { Buckets } = await bench.client.send(new ListBucketsCommand({}));
    expect(Buckets?.map(({ Name }) => Name)).toContain(Bucket);
    const location = await bench.client.send(new GetBucketLocationCommand({ Bucket }));
    expect(location.LocationConstraint).toBeUndefined();
    const { ServerSideEncryptionConfiguration } = await bench.client.send(
      new GetBucketEncryptionCommand({ Bucket: "sealed" }),
    );
    expect(ServerSideEncryptionConfiguration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault).toEqual({
      SSEAlgorithm: "aws:kms",
      KMSMasterKeyID: "default-key",
    });
    await put("k", "x", { Bucket });
    expect(await refusal(bench.client.send(new DeleteBucketCommand({ Bucket })))).toMatchObject({ status: 409 });
    const Delete = { Objects: [{ Key: "k" }, { Key: "<absent>&" }] };
    const { Deleted } = await bench.client.send(new DeleteObjectsCommand({ Bucket, Delete }));
    expect(Deleted?.map(({ Key }) => Key)).toEqual(["k", "<absent>&"]);
    await bench.client.send(new DeleteBucketCommand({ Bucket }));
    expect((await refusal(bench.client.send(new HeadBucketCommand({ Bucket })))).status).toBe(404);
    const bad = bench.client.send(new CreateBucketCommand({ Bucket: "Not_A_Name" }));
    expect(await refusal(bad)).toMatchObject({ name: "InvalidBucketName" });
  });
});

describe("credentials", () => {
  it("are checked: the id, the secret, the Region, the token", async () => {
    const attempt = async (config: object) => {
      const client = connect(bench.pocket, config);
      const result = await refusal(client.send(new GetObjectCommand({ Bucket: "plain", Key: "whole" })));
      client.destroy();
      return result;
    };
    const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
    expect(await attempt({ credentials: { ...credentials, secretAccessKey: "wrong" } })).toEqual({
      name: "SignatureDoesNotMatch",
      status: 403,
    });
    expect(await attempt({ credentials: { ...credentials, accessKeyId: "wrong" } })).toEqual({
      name: "InvalidAccessKeyId",
      status: 403,
    });
    expect(await attempt({ region: "eu-west-1" })).toEqual({ name: "AuthorizationHeaderMalformed", status: 400 });
    expect(await attempt({ credentials: { ...credentials, sessionToken: "t" } })).toEqual({
      name: "InvalidToken",
      status: 400,
    });
  });
});
