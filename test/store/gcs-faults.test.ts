/** The Cloud Storage driver when the service, or something between, answers with anything but the truth. */
import { beforeAll, describe, expect, it } from "vitest";
import type { Code } from "../../src/core/error.ts";
import type { Fault, PocketRequest } from "../../src/pocket/http.ts";
import { bench, isUpload, json, LARGE, open, pocket } from "./gcs-bench.ts";
import { each, failure, listed, never, put, refused, sample } from "./laws/law.ts";

const isSecondPage = ({ query }: PocketRequest) => query.has("pageToken");
const html = { status: 200, body: "<html>Sign in to the network</html>" };

describe("answers", () => {
  const cases: [string, Fault["answer"], Code][] = [
    ["429", json(429, "rateLimitExceeded"), "THROTTLED"],
    ["403 for speed", json(403, "userRateLimitExceeded"), "THROTTLED"],
    ["403", json(403, "forbidden"), "ACCESS_DENIED"],
    ["401", json(401, "authError"), "CREDENTIALS_EXPIRED"],
    ["500", json(500, "internalError"), "PROVIDER_ERROR"],
    ["503 without JSON", { status: 503, body: "busy" }, "PROVIDER_ERROR"],
    ["408", json(408, "requestTimeout"), "NET_TIMEOUT"],
    ["409", json(409, "conflict"), "STORE_BUSY"],
    ["400", json(400, "invalid"), "PROVIDER_REFUSED"],
    ["a redirect", { status: 302, headers: { location: "http://127.0.0.1:1/" } }, "PROVIDER_REFUSED"],
    ["a stranger's 404", { status: 404, body: "<html>not found</html>" }, "PROVIDER_ERROR"],
    ["a missing bucket", json(404, "notFound", "The specified bucket does not exist."), "PREFLIGHT_ACCESS"],
    ["a page that is not JSON", html, "PROVIDER_ERROR"],
    ["the resource of another object", { status: 200, body: "{}" }, "PROVIDER_ERROR"],
  ];
  it.each(cases)("%s is never an absence or a success", async (_, answer, code) => {
    const fault = answer === undefined ? {} : { answer };
    for (const attempt of [
      () => bench.store.head("k", never),
      () => bench.store.open("k", { signal: never }),
      () => bench.store.open("k", { signal: never, ifVersion: { version: "5", etag: "" } }),
      () => put(bench, "k", sample(10)),
      () => put(bench, "k", sample(LARGE)),
    ]) {
      pocket.faults.clear();
      pocket.faults.add({ match: () => true, times: 9, ...fault });
      await refused(attempt(), "k", code);
    }
    pocket.faults.clear();
    pocket.faults.add({ match: () => true, ...fault });
    if (answer?.status !== 200) await refused(bench.store.remove("k", never), "k", code);
  });

  it("hands on how long to wait", async () => {
    pocket.faults.add({ match: () => true, answer: json(429, "rateLimitExceeded", "slow", { "retry-after": "7" }) });
    expect(await failure(bench.store.head("k", never))).toMatchObject({ retry: "throttled", retryAfterMs: 7000 });
  });

  it("from a dead port is NET_UNREACHABLE and names the object", async () => {
    const nowhere = await open({ endpoint: "http://127.0.0.1:1" });
    await refused(nowhere.store.head("k", never), "k", "NET_UNREACHABLE");
    await refused(put(nowhere, "k", sample(10)), "k", "NET_UNREACHABLE");
  });

  it("about an organisation's policy are no sign of another object", async () => {
    pocket.faults.add({
      match: isUpload,
      answer: json(412, "conditionNotMet", "constraints/gcp.restrictNonCmekServices"),
    });
    await refused(put(bench, "policy", sample(5), { condition: "absent" }), "policy", "ACCESS_DENIED");
  });
});

describe("a listing", () => {
  const keys = Array.from({ length: 1002 }, (_, i) => `list/${String(i).padStart(4, "0")}`);
  beforeAll(() => each(keys, 24, (key) => put(bench, key, sample(1))));

  const item = (name: string) => ({ name, size: "1", generation: "7", etag: "e", updated: "2024-01-01T00:00:00Z" });
  const page = (extra: object) => ({ status: 200, body: JSON.stringify({ kind: "storage#objects", ...extra }) });
  const cases: [string, Omit<Fault, "match">, Code][] = [
    ["is refused", { answer: json(403, "forbidden") }, "ACCESS_DENIED"],
    ["fails", { answer: json(500, "backendError") }, "PROVIDER_ERROR"],
    ["is a stranger's 404", { answer: { status: 404, body: "no" } }, "PROVIDER_ERROR"],
    ["is HTML", { answer: html }, "LIST_BROKEN"],
    ["is empty JSON", { answer: { status: 200, body: "{}" } }, "LIST_BROKEN"],
    ["is cut JSON", { answer: { status: 200, body: '{"kind":"storage#objects","items":[{"na' } }, "LIST_BROKEN"],
    ["is empty text", { answer: { status: 200, body: "" } }, "LIST_BROKEN"],
    ["breaks off", { cutBodyAt: 100 }, "NET_UNREACHABLE"],
    ["has no list of items", { answer: page({ items: {} }) }, "LIST_BROKEN"],
    [
      "has an item without a size",
      { answer: page({ items: [{ ...item("list/9"), size: undefined }] }) },
      "LIST_BROKEN",
    ],
    [
      "has an item without a generation",
      { answer: page({ items: [{ ...item("list/9"), generation: 7 }] }) },
      "LIST_BROKEN",
    ],
    ["goes backwards", { answer: page({ items: [item("list/0001")] }) }, "LIST_BROKEN"],
    ["repeats its last key", { answer: page({ items: [item("list/0999")] }) }, "LIST_BROKEN"],
    ["leaves the prefix", { answer: page({ items: [item("lost")] }) }, "LIST_BROKEN"],
    ["has a token that is no text", { answer: page({ items: [item("list/9")], nextPageToken: 5 }) }, "LIST_BROKEN"],
  ];
  it.each(cases)("whose second page %s is an error, never an end", async (_, fault, code) => {
    pocket.faults.add({ match: isSecondPage, ...fault });
    expect(await failure(listed(bench, "list/"))).toMatchObject({ code });
  });

  it("that repeats a token ends in an error", async () => {
    pocket.faults.add({ match: isSecondPage, answer: page({ nextPageToken: "a" }) });
    pocket.faults.add({ match: isSecondPage, answer: page({ nextPageToken: "b" }) });
    pocket.faults.add({ match: isSecondPage, answer: page({ nextPageToken: "a" }) });
    expect(await failure(listed(bench, "list/"))).toMatchObject({ code: "LIST_BROKEN" });
  });

  it("goes on over pages that hold only a token, and is whole without faults", async () => {
    expect(await listed(bench, "list/")).toEqual(keys);
    expect(pocket.counts.get("GET list")).toBe(2);
    const empty = page({ nextPageToken: "x" });
    const end = page({ items: [item("list/9")] });
    pocket.faults.add({ match: ({ query }) => query.get("pageToken") === "x", answer: end });
    pocket.faults.add({ match: ({ query }) => query.has("startOffset"), answer: empty });
    expect(await listed(bench, "list/", { after: "list/5" })).toEqual(["list/9"]);
  });
});
