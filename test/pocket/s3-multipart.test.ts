/** Multipart uploads to the pocket S3, by the official client. */
import { createHash } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crc32c, crc32cText } from "../../src/core/crc32c.ts";
import { raw, refusal, type S3Bench, sample, sha256, startBench } from "./s3-bench.ts";

const MIB = 1024 * 1024;
const body = sample(11 * MIB);
const pieces = [body.subarray(0, 5 * MIB), body.subarray(5 * MIB, 10 * MIB), body.subarray(10 * MIB)];

let bench: S3Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.close());

const where = (Key: string) => ({ Bucket: "plain", Key });

async function begin(Key: string, input: Partial<CreateMultipartUploadCommandInput> = {}): Promise<string> {
  const { UploadId } = await bench.client.send(new CreateMultipartUploadCommand({ ...where(Key), ...input }));
  return UploadId ?? "";
}
async function part(Key: string, UploadId: string, PartNumber: number, Body: Buffer, input: object = {}) {
  const command = new UploadPartCommand({ ...where(Key), UploadId, PartNumber, Body, ...input });
  const { ETag, ChecksumCRC32, ChecksumCRC32C, ChecksumSHA256 } = await bench.client.send(command);
  return { PartNumber, ETag, ChecksumCRC32, ChecksumCRC32C, ChecksumSHA256 };
}
const complete = (Key: string, UploadId: string, Parts: CompletedPart[], input: object = {}) =>
  bench.client.send(
    new CompleteMultipartUploadCommand({ ...where(Key), UploadId, MultipartUpload: { Parts }, ...input }),
  );
async function all(Key: string, UploadId: string, input: object = {}): Promise<CompletedPart[]> {
  const sent: CompletedPart[] = [];
  for (const [index, piece] of pieces.entries()) sent.push(await part(Key, UploadId, index + 1, piece, input));
  return sent;
}
const head = (Key: string, input: object = {}) => bench.client.send(new HeadObjectCommand({ ...where(Key), ...input }));
async function print(Key: string, input: object = {}): Promise<string> {
  const answer = await bench.client.send(new GetObjectCommand({ ...where(Key), ...input }));
  return sha256(Buffer.from((await answer.Body?.transformToByteArray()) ?? []));
}

describe("multipart uploads", () => {
  it("become one object with the attributes given at the start, and are invisible before", async () => {
    const id = await begin("parts", { Metadata: { a: "1" }, ContentType: "text/x", Tagging: "t=1" });
    const sent = await all("parts", id);
    expect((await refusal(head("parts"))).status).toBe(404);
    const digests = pieces.map((piece) => createHash("md5").update(piece).digest());
    const etag = `"${createHash("md5").update(Buffer.concat(digests)).digest("hex")}-3"`;
    expect(await complete("parts", id, sent)).toMatchObject({ ETag: etag, Key: "parts" });
    const found = { ETag: etag, ContentLength: 11 * MIB, Metadata: { a: "1" }, ContentType: "text/x", TagCount: 1 };
    expect(await head("parts")).toMatchObject(found);
    expect(await print("parts")).toBe(sha256(body));
    const Range = `bytes=${5 * MIB - 3}-${10 * MIB + 2}`;
    expect(await print("parts", { Range })).toBe(sha256(body.subarray(5 * MIB - 3, 10 * MIB + 3)));
    expect(await refusal(complete("parts", id, sent))).toEqual({ name: "NoSuchUpload", status: 404 });
  });

  it("show their parts again", async () => {
    const id = await begin("counted");
    await complete("counted", id, await all("counted", id));
    expect(await head("counted", { PartNumber: 2 })).toMatchObject({ PartsCount: 3, ContentLength: 5 * MIB });
    expect(await print("counted", { PartNumber: 3 })).toBe(sha256(pieces[2] as Buffer));
    expect((await refusal(head("counted", { PartNumber: 4 }))).status).toBe(416);
    const attributes = new GetObjectAttributesCommand({
      ...where("counted"),
      ObjectAttributes: ["ObjectParts", "StorageClass"],
    });
    expect(await bench.client.send(attributes)).toMatchObject({
      ObjectParts: { TotalPartsCount: 3 },
      StorageClass: "STANDARD",
    });
  });

  it("add up a full-object CRC32C and CRC32 and verify the client's", async () => {
    const crc = crc32cText(crc32c(body));
    const start = { ChecksumAlgorithm: "CRC32C", ChecksumType: "FULL_OBJECT" } as const;
    const id = await begin("full", start);
    const sent = await all("full", id, { ChecksumAlgorithm: "CRC32C" });
    const wrong = { ChecksumCRC32C: "AAAAAA==", ChecksumType: "FULL_OBJECT" };
    expect(await refusal(complete("full", id, sent, wrong))).toEqual({ name: "BadDigest", status: 400 });
    const right = { ChecksumCRC32C: crc, ChecksumType: "FULL_OBJECT", MpuObjectSize: body.length };
    expect(await complete("full", id, sent, right)).toMatchObject({ ChecksumCRC32C: crc });
    expect(await head("full", { ChecksumMode: "ENABLED" })).toMatchObject({
      ChecksumCRC32C: crc,
      ChecksumType: "FULL_OBJECT",
    });
    const other = await begin("full32", { ChecksumAlgorithm: "CRC32", ChecksumType: "FULL_OBJECT" });
    const { ChecksumCRC32 } = await complete("full32", other, await all("full32", other));
    const single = new PutObjectCommand({ ...where("one"), Body: body, ChecksumAlgorithm: "CRC32" });
    expect((await bench.client.send(single)).ChecksumCRC32).toBe(ChecksumCRC32);
  });

  it("make a composite of their parts' checksums", async () => {
    const id = await begin("composite", { ChecksumAlgorithm: "SHA256" });
    const sent = await all("composite", id, { ChecksumAlgorithm: "SHA256" });
    const digests = pieces.map((piece) => createHash("sha256").update(piece).digest());
    const text = `${createHash("sha256").update(Buffer.concat(digests)).digest("base64")}-3`;
    const { ETag, ...first } = sent[0] as CompletedPart;
    const lie = [{ ...first, ETag, ChecksumSHA256: digests[1]?.toString("base64") }, ...sent.slice(1)];
    expect(await refusal(complete("composite", id, lie))).toEqual({ name: "InvalidPart", status: 400 });
    expect(await complete("composite", id, sent)).toMatchObject({ ChecksumSHA256: text, ChecksumType: "COMPOSITE" });
    expect(await refusal(begin("x", { ChecksumAlgorithm: "SHA256", ChecksumType: "FULL_OBJECT" }))).toMatchObject({
      name: "InvalidRequest",
    });
    const other = await begin("composite", { ChecksumAlgorithm: "SHA256" });
    const mixed = part("composite", other, 1, pieces[2] as Buffer, { ChecksumAlgorithm: "CRC32C" });
    expect(await refusal(mixed)).toEqual({ name: "InvalidRequest", status: 400 });
    const path = `/plain/composite?partNumber=1&uploadId=${other}`;
    expect(await raw(bench.pocket, { method: "PUT", path, body: "x" })).toMatchObject({ code: "InvalidRequest" });
  });

  it("refuse parts that are small, out of order, unknown or misnamed, and stay open", async () => {
    const id = await begin("bad");
    const sent = await all("bad", id);
    const [one, two, three] = sent as [CompletedPart, CompletedPart, CompletedPart];
    const attempt = async (parts: CompletedPart[]) => (await refusal(complete("bad", id, parts))).name;
    expect(await attempt([three, { ...one, PartNumber: 4 }])).toBe("InvalidPart");
    expect(await attempt([two, one])).toBe("InvalidPartOrder");
    expect(await attempt([one, one])).toBe("InvalidPartOrder");
    expect(await attempt([one, { ...two, ETag: '"00000000000000000000000000000000"' }])).toBe("InvalidPart");
    const small = await part("bad", id, 1, pieces[2] as Buffer);
    expect(await attempt([small, three])).toBe("EntityTooSmall");
    expect(await refusal(complete("bad", id, [two], { MpuObjectSize: 1 }))).toMatchObject({ name: "InvalidRequest" });
    expect((await refusal(head("bad"))).status).toBe(404);
    await complete("bad", id, [two, three]);
    expect(await head("bad")).toMatchObject({ ContentLength: 6 * MIB });
    const numbered = part("bad", await begin("bad"), 10_001, pieces[2] as Buffer);
    expect(await refusal(numbered)).toMatchObject({ name: "InvalidArgument" });
  });

  it("are create-only where the client says so", async () => {
    const [first, second] = [await begin("once"), await begin("once")];
    const sent = { first: await all("once", first), second: await all("once", second) };
    await complete("once", first, sent.first, { IfNoneMatch: "*" });
    expect(await refusal(complete("once", second, sent.second, { IfNoneMatch: "*" }))).toEqual({
      name: "PreconditionFailed",
      status: 412,
    });
    const { ETag } = await head("once");
    expect(await refusal(complete("once", second, sent.second, { IfMatch: '"x"' }))).toMatchObject({ status: 412 });
    await complete("once", second, sent.second, { IfMatch: ETag });
  });

  it("are listed until they end, and leave nothing when aborted", async () => {
    const Bucket = "uploads";
    bench.pocket.createBucket(Bucket);
    const ids: (string | undefined)[] = [];
    for (const Key of ["b", "a", "a"]) {
      ids.push((await bench.client.send(new CreateMultipartUploadCommand({ Bucket, Key }))).UploadId);
    }
    const list = (input: object = {}) => bench.client.send(new ListMultipartUploadsCommand({ Bucket, ...input }));
    const found = await list();
    expect(found.Uploads?.map(({ Key }) => Key)).toEqual(["a", "a", "b"]);
    const page = await list({ MaxUploads: 2 });
    expect(page.IsTruncated).toBe(true);
    const rest = await list({ KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker });
    expect(rest.Uploads?.map(({ UploadId }) => UploadId)).toEqual([ids[0]]);
    const [, UploadId = ""] = ids;
    const one = { Bucket, Key: "a", UploadId };
    await bench.client.send(new UploadPartCommand({ ...one, PartNumber: 7, Body: "seven" }));
    await bench.client.send(new UploadPartCommand({ ...one, PartNumber: 2, Body: "two" }));
    const parts = await bench.client.send(new ListPartsCommand({ ...one, MaxParts: 1 }));
    expect(parts).toMatchObject({ IsTruncated: true, Parts: [{ PartNumber: 2, Size: 3 }], NextPartNumberMarker: "2" });
    await bench.client.send(new AbortMultipartUploadCommand(one));
    expect((await list()).Uploads).toHaveLength(2);
    expect(await refusal(bench.client.send(new ListPartsCommand(one)))).toMatchObject({ name: "NoSuchUpload" });
    const late = bench.client.send(new UploadPartCommand({ ...one, PartNumber: 1, Body: "late" }));
    expect(await refusal(late)).toEqual({ name: "NoSuchUpload", status: 404 });
  });

  it("take parts out of other objects", async () => {
    await bench.client.send(new PutObjectCommand({ ...where("whole"), Body: body }));
    const UploadId = await begin("joined");
    const copy = async (PartNumber: number, CopySourceRange?: string) => {
      const input = { ...where("joined"), UploadId, PartNumber, CopySource: "plain/whole", CopySourceRange };
      const { CopyPartResult } = await bench.client.send(new UploadPartCopyCommand(input));
      return { PartNumber, ETag: CopyPartResult?.ETag };
    };
    expect(await refusal(copy(1, `bytes=0-${body.length}`))).toMatchObject({ name: "InvalidArgument" });
    await complete("joined", UploadId, [await copy(1, `bytes=1-${6 * MIB}`), await copy(2)]);
    expect(await print("joined")).toBe(sha256(Buffer.concat([body.subarray(1, 6 * MIB + 1), body])));
  });
});
