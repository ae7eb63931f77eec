/** Names of uploads that XML cannot hold, and servers that speak of parts in their own way. */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { type PocketS3, startPocketS3 } from "../../src/pocket/s3.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import type { ObjectStore, PartStore } from "../../src/store/store.ts";
import { bare, failure, never } from "./laws/law.ts";

const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
let pocket: PocketS3;
let store: ObjectStore;
let parts: PartStore;
beforeAll(async () => {
  pocket = await startPocketS3({ credentials });
  pocket.createBucket("parts");
  const buffer = new Budget(1024 * 1024);
  store = await openS3Store({ bucket: "parts", endpoint: pocket.url, region: "us-east-1", credentials, buffer });
  parts = store.parts as PartStore;
});
afterEach(() => pocket.faults.clear());
afterAll(async () => {
  await store.close();
  await pocket.close();
});

const begin = (key: string) => parts.begin(key, { sizeBytes: 10, attributes: bare, signal: never });
const isListOfParts = ({ method, query }: { method: string; query: URLSearchParams }) =>
  method === "GET" && query.has("uploadId");
const isListOfUploads = ({ method, query }: { method: string; query: URLSearchParams }) =>
  method === "GET" && query.has("uploads");

it("uploads under keys that XML 1.0 cannot hold are found", async () => {
  for (const key of ["a\u0001b", "a\u001f%20b+"]) {
    const id = await begin(key);
    expect((await parts.uploads(key, never)).map((upload) => upload.id)).toEqual([id]);
    await parts.abort({ key, id }, never);
    expect(await parts.uploads(key, never)).toEqual([]);
  }
});

it("an upload is not taken for that of a key that looks like it encoded", async () => {
  const id = await begin("x y");
  expect(await parts.uploads("x%20y", never)).toEqual([]);
  expect(await parts.uploads("x+y", never)).toEqual([]);
  await parts.abort({ key: "x y", id }, never);
});

it("more uploads under one key than one answer holds are all found", async () => {
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push(await begin("many"));
  await begin("many.more");
  pocket.faults.add({
    match: isListOfUploads,
    answer: {
      status: 200,
      body: `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>many</NextKeyMarker><NextUploadIdMarker>${ids[0]}</NextUploadIdMarker><Upload><Key>many</Key><UploadId>${ids[0]}</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>`,
    },
  });
  expect((await parts.uploads("many", never)).map(({ id }) => id)).toEqual(ids);
});

it.each([
  ["NoSuchUpload", 404, true],
  ["NoSuchKey", 404, true],
  ["NoSuchBucket", 404, false],
  ["AccessDenied", 403, false],
  ["InternalError", 500, false],
])("a list of parts that is answered with %s (%d) is no upload: %s", async (code, status, gone) => {
  pocket.faults.add({ match: isListOfParts, answer: { status, body: `<Error><Code>${code}</Code></Error>` } });
  const asked = parts.list({ key: "k", id: "u" }, never);
  if (gone) expect(await asked).toBeUndefined();
  else await failure(asked);
});

const row = (number: number, size = "5") =>
  `<Part><PartNumber>${number}</PartNumber><ETag>"e${number}"</ETag><Size>${size}</Size></Part>`;

it.each([
  ["is another document", "<ListBucketResult/>"],
  ["is not XML", "<ListPartsResult>"],
  ["neither ends nor goes on", `<ListPartsResult>${row(1)}</ListPartsResult>`],
  [
    "goes on where it began",
    `<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>0</NextPartNumberMarker>${row(1)}</ListPartsResult>`,
  ],
  ["is not in order", `<ListPartsResult><IsTruncated>false</IsTruncated>${row(2)}${row(1)}</ListPartsResult>`],
  ["has a part twice", `<ListPartsResult><IsTruncated>false</IsTruncated>${row(1)}${row(1)}</ListPartsResult>`],
  ["has a part without a size", `<ListPartsResult><IsTruncated>false</IsTruncated>${row(1, "")}</ListPartsResult>`],
  ["has a part zero", `<ListPartsResult><IsTruncated>false</IsTruncated>${row(0)}</ListPartsResult>`],
])("a list of parts that %s is no list", async (_, body) => {
  pocket.faults.add({ match: isListOfParts, times: 2, answer: { status: 200, body } });
  expect(asSealiftError(await failure(parts.list({ key: "k", id: "u" }, never))).code).not.toBe("INTERNAL");
});

it("parts whose checksum is not stated are told without one", async () => {
  const body = `<ListPartsResult><IsTruncated>false</IsTruncated>${row(1)}${row(7)}</ListPartsResult>`;
  pocket.faults.add({ match: isListOfParts, answer: { status: 200, body } });
  expect(await parts.list({ key: "k", id: "u" }, never)).toEqual([
    { first: 1, last: 1, sizeBytes: 5, tag: "e1" },
    { first: 7, last: 7, sizeBytes: 5, tag: "e7" },
  ]);
});
