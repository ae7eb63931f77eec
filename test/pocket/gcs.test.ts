/** The pocket Cloud Storage as its clients see it: the answers that the JSON API documents, over plain HTTP. */
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crc32c, crc32cText } from "../../src/core/crc32c.ts";
import { type PocketGcs, startPocketGcs } from "../../src/pocket/gcs.ts";
import { HttpClient, type HttpResponse } from "../../src/wire/http.ts";
import { each, never, sample } from "../store/laws/law.ts";

let pocket: PocketGcs;
let http: HttpClient;

beforeAll(async () => {
  pocket = await startPocketGcs();
  pocket.createBucket("pocket");
  http = new HttpClient({ origin: pocket.url });
});
afterAll(async () => {
  await http.close();
  await pocket.close();
});

type Headers = Record<string, string>;
const call = (method: string, path: string, body?: Uint8Array | string, headers: Headers = {}): Promise<HttpResponse> =>
  http.send({ method, path, headers, body, signal: never });
const answer = async (response: HttpResponse) => JSON.parse(await response.text()) as Record<string, unknown>;
const object = (name: string, query = "") => `/storage/v1/b/pocket/o/${encodeURIComponent(name)}?${query}`;
const upload = (query: string) => `/upload/storage/v1/b/pocket/o?${query}`;

async function media(name: string, bytes: Uint8Array, query = ""): Promise<Record<string, unknown>> {
  const response = await call("POST", upload(`uploadType=media&name=${encodeURIComponent(name)}&${query}`), bytes);
  expect(response.status).toBe(200);
  return answer(response);
}

async function refused(response: HttpResponse, status: number, reason?: string): Promise<void> {
  expect(response.status).toBe(status);
  const { error } = (await answer(response)) as { error?: { code?: number; errors?: { reason?: string }[] } };
  expect(error?.code).toBe(status);
  if (reason !== undefined) expect(error?.errors?.[0]?.reason).toBe(reason);
}

function related(resource: object, bytes: Uint8Array, boundary: string, quoted = boundary) {
  const head = `--${boundary}\r\ncontent-type: application/json\r\n\r\n${JSON.stringify(resource)}\r\n--${boundary}\r\n`;
  const body = Buffer.concat([
    Buffer.from(`${head}content-type: text/x-part\r\n\r\n`),
    bytes,
    Buffer.from(`\r\n--${boundary}--`),
  ]);
  return call("POST", upload("uploadType=multipart"), body, {
    "content-type": `multipart/related; boundary=${quoted}`,
  });
}

describe("buckets", () => {
  it("are made, found, listed and removed when empty", async () => {
    const make = () => call("POST", "/storage/v1/b?project=p", '{"name":"second"}');
    expect((await make()).status).toBe(200);
    await refused(await make(), 409, "conflict");
    expect(await answer(await call("GET", "/storage/v1/b/second"))).toMatchObject({
      kind: "storage#bucket",
      name: "second",
    });
    const { items } = (await answer(await call("GET", "/storage/v1/b?project=p"))) as { items: { name: string }[] };
    expect(items.map(({ name }) => name)).toContain("second");
    await media("keeps/it", sample(1));
    await refused(await call("DELETE", "/storage/v1/b/pocket"), 409);
    expect((await call("DELETE", "/storage/v1/b/second")).status).toBe(204);
    await refused(await call("GET", "/storage/v1/b/second"), 404, "notFound");
    await refused(await call("GET", "/storage/v1/b/second/o"), 404, "notFound");
    await refused(await call("POST", "/storage/v1/b", '{"name":"No Capitals"}'), 400);
  });

  it.each([
    ["POST", "/storage/v1/b/pocket/o/a/rewriteTo/b/pocket/o/b", 501],
    ["GET", "/storage/v1/b/pocket/acl", 501],
    ["PUT", "/storage/v1/b/pocket/o/a", 501],
    ["PATCH", "/storage/v1/b/pocket", 501],
    ["GET", "/", 404],
    ["GET", "/v2/anything", 404],
  ])("%s %s is not pretended", async (method, path, status) => {
    await refused(await call(method, path), status);
  });
});

describe("objects", () => {
  it("have the resource that clients read", async () => {
    const bytes = sample(5000);
    const made = await media("a/b c", bytes);
    const got = await answer(await call("GET", object("a/b c")));
    expect(got).toEqual(made);
    expect(got).toMatchObject({
      kind: "storage#object",
      bucket: "pocket",
      name: "a/b c",
      size: "5000",
      metageneration: "1",
    });
    expect(got["crc32c"]).toBe(crc32cText(crc32c(bytes)));
    expect(got["generation"]).toMatch(/^\d{16}$/);
    const link = new URL(got["mediaLink"] as string);
    expect(await (await call("GET", link.pathname + link.search)).bytes()).toEqual(bytes);
  });

  it("are written under conditions", async () => {
    const { generation } = await media("cond", sample(3), "ifGenerationMatch=0");
    const again = (query: string) => call("POST", upload(`uploadType=media&name=cond&${query}`), sample(4));
    await refused(await again("ifGenerationMatch=0"), 412, "conditionNotMet");
    await refused(await again("ifGenerationMatch=17"), 412);
    await refused(await again("ifMetagenerationMatch=2"), 412);
    await refused(await again(`ifGenerationNotMatch=${String(generation)}`), 412);
    expect((await again(`ifGenerationMatch=${String(generation)}`)).status).toBe(200);
    await refused(await call("GET", object("cond", `ifGenerationMatch=${String(generation)}`)), 412);
    await refused(await call("GET", object("cond", `generation=${String(generation)}`)), 404);
    await refused(await call("DELETE", object("cond", `ifGenerationMatch=${String(generation)}`)), 412);
    const { generation: now } = await answer(await call("GET", object("cond")));
    expect((await call("GET", object("cond", `ifGenerationNotMatch=${String(now)}`))).status).toBe(304);
    expect((await call("DELETE", object("cond"))).status).toBe(204);
    await refused(await call("DELETE", object("cond")), 404, "notFound");
  });

  it("are patched in place, null removes", async () => {
    await related({ name: "patch", metadata: { a: "1", b: "2" }, cacheControl: "no-store" }, sample(3), "x");
    const patch = (body: object, query = "") => call("PATCH", object("patch", query), JSON.stringify(body));
    const after = await answer(await patch({ metadata: { a: null, c: "3" }, cacheControl: null }));
    expect(after).toMatchObject({ metadata: { b: "2", c: "3" }, metageneration: "2", size: "3" });
    expect(after).not.toHaveProperty("cacheControl");
    await refused(await patch({ metadata: { d: "4" } }, "ifMetagenerationMatch=1"), 412);
    await refused(await patch({ metadata: { d: "x".repeat(4097) } }), 400);
    await refused(await patch({ metadata: { d: 5 } }), 400);
  });

  it("are checked against the sums they come with", async () => {
    const bytes = sample(10);
    const sums = { crc32c: crc32cText(crc32c(bytes)) };
    expect((await related({ name: "sum", ...sums }, bytes, "x")).status).toBe(200);
    await refused(await related({ name: "sum2", crc32c: "AAAAAA==" }, bytes, "x"), 400, "invalid");
    await refused(await related({ name: "sum2", md5Hash: "AAAAAAAAAAAAAAAAAAAAAA==" }, bytes, "x"), 400, "invalid");
    const hash = { "x-goog-hash": "crc32c=AAAAAA==" };
    await refused(await call("POST", upload("uploadType=media&name=sum2"), bytes, hash), 400, "invalid");
    await refused(await call("GET", object("sum2")), 404);
  });

  it("come in two parts with any boundary", async () => {
    const bytes = Buffer.from("--x\r\n\r\n--bound ary\r\nnot the end");
    const made = await answer(
      await related({ name: "parts", metadata: { Ä: "ö" } }, bytes, "bound ary-1", '"bound ary-1"'),
    );
    expect(made).toMatchObject({ size: String(bytes.length), contentType: "text/x-part", metadata: { Ä: "ö" } });
    expect(await (await call("GET", object("parts", "alt=media"))).bytes()).toEqual(bytes);
    await refused(
      await call("POST", upload("uploadType=multipart"), "--y", { "content-type": "multipart/related" }),
      400,
    );
  });

  it.each([".", "..", "a\nb", ".well-known/acme-challenge/x", "x".repeat(1025), ""])(
    "may not be named %j",
    async (name) => {
      const path = upload(`uploadType=media&name=${encodeURIComponent(name)}`);
      await refused(await call("POST", path, sample(1)), 400);
    },
  );
});

describe("reading", () => {
  const bytes = sample(100_000);
  beforeAll(() => media("read", bytes));

  it.each([
    ["bytes=0-9", 0, 10],
    ["bytes=99990-", 99_990, 100_000],
    ["bytes=-5", 99_995, 100_000],
    ["bytes=99999-200000", 99_999, 100_000],
  ])("%s gives that range", async (range, start, end) => {
    const response = await call("GET", object("read", "alt=media"), undefined, { range });
    expect(response.status).toBe(206);
    expect(response.headers["content-range"]).toBe(`bytes ${start}-${end - 1}/100000`);
    expect(response.headers["x-goog-hash"]).toContain(`crc32c=${crc32cText(crc32c(bytes))}`);
    expect(await response.bytes()).toEqual(bytes.subarray(start, end));
  });

  it("refuses ranges past the end", async () => {
    await refused(await call("GET", object("read", "alt=media"), undefined, { range: "bytes=100000-" }), 416);
  });

  it("unpacks gzip for clients that do not take it, and only for them", async () => {
    const packed = gzipSync(bytes);
    await related({ name: "packed", contentEncoding: "gzip" }, packed, "xyz");
    const plain = await call("GET", object("packed", "alt=media"));
    expect(plain.headers).not.toHaveProperty("content-encoding");
    expect((await plain.bytes()).equals(bytes)).toBe(true);
    const raw = await call("GET", object("packed", "alt=media"), undefined, { "accept-encoding": "gzip" });
    expect(raw.headers["content-encoding"]).toBe("gzip");
    expect((await raw.bytes()).equals(packed)).toBe(true);
  });
});

describe("resumable uploads", () => {
  const KIB256 = 256 * 1024;
  const start = async (name: string, query = "", resource: object = {}) => {
    const path = upload(`uploadType=resumable&name=${name}&${query}`);
    const response = await call("POST", path, JSON.stringify(resource), { "x-upload-content-type": "text/x-resumed" });
    if (response.status !== 200) return { response, path: "" };
    await response.dismiss();
    const { pathname, search } = new URL(response.headers["location"] ?? "");
    return { response, path: pathname + search };
  };
  const send = (path: string, range: string, bytes?: Uint8Array, headers: Headers = {}) =>
    call("PUT", path, bytes, { "content-range": range, ...headers });

  it("keep multiples of 256 KiB, and say how far they are", async () => {
    const bytes = sample(KIB256 * 2 + 5);
    const { path } = await start("steps");
    const total = bytes.length;
    const nothing = await send(path, `bytes */${total}`);
    expect([nothing.status, nothing.headers["range"]]).toEqual([308, undefined]);
    const first = await send(path, `bytes 0-${KIB256 + 99}/${total}`, bytes.subarray(0, KIB256 + 100));
    expect([first.status, first.headers["range"]]).toEqual([308, `bytes=0-${KIB256 - 1}`]);
    const gap = await send(path, `bytes ${KIB256 * 2}-${total - 1}/${total}`, bytes.subarray(KIB256 * 2));
    expect(gap.status).toBe(503);
    const early = await call("GET", object("steps"));
    expect(early.status).toBe(404);
    // What is sent again is not taken twice.
    const rest = await send(path, `bytes ${KIB256 - 10}-${total - 1}/${total}`, bytes.subarray(KIB256 - 10));
    expect(await answer(rest)).toMatchObject({ size: String(total), contentType: "text/x-resumed" });
    expect((await send(path, `bytes */${total}`)).status).toBe(200);
    expect(await (await call("GET", object("steps", "alt=media"))).bytes()).toEqual(bytes);
  });

  it("take everything at once, of unknown length, and nothing at all", async () => {
    const once = await start("once");
    expect(await answer(await send(once.path, "bytes 0-*/*", sample(1000)))).toMatchObject({ size: "1000" });
    const open = await start("open");
    expect((await send(open.path, `bytes 0-${KIB256 - 1}/*`, sample(KIB256))).status).toBe(308);
    expect(await answer(await send(open.path, `bytes ${KIB256}-${KIB256 + 2}/${KIB256 + 3}`, sample(3)))).toMatchObject(
      {
        size: String(KIB256 + 3),
      },
    );
    const none = await start("none");
    expect(await answer(await send(none.path, "bytes */0"))).toMatchObject({ size: "0" });
  });

  it("are cancelled with 499, and then gone", async () => {
    const { path } = await start("cancel");
    expect((await call("DELETE", path)).status).toBe(499);
    await refused(await send(path, "bytes 0-2/3", sample(3)), 410);
    await refused(await call("GET", object("cancel")), 404);
  });

  it("check their condition at both ends, and their sums at the end", async () => {
    const one = await start("both", "ifGenerationMatch=0");
    const two = await start("both", "ifGenerationMatch=0");
    expect((await send(one.path, "bytes 0-2/3", sample(3))).status).toBe(200);
    await refused(await send(two.path, "bytes 0-2/3", sample(3)), 412);
    await refused((await start("both", "ifGenerationMatch=0")).response, 412);
    const sum = await start("badsum");
    await refused(await send(sum.path, "bytes 0-2/3", sample(3), { "x-goog-hash": "crc32c=AAAAAA==" }), 400);
    const given = await start("badsum", "", { crc32c: "AAAAAA==" });
    await refused(await send(given.path, "bytes 0-2/3", sample(3)), 400);
    await refused(await send(given.path, "bytes 0-5/3", sample(6)), 400);
    await refused(await call("GET", object("badsum")), 404);
  });
});

describe("listings", () => {
  const names = ["d/a", "d/b/1", "d/b/2", "d/c", "e", "\uff5e", "\u{1f600}"].map((name) => `list/${name}`);
  beforeAll(() => each(names, 4, (name) => media(name, sample(1))));
  const list = async (query: string) => {
    const page = await answer(await call("GET", `/storage/v1/b/pocket/o?${query}`));
    expect(page["kind"]).toBe("storage#objects");
    return page as { items?: { name: string }[]; prefixes?: string[]; nextPageToken?: string };
  };
  const namesOf = (page: { items?: { name: string }[] }) => (page.items ?? []).map(({ name }) => name);

  it("are in UTF-8 byte order, between offsets, page by page", async () => {
    expect(namesOf(await list("prefix=list/"))).toEqual(names);
    expect(namesOf(await list("prefix=list/&startOffset=list/d/b/2&endOffset=list/e"))).toEqual(names.slice(2, 4));
    const seen: string[] = [];
    let token = "";
    do {
      const page = await list(`prefix=list/&maxResults=2${token}`);
      seen.push(...namesOf(page));
      token = page.nextPageToken === undefined ? "" : `&pageToken=${page.nextPageToken}`;
    } while (token !== "");
    expect(seen).toEqual(names);
  });

  it("fold at a delimiter", async () => {
    const page = await list("prefix=list/d/&delimiter=/");
    expect([namesOf(page), page.prefixes]).toEqual([["list/d/a", "list/d/c"], ["list/d/b/"]]);
    const first = await list("prefix=list/d/&delimiter=/&maxResults=2");
    expect([namesOf(first), first.prefixes]).toEqual([["list/d/a"], ["list/d/b/"]]);
    const second = await list(`prefix=list/d/&delimiter=/&maxResults=2&pageToken=${first.nextPageToken}`);
    expect([namesOf(second), second.prefixes]).toEqual([["list/d/c"], undefined]);
  });

  it("give only the fields that were asked for", async () => {
    expect(await answer(await call("GET", "/storage/v1/b/pocket/o?prefix=list/e&fields=items(name,size)"))).toEqual({
      items: [{ name: "list/e", size: "1" }],
    });
    expect(await answer(await call("GET", object("list/e", "fields=name,none")))).toEqual({ name: "list/e" });
  });
});
