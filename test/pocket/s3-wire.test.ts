/** The pocket S3 on the wire: signatures, framings, odd paths and metadata that the official client would never send. */
import { createConnection, createServer } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crc32c, crc32cText } from "../../src/core/crc32c.ts";
import { startPocketS3 } from "../../src/pocket/s3.ts";
import { Unframer } from "../../src/pocket/s3/framing.ts";
import { decodeWords, encodeWords } from "../../src/pocket/s3/rfc2047.ts";
import unicode from "../vectors/s3ec/13-s3-unicode-metadata.json" with { type: "json" };
import { exchange, hmac, type RawRequest, type RawSigned, raw, type S3Bench, sha256, startBench } from "./s3-bench.ts";

let bench: S3Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.close());

const send = (request: RawRequest) => raw(bench.pocket, request);
const put = (path: string, body: RawRequest["body"], request: Partial<RawRequest> = {}) =>
  send({ method: "PUT", path, ...(body === undefined ? {} : { body }), ...request });
const code = async (request: RawRequest) => {
  const answer = await send(request);
  return `${answer.status} ${answer.code}`;
};

describe("signatures", () => {
  it("cover the method, the path, the query, the headers and the body", async () => {
    const good = { method: "PUT", path: "/plain/signed", body: "x", headers: { "x-amz-meta-a": "two  inner" } };
    expect((await send(good)).status).toBe(200);
    const query = "/plain?list-type=2&prefix=a%20b&max-keys=1&start-after=%C3%BC";
    expect((await send({ path: query })).status).toBe(200);
    expect(await code({ ...good, signedPath: "/plain/other" })).toBe("403 SignatureDoesNotMatch");
    expect(await code({ path: query, signedPath: query.replace("=1", "=2") })).toBe("403 SignatureDoesNotMatch");
    expect(await code({ ...good, payload: sha256("y") })).toBe("400 XAmzContentSHA256Mismatch");
    expect(await code({ ...good, unsigned: { "x-amz-acl": "private" } })).toBe("403 AccessDenied");
    expect(await code({ ...good, secret: "wrong" })).toBe("403 SignatureDoesNotMatch");
    expect(await code({ ...good, region: "eu-west-1" })).toBe("400 AuthorizationHeaderMalformed");
    expect((await send({ ...good, payload: "UNSIGNED-PAYLOAD" })).status).toBe(200);
  });

  it("that do not match show what was signed here, with the request's id", async () => {
    const { body, headers } = await send({ path: "/plain/x", secret: "wrong" });
    expect(body.toString()).toContain("<CanonicalRequest>GET\n/plain/x\n\nhost:");
    expect(body.toString()).toContain(`<RequestId>${String(headers["x-amz-request-id"])}</RequestId>`);
    expect(headers["content-type"]).toBe("application/xml");
  });

  it("are needed, readable and of our time", async () => {
    const url = new URL(bench.pocket.url);
    const bare = await exchange(url, "GET", "/plain/x", { host: url.host });
    expect([bare.status, bare.code]).toEqual([403, "AccessDenied"]);
    const other = await exchange(url, "GET", "/plain/x", { host: url.host, authorization: "AWS pocket:abc" });
    expect([other.status, other.code]).toEqual([400, "AuthorizationHeaderMalformed"]);
    for (const minutes of [-16, 16]) {
      const timeMs = Date.now() + minutes * 60_000;
      expect(await code({ path: "/plain/x", timeMs })).toBe("403 RequestTimeTooSkewed");
    }
    expect(await code({ path: "/plain/x", timeMs: Date.now() - 14 * 60_000 })).toBe("404 NoSuchKey");
    expect(await code({ path: "/plain/x", day: "20200101" })).toBe("403 SignatureDoesNotMatch");
  });

  it("may stand in the query, until they expire", async () => {
    const nowMs = Date.now();
    const url = new URL(bench.pocket.url);
    await put("/plain/presigned", "body");
    const presign = (ageSeconds: number) => {
      const time = new Date(nowMs - ageSeconds * 1000).toISOString().replace(/[-:]|\.\d{3}/g, "");
      const scope = `${time.slice(0, 8)}/us-east-1/s3/aws4_request`;
      const query = [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        `X-Amz-Credential=${encodeURIComponent(`pocket/${scope}`)}`,
        `X-Amz-Date=${time}`,
        "X-Amz-Expires=60",
        "X-Amz-SignedHeaders=host",
      ].join("&");
      const canonical = `GET\n/plain/presigned\n${query}\nhost:${url.host}\n\nhost\nUNSIGNED-PAYLOAD`;
      const key = scope.split("/").reduce<Buffer | string>(hmac, "AWS4pocket-secret") as Buffer;
      const signature = hmac(key, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`).toString("hex");
      return `/plain/presigned?${query}&X-Amz-Signature=${signature}`;
    };
    const get = (path: string) => exchange(url, "GET", path, { host: url.host });
    expect((await get(presign(30))).body.toString()).toBe("body");
    expect(await get(presign(61))).toMatchObject({ status: 403, code: "AccessDenied" });
    expect(await get(presign(-16 * 60))).toMatchObject({ status: 403, code: "AccessDenied" });
    expect((await get(presign(30).replace(/.$/, (c) => (c === "0" ? "1" : "0")))).code).toBe("SignatureDoesNotMatch");
  });

  it("follow the server's own clock, Region and session token", async () => {
    const nowMs = Date.UTC(2031, 4, 5, 6, 7, 8, 999);
    const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret", sessionToken: "t/1" };
    const pocket = await startPocketS3({ region: "eu-west-1", credentials, nowMs: () => nowMs });
    try {
      pocket.createBucket("far");
      const ours = { region: "eu-west-1", timeMs: nowMs, headers: { "x-amz-security-token": "t/1" } };
      const stored = await raw(pocket, { method: "PUT", path: "/far/k", body: "x", ...ours });
      expect(stored.status).toBe(200);
      const found = await raw(pocket, { path: "/far/k", ...ours });
      expect(found.headers["last-modified"]).toBe("Mon, 05 May 2031 06:07:08 GMT");
      const location = await raw(pocket, { path: "/far?location=", ...ours });
      expect(location.body.toString()).toContain(">eu-west-1</LocationConstraint>");
      expect((await raw(pocket, { path: "/far/k", ...ours, headers: {} })).code).toBe("InvalidToken");
      expect((await raw(pocket, { path: "/far/k", ...ours, timeMs: Date.now() })).code).toBe("RequestTimeTooSkewed");
    } finally {
      await pocket.close();
    }
  });
});

describe("paths", () => {
  const encode = (text: string) =>
    encodeURIComponent(text).replace(/[!()]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

  it("are decoded once, byte by byte, and no segment means anything", async () => {
    const forms: [string, string, string][] = [
      ["/plain/a%2F..%2f.%2F%2Fb", "/plain/a/.././/b", "a/.././/b"],
      ["/plain/%25%32%35", "/plain/%2525", "%25"],
      ["/plain/a+b", "/plain/a%20b", "a b"],
      ["/plain/(!)", "/plain/%28%21%29", "(!)"],
      ["/plain/%e4%bd%a0", "/plain/%E4%BD%A0", "你"],
      ["/plain//", "/plain//", "/"],
    ];
    for (const [path, signedPath, key] of forms) {
      expect((await put(path, "x", { signedPath })).status, path).toBe(200);
      const listed = await send({ path: `/plain?list-type=2&prefix=${encode(key)}` });
      expect(listed.body.toString()).toContain(`<Key>${key}</Key>`);
    }
  });

  it("that hold no name are refused", async () => {
    expect(await code({ path: "/plain/%zz" })).toBe("400 InvalidURI");
    expect(await code({ path: "/plain/%FF%FE" })).toBe("400 InvalidURI");
    expect(await code({ path: "/plain/%E4%BD" })).toBe("400 InvalidURI");
    expect(await code({ path: "//k" })).toBe("400 InvalidBucketName");
    expect(await code({ method: "PUT", path: `/plain/${"x".repeat(1025)}`, body: "x" })).toBe("400 KeyTooLongError");
    expect(await code({ method: "PUT", path: `/plain/${"%C3%A9".repeat(513)}` })).toBe("400 KeyTooLongError");
    expect((await put(`/plain/${"%C3%A9".repeat(512)}`, "x")).status).toBe(200);
  });

  it("without a route are refused, not answered with something else", async () => {
    for (const [method, path] of [
      ["GET", "/plain/x?acl="],
      ["POST", "/plain/x"],
      ["PUT", "/plain?lifecycle="],
      ["PATCH", "/plain/x"],
    ] as const) {
      expect(await code({ method, path })).toBe("501 NotImplemented");
    }
    const head = await send({ method: "HEAD", path: "/plain/absent" });
    expect([head.status, head.body.length]).toEqual([404, 0]);
  });
});

describe("metadata beyond ASCII", () => {
  const kept = async (header: string) => {
    await put("/plain/meta", "x", { headers: { "x-amz-meta-v": header } });
    return (await send({ method: "HEAD", path: "/plain/meta" })).headers["x-amz-meta-v"]?.toString() ?? "";
  };
  const asBytes = (text: string) => Buffer.from(text).toString("latin1");

  it("comes back encoded twice when it was sent raw", async () => {
    expect(await kept(asBytes("ö"))).toBe("=?UTF-8?B?w4PCtg==?=");
    // The sample of "Working with object metadata" (Amazon S3 User Guide).
    expect(await kept(asBytes("ÄMÄZÕÑ S3"))).toBe("=?UTF-8?B?w4PChE3Dg8KEWsODwpXDg8KRIFMz?=");
    for (const { as_sent, as_returned } of unicode.cases) {
      const answer = await kept(asBytes(as_sent));
      expect(answer).toMatch(/^(=\?UTF-8\?[BQ]\?[^? ]+\?=( |$))+$/);
      expect(decodeWords(answer)).toBe(decodeWords(as_returned));
    }
  });

  it("comes back once when it was sent in words", async () => {
    for (const text of ["ö", "Grüße, 你好, e\u0301, 😀", "=?UTF-8?Q?x?= ü", "é".repeat(400)]) {
      expect(decodeWords(await kept(encodeWords(text)))).toBe(text);
    }
    expect(await kept("=?ISO-8859-1?Q?plain_=41?=")).toBe("plain A");
    expect(await kept("=?no-such-charset?Q?x?=")).toBe("=?no-such-charset?Q?x?=");
    expect(await kept("plain  ASCII, as it is")).toBe("plain  ASCII, as it is");
  });

  it("survives the words, each of at most 75 characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (text) => {
        const words = encodeWords(text);
        fc.pre(words !== text); // Printable ASCII is not encoded, even where it looks like a word.
        expect(decodeWords(words)).toBe(text);
        expect(Math.max(...words.split(" ").map((word) => word.length))).toBeLessThanOrEqual(75);
      }),
    );
  });

  it("counts towards the 2 KB as UTF-8", async () => {
    const headers = (value: string) => ({ "x-amz-meta-v": encodeWords(value) });
    expect((await put("/plain/meta", "x", { headers: headers(`${"ü".repeat(1023)}a`) })).status).toBe(200);
    expect((await put("/plain/meta", "x", { headers: headers("ü".repeat(1024)) })).code).toBe("MetadataTooLarge");
  });
});

describe("chunked bodies", () => {
  const pieces = ["hello ", "world, ", "here I am"];
  const whole = pieces.join("");
  const STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
  const decoded = { "content-encoding": "aws-chunked", "x-amz-decoded-content-length": String(whole.length) };

  const chunkSignature = ({ key, time, scope }: RawSigned, previous: string, piece: string) =>
    hmac(key, `AWS4-HMAC-SHA256-PAYLOAD\n${time}\n${scope}\n${previous}\n${sha256("")}\n${sha256(piece)}`).toString(
      "hex",
    );

  /** Every chunk signed; `trailer` too, where there is one. */
  function signedChunks(signed: RawSigned, chunks: readonly string[], trailer?: string): string {
    let previous = signed.signature;
    let text = "";
    for (const piece of [...chunks, ""]) {
      previous = chunkSignature(signed, previous, piece);
      text += `${piece.length.toString(16)};chunk-signature=${previous}\r\n${piece}${piece === "" ? "" : "\r\n"}`;
    }
    if (trailer === undefined) return `${text}\r\n`;
    const { key, time, scope } = signed;
    const last = `AWS4-HMAC-SHA256-TRAILER\n${time}\n${scope}\n${previous}\n${sha256(`${trailer}\n`)}`;
    return `${text}${trailer}\r\nx-amz-trailer-signature:${hmac(key, last).toString("hex")}\r\n\r\n`;
  }
  const stored = async () => (await send({ path: "/plain/chunked" })).body.toString();
  const attempt = (payload: string, body: RawRequest["body"], headers: Record<string, string> = {}) =>
    put("/plain/chunked", body, { payload, headers: { ...decoded, ...headers } });

  it("are taken apart when every chunk is signed, and refused when one is not what was signed", async () => {
    expect((await attempt(STREAMING, (signed) => signedChunks(signed, pieces))).status).toBe(200);
    expect(await stored()).toBe(whole);
    const forged = (signed: RawSigned) => signedChunks(signed, pieces).replace("world", "w0rld");
    expect((await attempt(STREAMING, forged)).code).toBe("SignatureDoesNotMatch");
    const swapped = (signed: RawSigned) => signedChunks({ ...signed, signature: "0".repeat(64) }, pieces);
    expect((await attempt(STREAMING, swapped)).code).toBe("SignatureDoesNotMatch");
    const unsigned = `${whole.length.toString(16)}\r\n${whole}\r\n0\r\n\r\n`;
    expect((await attempt(STREAMING, unsigned)).code).toBe("SignatureDoesNotMatch");
  });

  it("bring their checksum behind them, signed or not", async () => {
    const sum = crc32cText(crc32c(Buffer.from(whole)));
    const trailer = { "x-amz-trailer": "x-amz-checksum-crc32c" };
    const line = `x-amz-checksum-crc32c:${sum}`;
    const signedTrailer = (signed: RawSigned) => signedChunks(signed, pieces, line);
    const one = await attempt(`${STREAMING}-TRAILER`, signedTrailer, trailer);
    expect(one.headers["x-amz-checksum-crc32c"]).toBe(sum);
    const forged = (signed: RawSigned) => signedTrailer(signed).replace(sum, "AAAAAA==");
    expect((await attempt(`${STREAMING}-TRAILER`, forged, trailer)).code).toBe("SignatureDoesNotMatch");
    const open = (value: string) => `${whole.length.toString(16)}\r\n${whole}\r\n0\r\n${value}\r\n`;
    const free = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    expect((await attempt(free, open(`${line}\r\n`), trailer)).status).toBe(200);
    const wrong = open("x-amz-checksum-crc32c:AAAAAA==\r\n");
    expect((await attempt(free, wrong, trailer)).code).toBe("BadDigest");
    expect((await attempt(free, open(""), trailer)).code).toBe("InvalidRequest");
  });

  it("that are not whole are refused, wherever they end", async () => {
    await attempt(STREAMING, (signed) => signedChunks(signed, ["before", whole.slice(6)]));
    const before = await stored();
    const free = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    const text = `${whole.length.toString(16)}\r\n${whole}\r\n0\r\n\r\n`;
    for (let end = 0; end < text.length; end += 3) {
      expect((await attempt(free, text.slice(0, end))).code, `cut at ${end}`).toBe("IncompleteBody");
    }
    for (const bad of [`x${text}`, text.replace("\r\n", "\n"), `${text}more`, text.replace("0\r\n", "1\r\n")]) {
      expect((await attempt(free, bad)).code).toBe("IncompleteBody");
    }
    const longer = { "x-amz-decoded-content-length": "999" };
    expect((await attempt(free, text, longer)).code).toBe("IncompleteBody");
    expect((await put("/plain/chunked", text, { payload: free })).code).toBe("MissingContentLength");
    expect(await stored()).toBe(before);
  });

  it("are taken apart wherever the network cuts them", async () => {
    const signed = { payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER", signature: "", scope: "", time: "" };
    const text = Buffer.from(`3\r\nabc\r\n5\r\n\r\n\r\nx\r\n0\r\na: b\r\n\r\n`);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        let out = "";
        const unframer = new Unframer({ ...signed, signingKey: Buffer.alloc(0) }, (bytes) => (out += bytes.toString()));
        const ends = [...cuts, text.length].sort((a, b) => a - b);
        for (const [i, end] of ends.entries()) unframer.push(text.subarray(ends[i - 1] ?? 0, end));
        unframer.finish();
        expect(out).toBe("abc\r\n\r\nx");
        expect(unframer.trailers).toEqual(new Map([["a", "b"]]));
      }),
    );
  });
});

describe("bodies", () => {
  it("are promised by one checksum, and by the one announced", async () => {
    const sum = { "x-amz-checksum-crc32c": crc32cText(crc32c(Buffer.from("x"))) };
    const attempt = async (headers: Record<string, string>) => (await put("/plain/k", "x", { headers })).code;
    expect(await attempt(sum)).toBeUndefined();
    expect(await attempt({ ...sum, "x-amz-checksum-crc32": "jNzIow==" })).toBe("InvalidRequest");
    expect(await attempt({ ...sum, "x-amz-sdk-checksum-algorithm": "CRC32C" })).toBeUndefined();
    expect(await attempt({ ...sum, "x-amz-sdk-checksum-algorithm": "SHA256" })).toBe("InvalidRequest");
    expect(await attempt({ "x-amz-sdk-checksum-algorithm": "CRC32C" })).toBe("InvalidRequest");
    expect(await attempt({ "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=" })).toBe("NotImplemented");
    expect(await attempt({ "x-amz-checksum-md4": "AAAA" })).toBe("InvalidRequest");
  });

  it("need a length", async () => {
    const request = { method: "PUT", path: "/plain/k", body: "x", unsigned: { "transfer-encoding": "chunked" } };
    expect(await code(request)).toBe("411 MissingContentLength");
    const huge = { ...request, body: "", unsigned: { "content-length": String(5 * 1024 ** 3 + 1) } };
    expect(await code(huge)).toBe("400 EntityTooLarge");
  });

  it("that break off leave what was there", async () => {
    await put("/plain/broken", "old");
    const url = new URL(bench.pocket.url);
    let head = "";
    // The head is signed as for a body of 1,000 bytes of which only some arrive.
    await raw(
      { ...bench.pocket, url: await listenFor((text) => (head = text)) },
      {
        method: "PUT",
        path: "/plain/broken",
        payload: "UNSIGNED-PAYLOAD",
        headers: { host: url.host },
        body: "n".repeat(1000),
      },
    );
    const counted = () => bench.pocket.counts.get("PUT PutObject") ?? 0;
    const before = counted();
    const socket = createConnection({ host: url.hostname, port: Number(url.port) });
    socket.write(head.slice(0, head.indexOf("\r\n\r\n") + 100));
    await expect.poll(counted).toBe(before + 1);
    await new Promise((resolve) => socket.once("close", resolve).destroy());
    expect((await send({ path: "/plain/broken" })).body.toString()).toBe("old");
  });
});

/** A listener that shows what was sent to it; returns its URL. */
async function listenFor(show: (text: string) => void): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      let text = "";
      socket.on("data", (data) => {
        text += data.toString("latin1");
        if (!text.includes("n".repeat(1000))) return;
        show(text);
        socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        server.close();
      });
    });
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(`http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`);
    });
  });
}
