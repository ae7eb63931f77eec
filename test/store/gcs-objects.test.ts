/** Objects on their way into Cloud Storage and out of it, with accidents. */
import { createHash } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import type { Fault, PocketRequest } from "../../src/pocket/http.ts";
import { bench, CHUNK, isUpload, json, LARGE, open, pocket } from "./gcs-bench.ts";
import { absent, bare, each, failure, flood, gather, listed } from "./laws/law.ts";
import { never, pieces, pinOf, put, read, refused, sample } from "./laws/law.ts";

const isMedia = ({ query }: PocketRequest) => query.get("alt") === "media";
const isChunk = ({ path, method }: PocketRequest) => path.startsWith("/upload/") && method === "PUT";

describe("a put", () => {
  const large = (key: string, condition: "absent" | "any" = "absent") =>
    bench.store.put(key, flood(LARGE).body, { sizeBytes: LARGE, attributes: bare, condition, signal: never });

  it("whose answer is lost has happened all the same", async () => {
    pocket.faults.add({ match: isUpload, loseAnswer: true });
    await refused(put(bench, "lost", sample(10), { condition: "absent" }), "lost", "NET_UNREACHABLE");
    await refused(put(bench, "lost", sample(10), { condition: "absent" }), "lost", "STORE_EXISTS");
    expect(await read(bench, "lost")).toEqual(sample(10));
  });

  it.each([
    ["fails", { answer: json(503, "backendError") }, "PROVIDER_ERROR"],
    ["is refused", { answer: json(403, "forbidden") }, "ACCESS_DENIED"],
    ["is lost", { answer: json(410, "gone") }, "PROVIDER_ERROR"],
    ["persists nothing, ever", { answer: { status: 308 }, times: 99 }, "PROVIDER_ERROR"],
    ["forgets what it persisted", { answer: { status: 308, headers: { range: "bytes=0-9" } } }, "PROVIDER_ERROR"],
    [
      "persists what was not sent",
      { answer: { status: 308, headers: { range: "bytes=0-9999999" } } },
      "PROVIDER_ERROR",
    ],
    ["cannot be read", { answer: { status: 308, headers: { range: "pages 1-2" } } }, "PROVIDER_ERROR"],
    ["finishes early", { answer: { status: 200, body: "{}" } }, "PROVIDER_ERROR"],
  ] as const)("whose second chunk %s leaves nothing, and its session is cancelled", async (_, fault, code) => {
    pocket.faults.add({ match: isChunk, skip: 1, ...fault });
    await refused(large("chunk"), "chunk", code);
    expect(pocket.counts.get("DELETE upload-cancel")).toBe(1);
    await absent(bench, "chunk");
  });

  it("whose body breaks cancels its session", async () => {
    async function* broken() {
      yield* flood(LARGE - 1).body;
      throw new Error("gone");
    }
    const options = { sizeBytes: LARGE, attributes: bare, condition: "any", signal: never } as const;
    await expect(bench.store.put("body", broken(), options)).rejects.toThrow("gone");
    expect(pocket.counts.get("DELETE upload-cancel")).toBe(1);
  });

  it("of which the last answer is lost stands, and its cancelling does it no harm", async () => {
    pocket.faults.add({ match: isChunk, skip: 6, loseAnswer: true });
    await refused(large("late"), "late", "NET_UNREACHABLE");
    expect((await read(bench, "late")).length).toBe(LARGE);
  });

  it("of a large object races like a small one", async () => {
    const results = await Promise.allSettled([large("race"), large("race"), large("race")]);
    expect(results.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    for (const one of results)
      if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "STORE_EXISTS" });
  });

  it("that the service answers with another checksum is withdrawn, by its generation", async () => {
    const { head } = await put(bench, "sum", sample(10));
    const resource = {
      name: "sum",
      size: "10",
      generation: "1",
      etag: "e",
      updated: "2024-01-01T00:00:00Z",
      crc32c: "AAAAAA==",
    };
    pocket.faults.add({ match: isUpload, answer: { status: 200, body: JSON.stringify(resource) } });
    const deleted: (string | null)[] = [];
    pocket.faults.add({
      match: ({ method, query }) => method === "DELETE" && deleted.push(query.get("generation")) < 0,
    });
    await refused(put(bench, "sum", sample(10)), "sum", "STORE_CHECKSUM");
    expect(deleted).toEqual(["1"]);
    expect(await read(bench, "sum", { ifVersion: pinOf(head) })).toEqual(sample(10));
  });

  it("sends nothing after a Location to another host", async () => {
    const seen: string[] = [];
    pocket.faults.add({ match: ({ method, path }) => seen.push(`${method} ${path}`) < 0 });
    const location = "http://127.0.0.1:1/upload/storage/v1/b/faults/o?upload_id=x";
    pocket.faults.add({ match: isUpload, answer: { status: 200, headers: { location } } });
    await refused(large("else"), "else", "PROVIDER_ERROR");
    expect(seen).toContain("PUT /upload/storage/v1/b/faults/o");
  });

  it("under a key of Cloud KMS says so", async () => {
    const serverKeyName = "projects/p/locations/eu/keyRings/r/cryptoKeys/k";
    for (const sizeBytes of [10, LARGE]) {
      const { head } = await put(bench, "cmek", sample(sizeBytes), { serverKeyName });
      expect(head.atRest).toEqual({ mode: "CMEK", keyName: `${serverKeyName}/cryptoKeyVersions/1` });
    }
  });

  it.each([".", "..", "a\nb", "a\rb", ".well-known/acme-challenge/x"])("of the name %j is refused", async (key) => {
    await refused(put(bench, key, sample(1)), key, "NAME_UNFIT");
    await refused(bench.store.head(key, never), key, "NAME_UNFIT");
    expect(pocket.counts.size).toBe(0);
  });

  it("against a pin without a generation compares ETags", async () => {
    const { head } = await put(bench, "tag", sample(5));
    await put(bench, "tag", sample(6), { condition: { etag: head.etag } });
    await refused(put(bench, "tag", sample(7), { condition: { etag: head.etag } }), "tag", "STORE_CHANGED");
  });

  it("holds no more than the budget, and waits for it", async () => {
    const narrow = await open({ buffer: new Budget(CHUNK) });
    await each([1, 2, 3, 4], 4, (seed) => put(narrow, `budget/${seed}`, sample(CHUNK * 2, seed)));
    expect(await listed(narrow, "budget/")).toHaveLength(4);
    await narrow.store.close();
  });
});

describe("a read", () => {
  const bytes = sample(300_000);
  const media = (answer: Fault["answer"]) => pocket.faults.add({ match: isMedia, ...(answer ? { answer } : {}) });
  beforeAll(() => put(bench, "read", bytes));

  it.each([0, 1, 150_000, 299_999])("cut after %d bytes is STORE_CUT", async (cutBodyAt) => {
    pocket.faults.add({ match: isMedia, cutBodyAt });
    await refused(read(bench, "read"), "read", "STORE_CUT");
    pocket.faults.add({ match: isMedia, cutBodyAt: Math.floor(cutBodyAt / 2) });
    await refused(read(bench, "read", { range: { start: 0, end: 200_000 } }), "read", "STORE_CUT");
  });

  it.each([
    ["other bytes of the same length", { status: 200, body: "x".repeat(300_000) }, "STORE_CHECKSUM"],
    ["fewer bytes", { status: 200, body: "x".repeat(299_999) }, "STORE_CUT"],
    ["more bytes", { status: 200, body: "x".repeat(300_001) }, "STORE_CUT"],
    ["another stated checksum", { status: 200, headers: { "x-goog-hash": "crc32c=AAAAAA==,md5=x" } }, "STORE_CHECKSUM"],
    ["another generation", { status: 200, headers: { "x-goog-generation": "5" } }, "STORE_CHANGED"],
    ["a re-encoded body", { status: 200, headers: { "content-encoding": "gzip" } }, "PROVIDER_ERROR"],
  ] as const)("of %s is an error", async (_, answer, code) => {
    media(answer);
    await refused(read(bench, "read"), "read", code);
  });

  it("of a range that was ignored is an error", async () => {
    media({ status: 200, body: "x".repeat(300_000) });
    await refused(read(bench, "read", { range: { start: 5, end: 10 } }), "read", "PROVIDER_ERROR");
  });

  it("overtaken by a writer may be tried again, but not if it was pinned", async () => {
    const head = await bench.store.head("read", never);
    if (head === undefined) throw new Error("it was put above");
    media(json(412, "conditionNotMet"));
    expect(await failure(read(bench, "read"))).toMatchObject({ code: "STORE_CHANGED", retry: "later" });
    media(json(412, "conditionNotMet"));
    const pinned = read(bench, "read", { ifVersion: pinOf(head) });
    expect(await failure(pinned)).toMatchObject({ code: "STORE_CHANGED", retry: "never" });
  });

  it("of an object under a customer's key says what is needed", async () => {
    const key = Buffer.alloc(32, 5);
    const headers = {
      "x-goog-encryption-algorithm": "AES256",
      "x-goog-encryption-key": key.toString("base64"),
      "x-goog-encryption-key-sha256": createHash("sha256").update(key).digest("base64"),
    };
    const url = `${pocket.url}/upload/storage/v1/b/faults/o?uploadType=media&name=csek`;
    expect((await fetch(url, { method: "POST", headers, body: "secret" })).status).toBe(200);
    const head = await bench.store.head("csek", never);
    expect(head?.atRest.mode).toBe("CSEK");
    await refused(bench.store.open("csek", { signal: never }), "csek", "STORE_KEY_NEEDED");
    const pinned = bench.store.open("csek", { signal: never, ifVersion: { version: head?.version, etag: "" } });
    await refused(pinned, "csek", "STORE_KEY_NEEDED");
  });

  it("takes two requests, and none for the bytes of an empty object", async () => {
    const opened = await bench.store.open("read", { signal: never });
    expect((await gather(opened.body)).equals(bytes)).toBe(true);
    expect(pocket.counts.get("GET")).toBe(2);
    await put(bench, "void", sample(0));
    expect(await read(bench, "void")).toHaveLength(0);
    expect(pocket.counts.get("GET media")).toBe(1);
  });

  it("names who pays", async () => {
    const payer = await open({ userProject: "our project" });
    const payers = new Set<string | null>();
    pocket.faults.add({ match: ({ query }) => payers.add(query.get("userProject")).size < 0 });
    await payer.store.put("paid", pieces(sample(9)), {
      sizeBytes: 9,
      attributes: bare,
      condition: "any",
      signal: never,
    });
    await read(payer, "paid");
    await listed(payer, "paid");
    await payer.store.remove("paid", never);
    expect([...payers]).toEqual(["our project"]);
    await payer.store.close();
  });
});
