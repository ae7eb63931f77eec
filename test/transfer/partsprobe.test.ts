/** Before a migration starts: may the destination be written in parts, and is nothing left of having tried. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { type PocketS3, startPocketS3 } from "../../src/pocket/s3.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import { preflight } from "../../src/transfer/preflight.ts";
import { errorOf, Harbour, type KeyRing, makeKeyRing, rulesOf } from "./harness.ts";
import { NEVER } from "./wayward.ts";

const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
let ring: KeyRing;
let s3: PocketS3;
let destination: ObjectStore;
beforeAll(async () => {
  [ring, s3] = [await makeKeyRing(), await startPocketS3({ credentials })];
  s3.createBucket("far");
  const buffer = new Budget(1024 * 1024);
  destination = await openS3Store({ bucket: "far", endpoint: s3.url, region: "us-east-1", credentials, buffer });
});
afterEach(() => s3.faults.clear());
afterAll(async () => {
  await destination.close();
  await Promise.all([s3.close(), ring.cleanup()]);
});

const check = (hugeBytes: number | undefined) =>
  preflight({ ...new Harbour(ring).shores(), destination }, rulesOf({ hugeBytes }), NEVER);

const denied = { status: 403, body: "<Error><Code>AccessDenied</Code><Message>no</Message></Error>" };

describe("preflight", () => {
  it("writes in parts and leaves nothing of it", async () => {
    await check(512 * 1024 ** 2);
    expect(s3.counts.get("POST CreateMultipartUpload")).toBe(1);
    for await (const { objects } of destination.list("", {}, NEVER)) expect(objects).toEqual([]);
    expect(s3.counts.get("DELETE AbortMultipartUpload")).toBe(1);
  });

  it.each([
    ["begin one", ({ query }: { query: URLSearchParams }) => query.has("uploads")],
    [
      "list its parts",
      ({ query, method }: { query: URLSearchParams; method: string }) => query.has("uploadId") && method === "GET",
    ],
    [
      "abort it",
      ({ query, method }: { query: URLSearchParams; method: string }) => query.has("uploadId") && method === "DELETE",
    ],
  ])("stops where the destination may not %s, and says what does without", async (_, match) => {
    s3.faults.add({ match, answer: denied });
    const error = await errorOf(check(512 * 1024 ** 2));
    expect(error.code).toBe("ACCESS_DENIED");
    expect(error.message).toContain("options.hugeBytes: 6T");
  });

  it("does not try where no object can be huge", async () => {
    s3.faults.add({ match: ({ query }) => query.has("uploads"), answer: denied });
    await check(6 * 1024 ** 4);
    await check(undefined);
  });
});
