/** Objects under every kind of key, in versions and in parts, with the official client as a witness. */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { crc32c, crc32cText } from "../../src/core/crc32c.ts";
import { asSealiftError, type SealiftError } from "../../src/core/error.ts";
import type { ByteStream } from "../../src/core/object.ts";
import type { PocketRequest } from "../../src/pocket/http.ts";
import type { PutOptions } from "../../src/store/store.ts";
import { answerOnce, counted, isMethod, MIB, startS3Bench, type S3Bench } from "./s3-bench.ts";
import { absent, bare, failure, flood, gather, never, pieces, pinOf, sample } from "./laws/law.ts";

let bench: S3Bench;
beforeAll(async () => {
  bench = await startS3Bench();
});
afterEach(() => bench.pocket.faults.clear());
afterAll(() => bench.close());

const errorOf = async (attempt: Promise<unknown>): Promise<SealiftError> => asSealiftError(await failure(attempt));
const codeOf = async (attempt: Promise<unknown>): Promise<string> => (await errorOf(attempt)).code;
const options = (sizeBytes: number, more: Partial<PutOptions> = {}): PutOptions => ({
  sizeBytes,
  attributes: bare,
  condition: "any",
  signal: never,
  ...more,
});
const put = (key: string, bytes: Uint8Array, more: Partial<PutOptions> = {}) =>
  bench.store.put(key, pieces(bytes), options(bytes.length, more));
const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");
const law = () => ({ store: bench.store, prefix: "", largeBytes: 0 });

describe("a small put", () => {
  it("is one request, and its receipt is what HEAD says", async () => {
    const bytes = sample(70_000);
    const attributes = {
      metadata: new Map([
        ["x-amz-key-v2", "QUJD=="],
        ["city", "Köln"],
      ]),
      contentType: "a/b",
    };
    const before = new Map(bench.pocket.counts);
    const { head } = await put("small", bytes, { attributes });
    const requests = [...bench.pocket.counts].filter(([label, n]) => !label.includes(" ") && n !== before.get(label));
    expect(requests).toEqual([["PUT", (before.get("PUT") ?? 0) + 1]]);
    const standing = await bench.store.head("small", never);
    expect(standing).toMatchObject({ md5: md5(bytes), crc32c: crc32c(bytes), atRest: { mode: "SSE-S3" } });
    expect({ ...standing, lastModifiedMs: 0 }).toEqual({ ...head, lastModifiedMs: 0 });
    expect(Math.abs((standing?.lastModifiedMs ?? 0) - head.lastModifiedMs)).toBeLessThan(60_000);
    const opened = await bench.store.open("small", { signal: never });
    await opened.cancel();
    expect(opened.head).toEqual(standing);
  });

  it("carries its checksum, which S3 keeps", async () => {
    await put("sum", sample(10));
    const seen = await bench.client.send(
      new HeadObjectCommand({ Bucket: "bucket", Key: "sum", ChecksumMode: "ENABLED" }),
    );
    expect(seen).toMatchObject({ ChecksumCRC32C: crc32cText(crc32c(sample(10))), ChecksumType: "FULL_OBJECT" });
  });

  it("sends nothing of a body that disappoints", async () => {
    const before = counted(bench, "PUT");
    expect(await codeOf(bench.store.put("cut", pieces(sample(99)), options(100)))).toBe("STORE_CUT");
    expect(await codeOf(put("cut", sample(100), { crc32c: 1 }))).toBe("STORE_CHECKSUM");
    const attributes = { metadata: new Map([["a", "b\nc"]]) };
    expect(await codeOf(put("cut", sample(100), { attributes }))).toBe("METADATA_UNFIT");
    expect(await codeOf(put("cut", sample(100), { attributes: { ...bare, contentDisposition: "ü" } }))).toBe(
      "METADATA_UNFIT",
    );
    expect(counted(bench, "PUT")).toBe(before);
  });

  it("does not ask for a byte that it cannot carry", async () => {
    let asked = 0;
    async function* body(): ByteStream {
      asked++;
      yield sample(1);
    }
    const attributes = { metadata: new Map([["a", " b"]]) };
    expect(await codeOf(bench.store.put("unfit", body(), options(1, { attributes })))).toBe("METADATA_UNFIT");
    expect(asked).toBe(0);
  });

  it("whose answer is lost may have happened; asking again tells", async () => {
    bench.pocket.faults.add({ match: isMethod("PUT"), loseAnswer: true });
    expect((await errorOf(put("lost", sample(5), { condition: "absent" }))).retry).toBe("later");
    expect(await codeOf(put("lost", sample(5), { condition: "absent" }))).toBe("STORE_EXISTS");
  });

  it("is not believed when the provider states another checksum or MD5", async () => {
    for (const headers of [
      { etag: '"e"', "x-amz-checksum-crc32c": "AAAAAA==" },
      { etag: `"${md5(sample(6))}"`, "content-length": "0" },
    ]) {
      bench.pocket.faults.add({ match: isMethod("PUT"), answer: { status: 200, headers } });
      expect(await codeOf(put("wrong", sample(5)))).toBe("STORE_CHECKSUM");
    }
  });

  it("under a named key says so, and is not believed when the provider does not", async () => {
    const serverKeyName = "arn:aws:kms:us-east-1:111122223333:key/abc";
    const { head } = await put("kms", sample(5), { serverKeyName });
    expect(head).toMatchObject({ atRest: { mode: "SSE-KMS", keyName: serverKeyName } });
    expect(head.md5).toBeUndefined();
    expect((await bench.store.head("kms", never))?.atRest).toEqual(head.atRest);
    await put("plain", sample(5));
    bench.pocket.faults.add({
      match: isMethod("PUT"),
      answer: { status: 200, headers: { etag: `"${md5(sample(5))}"` } },
    });
    expect(await codeOf(put("plain", sample(5), { serverKeyName }))).toBe("PROVIDER_REFUSED");
  });

  it("gives its memory back, whatever happens", async () => {
    const failing = [
      put("memory", sample(5)),
      bench.store.put("memory", pieces(sample(9)), options(8)),
      put("memory", sample(5), { crc32c: 1 }),
      put("memory", sample(5), { condition: { etag: "other" } }),
      put("memory", sample(5), { signal: AbortSignal.abort() }),
    ];
    await Promise.allSettled(failing);
    const release = await bench.buffer.take(bench.buffer.limit, AbortSignal.timeout(10_000));
    release();
  });
});

describe("pins", () => {
  it("in a versioned bucket read that version, and replace only it", async () => {
    const store = await bench.open({ bucket: "versioned" });
    const write = (seed: number, more: Partial<PutOptions> = {}) =>
      store.put("v", pieces(sample(100, seed)), options(100, more));
    const first = await write(1);
    expect(first.head.version).toMatch(/./);
    const again = await write(1, { attributes: { metadata: new Map([["new", "1"]]) } });
    expect(again.head.etag).toBe(first.head.etag);
    const old = await store.open("v", { ifVersion: pinOf(first.head), signal: never });
    expect(old.head.attributes.metadata.size).toBe(0);
    expect(old.head.version).toBe(first.head.version);
    expect(await gather(old.body)).toEqual(sample(100, 1));
    // The same bytes and the same ETag, and yet another object: its metadata is newer.
    expect(await codeOf(write(2, { condition: pinOf(first.head) }))).toBe("STORE_CHANGED");
    await write(2, { condition: pinOf(again.head) });
    await store.remove("v", never);
    expect(await store.head("v", never)).toBeUndefined();
    expect(await codeOf(store.open("v", { signal: never }))).toBe("STORE_NOT_FOUND");
    expect(await gather((await store.open("v", { ifVersion: pinOf(again.head), signal: never })).body)).toEqual(
      sample(100, 1),
    );
    const gone = { version: "no-such-version", etag: first.head.etag };
    expect(["STORE_NOT_FOUND", "STORE_CHANGED", "PROVIDER_REFUSED"]).toContain(
      await codeOf(store.open("v", { ifVersion: gone, signal: never })),
    );
  });

  it("on a version that is a delete marker find nothing", async () => {
    const store = await bench.open({ bucket: "versioned" });
    await store.put("marker", pieces(sample(1)), options(1));
    const { VersionId = "" } = await bench.client.send(new DeleteObjectCommand({ Bucket: "versioned", Key: "marker" }));
    const attempt = store.open("marker", { ifVersion: { version: VersionId, etag: "e" }, signal: never });
    expect(await codeOf(attempt)).toBe("STORE_NOT_FOUND");
  });
});

describe("customer keys", () => {
  const [one, two, three] = [1, 2, 3].map((fill) => Buffer.alloc(32, fill));
  const seal = (Key: string, key: Buffer | undefined) =>
    bench.client.send(
      new PutObjectCommand({
        Bucket: "bucket",
        Key,
        Body: "sealed by its owner",
        SSECustomerAlgorithm: "AES256",
        SSECustomerKey: key?.toString("base64"),
        SSECustomerKeyMD5: createHash("md5")
          .update(key ?? "")
          .digest("base64"),
      }),
    );

  it("are tried in turn, and only where they are needed", async () => {
    await Promise.all([seal("c1", one), seal("c2", two), put("c0", sample(3))]);
    const store = await bench.open({ customerKeys: [one ?? Buffer.alloc(0), two ?? Buffer.alloc(0)] });
    for (const key of ["c2", "c1", "c2", "c2"]) {
      const opened = await store.open(key, { signal: never });
      expect(opened.head.atRest.mode).toBe("SSE-C");
      expect(opened.head.md5).toBeUndefined();
      expect((await gather(opened.body)).toString()).toBe("sealed by its owner");
      expect(await store.head(key, never)).toEqual(opened.head);
      const part = await store.open(key, { ifVersion: pinOf(opened.head), range: { start: 0, end: 6 }, signal: never });
      expect((await gather(part.body)).toString()).toBe("sealed");
    }
    expect((await store.head("c0", never))?.atRest.mode).toBe("SSE-S3");
    expect(await store.head("c-none", never)).toBeUndefined();
  });

  it("that are missing are asked for", async () => {
    await seal("c3", three);
    const store = await bench.open({ customerKeys: [one ?? Buffer.alloc(0)] });
    for (const any of [store, bench.store]) {
      expect(await codeOf(any.open("c3", { signal: never }))).toBe("STORE_KEY_NEEDED");
      expect(await codeOf(any.head("c3", never))).toBe("STORE_KEY_NEEDED");
    }
  });

  it("are never shown", async () => {
    await seal("c4", three);
    const store = await bench.open({ customerKeys: [two ?? Buffer.alloc(0)] });
    const error = await errorOf(store.open("c4", { signal: never }));
    expect(JSON.stringify([error.line(), error.stack, String(error.cause)])).not.toContain(two?.toString("base64"));
  });
});

describe("a put in parts", () => {
  const sizeBytes = 12 * MIB + 5;
  const large = (key: string, more: Partial<PutOptions> = {}) =>
    bench.store.put(key, flood(sizeBytes).body, options(sizeBytes, more));
  const unfinished = async () =>
    (await bench.client.send(new ListMultipartUploadsCommand({ Bucket: "bucket" }))).Uploads ?? [];
  const isPart = (number: number) => (request: PocketRequest) => request.query.get("partNumber") === String(number);
  const isComplete = (request: PocketRequest) => request.method === "POST" && request.query.has("uploadId");

  afterEach(async () => {
    expect(await unfinished()).toEqual([]);
    const release = await bench.buffer.take(bench.buffer.limit, AbortSignal.timeout(10_000));
    release();
  });

  it("arrives whole, with a checksum of the whole", async () => {
    const source = flood(sizeBytes);
    const attributes = {
      metadata: new Map([["a", "ü"]]),
      contentEncoding: "gzip",
      expires: "Thu, 01 Dec 2033 16:00:00 GMT",
    };
    const put = options(sizeBytes, { attributes, condition: "absent" });
    const receipt = await bench.store.put("parts", source.body, put);
    expect(receipt.crc32c).toBe(source.crc());
    expect(receipt.head).toMatchObject({ sizeBytes, crc32c: source.crc(), attributes });
    expect(receipt.head.etag).toMatch(/-3$/);
    expect(receipt.head.md5).toBeUndefined();
    const { Body } = await bench.client.send(new GetObjectCommand({ Bucket: "bucket", Key: "parts" }));
    expect(crc32c((await Body?.transformToByteArray()) ?? new Uint8Array())).toBe(source.crc());
    const before = counted(bench, "POST");
    expect(await codeOf(large("parts", { condition: "absent" }))).toBe("STORE_EXISTS");
    expect(counted(bench, "POST")).toBe(before);
  });

  it("replaces what is pinned, and nothing else", async () => {
    const { head } = await put("replaced", sample(9));
    await large("replaced", { condition: pinOf(head) });
    expect(await codeOf(large("replaced", { condition: pinOf(head) }))).toBe("STORE_CHANGED");
  });

  it.each([1, 2, 3])("is given up when part %i is refused", async (number) => {
    const body = "<Error><Code>SlowDown</Code></Error>";
    bench.pocket.faults.add({ match: isPart(number), answer: { status: 503, body } });
    expect(await codeOf(large("refused"))).toBe("THROTTLED");
    await absent(law(), "refused");
  });

  it("is given up when a part's answer is lost", async () => {
    bench.pocket.faults.add({ match: isPart(2), loseAnswer: true });
    expect((await errorOf(large("lost-part"))).retry).toBe("later");
    await absent(law(), "lost-part");
  });

  it.each([
    [200, "InternalError", "PROVIDER_ERROR"],
    [200, "PreconditionFailed", "STORE_EXISTS"],
    [412, "PreconditionFailed", "STORE_EXISTS"],
    [409, "ConditionalRequestConflict", "STORE_BUSY"],
    [404, "NoSuchUpload", "PROVIDER_ERROR"],
    [200, "", "PROVIDER_ERROR"],
  ])("is given up when Complete says %i %s", async (status, code, ours) => {
    answerOnce(bench, "POST", status, code, { match: isComplete });
    expect(await codeOf(large("incomplete", { condition: "absent" }))).toBe(ours);
    await absent(law(), "incomplete");
  });

  it("looks once more before it completes, for servers that ignore conditions there", async () => {
    async function* body(): ByteStream {
      yield* flood(sizeBytes).body;
      await put("overtaken", sample(7));
    }
    const attempt = bench.store.put("overtaken", body(), options(sizeBytes, { condition: "absent" }));
    const completes = counted(bench, "POST");
    expect(await codeOf(attempt)).toBe("STORE_EXISTS");
    expect(counted(bench, "POST")).toBe(completes + 1); // create, and no Complete
    expect((await bench.store.head("overtaken", never))?.sizeBytes).toBe(7);
  });

  it("that is replaced at once does not pass for the new object", async () => {
    bench.pocket.faults.add({
      match: isComplete,
      answer: {
        status: 200,
        body: "<CompleteMultipartUploadResult><ETag>mine-3</ETag></CompleteMultipartUploadResult>",
      },
    });
    await put("other", sample(7));
    expect(await codeOf(large("other"))).toBe("STORE_CHANGED");
  });

  it("whose body breaks off is taken back, and the error is the body's", async () => {
    const broken = new Error("the source broke");
    async function* body(): ByteStream {
      yield* flood(11 * MIB).body;
      throw broken;
    }
    expect(await failure(bench.store.put("broken", body(), options(sizeBytes)))).toBe(broken);
    await absent(law(), "broken");
  });

  it("that is aborted is taken back all the same", async () => {
    const stop = new AbortController();
    async function* body(): ByteStream {
      yield* flood(11 * MIB).body;
      stop.abort();
      yield* flood(2 * MIB).body;
    }
    const attempt = bench.store.put("stopped", body(), options(sizeBytes, { signal: stop.signal }));
    expect(await codeOf(attempt)).toBe("INTERRUPTED");
    await absent(law(), "stopped");
  });

  it("never holds more than its allowance, however many there are", async () => {
    const many = ["m1", "m2", "m3", "m4", "m5"].map((key) => large(key));
    for (const receipt of await Promise.all(many)) expect(receipt.head.sizeBytes).toBe(sizeBytes);
  });

  it("stays within two parts of its body ahead of the bucket", async () => {
    bench.pocket.faults.add({ match: isPart(1), delayMs: 300 });
    bench.pocket.faults.add({ match: isPart(2), delayMs: 300 });
    const before = counted(bench, "PUT UploadPart");
    let taken = 0;
    let takenBeforeAnyArrived = 0;
    async function* body(): ByteStream {
      for await (const piece of flood(sizeBytes).body) {
        taken += piece.length;
        if (counted(bench, "PUT UploadPart") === before) takenBeforeAnyArrived = taken;
        yield piece;
      }
    }
    await bench.store.put("ahead", body(), options(sizeBytes));
    expect(takenBeforeAnyArrived).toBeGreaterThan(5 * MIB);
    expect(takenBeforeAnyArrived).toBeLessThan(11.5 * MIB);
  });
});
