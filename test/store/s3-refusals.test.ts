/** What the driver makes of answers that are none: errors, redirects, broken pages. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { asSealiftError, type Code, type SealiftError } from "../../src/core/error.ts";
import { answerOnce, counted, credentials, isMethod, startS3Bench, type S3Bench } from "./s3-bench.ts";
import { bare, failure, gather, listed, never, pieces, put as putOf, rows, sample } from "./laws/law.ts";

let bench: S3Bench;
beforeAll(async () => {
  bench = await startS3Bench();
  await putOf({ ...bench, prefix: "", largeBytes: 0 }, "there", sample(100_000));
});
afterEach(() => bench.pocket.faults.clear());
afterAll(() => bench.close());

const errorOf = async (attempt: Promise<unknown>): Promise<SealiftError> => asSealiftError(await failure(attempt));
const put = (key: string, condition: "absent" | "any" = "any") =>
  bench.store.put(key, pieces(sample(100)), { sizeBytes: 100, attributes: bare, condition, signal: never });
const open = (key = "there") => bench.store.open(key, { signal: never });
const list = () => rows({ ...bench, prefix: "", largeBytes: 0 }, "");

describe("errors are classified", () => {
  it.each<[number, string, Code, string]>([
    [503, "SlowDown", "THROTTLED", "throttled"],
    [503, "", "THROTTLED", "throttled"],
    [429, "", "THROTTLED", "throttled"],
    [400, "RequestLimitExceeded", "THROTTLED", "throttled"],
    [500, "InternalError", "PROVIDER_ERROR", "later"],
    [502, "", "PROVIDER_ERROR", "later"],
    [504, "", "PROVIDER_ERROR", "later"],
    [403, "AccessDenied", "ACCESS_DENIED", "never"],
    [403, "SignatureDoesNotMatch", "ACCESS_DENIED", "never"],
    [401, "", "ACCESS_DENIED", "never"],
    [400, "ExpiredToken", "CREDENTIALS_EXPIRED", "later"],
    [403, "RequestTimeTooSkewed", "PROVIDER_REFUSED", "later"],
    [403, "InvalidObjectState", "STORE_ARCHIVED", "never"],
    [404, "NoSuchKey", "STORE_NOT_FOUND", "never"],
    [404, "NoSuchBucket", "PREFLIGHT_ACCESS", "never"],
    [409, "OperationAborted", "STORE_BUSY", "later"],
    [400, "KMS.DisabledException", "KMS_KEY_UNUSABLE", "never"],
    [400, "KMS.ThrottlingException", "THROTTLED", "throttled"],
    [400, "BadDigest", "STORE_CHECKSUM", "later"],
    [400, "KeyTooLongError", "NAME_UNFIT", "never"],
    [400, "MetadataTooLarge", "METADATA_UNFIT", "never"],
    [400, "InvalidArgument", "PROVIDER_REFUSED", "never"],
    [501, "NotImplemented", "PROVIDER_REFUSED", "never"],
    [418, "", "PROVIDER_REFUSED", "never"],
  ])("%i %s is %s", async (status, code, ours, retry) => {
    for (const [method, attempt] of [
      ["GET", () => open()],
      ["PUT", () => put("refused")],
      ["DELETE", () => bench.store.remove("there", never)],
    ] as const) {
      if (method === "DELETE" && ours === "STORE_NOT_FOUND") continue; // that is success
      answerOnce(bench, method, status, code);
      const error = await errorOf(attempt());
      expect([error.code, error.retry], `${method}: ${error.message}`).toEqual([ours, retry]);
      expect(error.object).toBe(method === "PUT" ? "refused" : "there");
      expect(error.message).toContain(bench.store.name);
    }
  });

  it("by what a GET says where HEAD says nothing", async () => {
    answerOnce(bench, "HEAD", 400, "");
    answerOnce(bench, "GET", 400, "ExpiredToken");
    expect((await errorOf(bench.store.head("there", never))).code).toBe("CREDENTIALS_EXPIRED");
    answerOnce(bench, "HEAD", 503, "");
    expect((await errorOf(bench.store.head("there", never))).code).toBe("THROTTLED");
  });

  it("with the wait that the provider asks for, within reason", async () => {
    for (const [header, ms] of [
      ["7", 7000],
      ["99999999", 600_000],
      ["soon", undefined],
    ] as const) {
      const answer = { status: 503, headers: { "retry-after": header }, body: "<html>busy</html>" };
      bench.pocket.faults.add({ match: isMethod("GET"), answer });
      expect((await errorOf(open())).retryAfterMs).toBe(ms);
      bench.pocket.faults.clear();
    }
  });

  it("with text that is short and of one line", async () => {
    const body = `<Error><Code>Odd</Code><Message>a\n${"x".repeat(5000)}</Message></Error>`;
    bench.pocket.faults.add({ match: isMethod("GET"), answer: { status: 400, body } });
    const { message } = await errorOf(open());
    expect(message.length).toBeLessThan(700);
    expect(message).not.toContain("\n");
  });

  it("and none is tried again", async () => {
    const before = counted(bench, "PUT");
    answerOnce(bench, "PUT", 503, "SlowDown");
    await errorOf(put("again"));
    expect(counted(bench, "PUT")).toBe(before + 1);
  });
});

describe("redirects", () => {
  it.each([301, 307, 308])("%i is not followed; the Region is named", async (status) => {
    const headers = { location: `${bench.pocket.url}/bucket/there`, "x-amz-bucket-region": "eu-south-2" };
    bench.pocket.faults.add({ match: () => true, answer: { status, headers }, times: 2 });
    for (const attempt of [open(), bench.store.head("there", never)]) {
      const error = await errorOf(attempt);
      expect(error.code).toBe("PROVIDER_REFUSED");
      expect(error.message).toContain("eu-south-2");
    }
  });

  it("in words, too", async () => {
    const body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
    bench.pocket.faults.add({ match: isMethod("GET"), answer: { status: 400, body } });
    expect((await errorOf(open())).message).toContain("eu-west-3");
  });
});

describe("a listing", () => {
  const row = (key: string) =>
    `<Contents><Key>${key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>1</Size></Contents>`;
  const page = (inner: string) =>
    `<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType>${inner}</ListBucketResult>`;
  const end = "<IsTruncated>false</IsTruncated>";
  const more = (token: string) =>
    `<IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken>`;
  const serve = (...bodies: string[]) => {
    for (const body of bodies) {
      bench.pocket.faults.add({ match: isMethod("GET"), answer: { status: 200, body }, skip: 0 });
    }
  };
  /** Every page is the answer to one question: the first fault that still has a turn is taken. */
  const served = async (...bodies: string[]) => {
    serve(...bodies);
    return errorOf(list());
  };

  it.each<[string, string[]]>([
    ["nothing", [""]],
    ["HTML", ["<html><body>Sign in</body></html>"]],
    ["half a page", [page(end + row("a")).slice(0, -20)]],
    ["half a row", [page(`${end}<Contents><Key>a</Key></Contents>`)]],
    ["another document", ["<ListAllMyBucketsResult></ListAllMyBucketsResult>"]],
    ["no word on whether it goes on", [page(row("a"))]],
    ["a strange word on whether it goes on", [page(`<IsTruncated>maybe</IsTruncated>${row("a")}`)]],
    ["ending with a token to go on with", [page(`${end}<NextContinuationToken>t</NextContinuationToken>${row("a")}`)]],
    ["going on without a token", [page(`<IsTruncated>true</IsTruncated>${row("a")}`)]],
    ["a repeated token", [page(more("t") + row("a")), page(more("t") + row("b"))]],
    ["a repeated key", [page(end + row("a") + row("a"))]],
    ["a repeated key on the next page", [page(more("t") + row("a")), page(end + row("a"))]],
    ["a step back", [page(end + row("b") + row("a"))]],
    ["a step back in UTF-8 order only", [page(end + row("%F0%9F%98%80") + row("%EF%BD%9E"))]],
    ["a key that is no UTF-8", [page(end + row("%FF"))]],
    ["a size that is none", [page(end + row("a").replace(">1<", ">1e3<"))]],
    ["another number of keys than stated", [page(`${end}<KeyCount>2</KeyCount>${row("a")}`)]],
    ["a body where a 206 was", []],
  ])("of %s is broken, not ended", async (what, bodies) => {
    if (what.startsWith("a body")) {
      bench.pocket.faults.add({ match: isMethod("GET"), answer: { status: 206, body: page(end) } });
    }
    const error = await served(...bodies);
    expect([error.code, error.retry], error.message).toEqual(["LIST_BROKEN", "later"]);
  });

  it("that fails keeps its own reason", async () => {
    answerOnce(bench, "GET", 403, "AccessDenied");
    expect((await errorOf(list())).code).toBe("ACCESS_DENIED");
    answerOnce(bench, "GET", 200, "SlowDown");
    expect((await errorOf(list())).code).toBe("THROTTLED");
    bench.pocket.faults.add({ match: isMethod("GET"), cutBodyAt: 300 });
    expect((await errorOf(list())).retry).toBe("later");
    const elsewhere = await bench.open({ bucket: "no-such-bucket" });
    const attempt = rows({ store: elsewhere, prefix: "", largeBytes: 0 }, "");
    expect((await errorOf(attempt)).code).toBe("PREFLIGHT_ACCESS");
  });

  it("outside the prefix or the range is broken", async () => {
    serve(page(end + row("a")));
    expect((await errorOf(listed({ ...bench, prefix: "", largeBytes: 0 }, "b"))).code).toBe("LIST_BROKEN");
    serve(page(end + row("a")));
    const attempt = listed({ ...bench, prefix: "", largeBytes: 0 }, "", { after: "a" });
    expect((await errorOf(attempt)).code).toBe("LIST_BROKEN");
  });

  it("may have empty pages on its way, and keys that are not encoded", async () => {
    serve(page(more("t1")), page(more("t2")), page(more("t3") + row("a%20b+c%2Bd")));
    serve(page(end + row("b%25")).replace("<EncodingType>url</EncodingType>", ""));
    expect((await list()).map(({ key }) => key)).toEqual(["a b c+d", "b%25"]);
  });
});

describe("a body", () => {
  it.each([0, 1, 50_000, 99_999])("cut after %i bytes is STORE_CUT", async (cutBodyAt) => {
    bench.pocket.faults.add({ match: isMethod("GET"), cutBodyAt });
    const opened = await open();
    const error = await errorOf(gather(opened.body));
    expect([error.code, error.object]).toEqual(["STORE_CUT", "there"]);
  });

  it("that differs from its checksum is STORE_CHECKSUM", async () => {
    const headers = {
      etag: '"e"',
      "last-modified": new Date(0).toUTCString(),
      "x-amz-checksum-crc32c": "AAAAAA==",
      "x-amz-checksum-type": "FULL_OBJECT",
    };
    bench.pocket.faults.add({
      match: isMethod("GET"),
      answer: { status: 200, headers: { ...headers, "content-length": "1" }, body: "x" },
    });
    expect((await errorOf(gather((await open()).body))).code).toBe("STORE_CHECKSUM");
    const composite = { ...headers, "x-amz-checksum-type": "COMPOSITE", "content-length": "1" };
    bench.pocket.faults.add({ match: isMethod("GET"), answer: { status: 200, headers: composite, body: "x" } });
    expect((await gather((await open()).body)).toString()).toBe("x");
  });

  it.each<[string, number, Record<string, string>]>([
    ["without a length", 200, { "transfer-encoding": "chunked" }],
    ["of a part that was not asked for", 206, { "content-range": "bytes 0-0/9" }],
    ["without ETag", 200, { etag: "" }],
    ["without a date", 200, { "last-modified": "yesterday" }],
  ])("%s is not believed", async (_, status, extra) => {
    const headers = { etag: '"e"', "last-modified": new Date(0).toUTCString(), ...extra };
    const length: Record<string, string> = "transfer-encoding" in extra ? {} : { "content-length": "1" };
    bench.pocket.faults.add({
      match: isMethod("GET"),
      answer: { status, headers: { ...headers, ...length }, body: "x" },
    });
    expect((await errorOf(open())).code).toBe("PROVIDER_ERROR");
  });

  it("of another range than asked for is not believed", async () => {
    const base = { etag: '"e"', "last-modified": new Date(0).toUTCString(), "content-length": "3" };
    for (const [status, contentRange] of [
      [200, undefined],
      [206, "bytes 0-2/9"],
      [206, "bytes 2-4/*"],
      [206, "bytes 2-3/9"],
    ] as const) {
      const headers = { ...base, ...(contentRange === undefined ? {} : { "content-range": contentRange }) };
      bench.pocket.faults.add({ match: isMethod("GET"), answer: { status, headers, body: "xyz" } });
      const attempt = bench.store.open("there", { range: { start: 2, end: 5 }, signal: never });
      expect((await errorOf(attempt)).code).toBe("PROVIDER_ERROR");
    }
  });

  it("of another version than pinned is not believed, whatever the server thinks of If-Match", async () => {
    const headers = { etag: '"other"', "last-modified": new Date(0).toUTCString(), "content-length": "1" };
    bench.pocket.faults.add({ match: isMethod("GET"), answer: { status: 200, headers, body: "x" } });
    const attempt = bench.store.open("there", { ifVersion: { etag: "mine" }, signal: never });
    expect((await errorOf(attempt)).code).toBe("STORE_CHANGED");
  });

  it("with metadata that S3 cannot return is refused", async () => {
    const headers = {
      etag: '"e"',
      "last-modified": new Date(0).toUTCString(),
      "x-amz-missing-meta": "1",
      "content-length": "1",
    };
    bench.pocket.faults.add({ match: isMethod("GET"), answer: { status: 200, headers, body: "x" } });
    expect((await errorOf(open())).code).toBe("METADATA_UNFIT");
  });
});

describe("opening a bucket", () => {
  const errorOfOpen = (options: Parameters<S3Bench["open"]>[0]) => errorOf(bench.open(options));
  const atAws = { endpoint: undefined, credentials } as const;

  it("finds AWS's own addresses", async () => {
    const named = async (bucket: string, region: string, pathStyle?: boolean) =>
      (await bench.open({ ...atAws, bucket, region, pathStyle })).name;
    expect(await named("mybucket", "eu-west-1")).toBe("s3://mybucket at https://mybucket.s3.eu-west-1.amazonaws.com");
    expect(await named("my.bucket", "eu-west-1")).toBe("s3://my.bucket at https://s3.eu-west-1.amazonaws.com");
    expect(await named("mybucket", "cn-north-1", true)).toBe("s3://mybucket at https://s3.cn-north-1.amazonaws.com.cn");
  });

  it("refuses endpoints that give credentials away", async () => {
    for (const endpoint of ["http://s3.example.com", "http://169.254.169.254", "https://u:p@s3.example.com"]) {
      expect((await errorOfOpen({ endpoint })).code).toBe("ENDPOINT_REFUSED");
    }
  });

  it("refuses buckets that it could not list in order, and names that are none", async () => {
    for (const bucket of ["logs--use1-az4--x-s3", "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"]) {
      expect((await errorOfOpen({ ...atAws, bucket })).code).toBe("JOB_INVALID");
    }
  });

  it("refuses customer keys of another length", async () => {
    expect((await errorOfOpen({ customerKeys: [new Uint8Array(31)] })).code).toBe("JOB_INVALID");
  });

  it("never asks for the bucket when it means an object", async () => {
    const before = bench.pocket.counts.get("DELETE") ?? 0;
    for (const attempt of [
      bench.store.remove("", never),
      bench.store.head("", never),
      bench.store.open("", { signal: never }),
    ]) {
      expect((await errorOf(attempt)).code).toBe("NAME_UNFIT");
    }
    expect(bench.pocket.counts.get("DELETE") ?? 0).toBe(before);
  });

  it("signs with the clock it is given", async () => {
    const late = await bench.open({ now: () => new Date(Date.now() - 3_600_000) });
    const error = await errorOf(late.open("there", { signal: never }));
    expect([error.code, error.retry], error.message).toEqual(["PROVIDER_REFUSED", "later"]);
  });
});
