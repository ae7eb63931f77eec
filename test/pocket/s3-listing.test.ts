/** Listings of the pocket S3: order, pages, prefixes, delimiters, and names that are hard to write down. */
import {
  DeleteObjectCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { raw, refusal, type S3Bench, startBench } from "./s3-bench.ts";

let bench: S3Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.close());

let turn = 0;
async function fill(keys: readonly string[], options?: { versioned: boolean }): Promise<string> {
  const Bucket = `list-${turn++}`;
  bench.pocket.createBucket(Bucket, options);
  for (const Key of keys) await bench.client.send(new PutObjectCommand({ Bucket, Key, Body: Key }));
  return Bucket;
}

/** Every page of a listing: keys and common prefixes in one sequence a page. */
async function pages(Bucket: string, input: Partial<ListObjectsV2CommandInput> = {}): Promise<string[][]> {
  const found: string[][] = [];
  for (let ContinuationToken: string | undefined, more = true; more; ) {
    const page = await bench.client.send(new ListObjectsV2Command({ Bucket, ...input, ContinuationToken }));
    const names = [...(page.Contents ?? []).map(({ Key }) => Key), ...(page.CommonPrefixes ?? []).map((p) => p.Prefix)];
    expect(page.KeyCount).toBe(names.length);
    found.push(names.map(String));
    more = page.IsTruncated === true;
    ContinuationToken = page.NextContinuationToken;
    expect(ContinuationToken !== undefined).toBe(more);
  }
  return found;
}
const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

const ODD = [
  ..."a,a b,a+b,a%20b,%zz,%,a/../b,a/./b,a//b,a/,//x,~,?q=1&r,#frag,quote\"',back\\slash,<xml>&amp;,semi;colon:".split(
    ",",
  ),
  ..."e\u0301 \u00e9 你好/世界 \uff5e \u{1f600} \ud7ff \ue000 \u{10ffff} [x]{y}^`|* . .. $@=,!() tab\there".split(" "),
  "x".repeat(1024),
  "é".repeat(512),
];

describe("listings", () => {
  it("hold every odd name in UTF-8 byte order, plain and URL-encoded", async () => {
    const Bucket = await fill(ODD);
    const sorted = [...ODD].sort(byBytes);
    expect(await pages(Bucket)).toEqual([sorted]);
    const encoded = await pages(Bucket, { EncodingType: "url", MaxKeys: 7 });
    expect(encoded.flat().map((name) => decodeURIComponent(name.replaceAll("+", " ")))).toEqual(sorted);
    expect(encoded.flat()).toContain("a/../b");
    expect(encoded.flat()).toContain("a+b");
    expect(encoded.flat()).toContain("a%2Bb");
  });

  it("give the same rows whatever the page size, the prefix and the start", async () => {
    const part = fc.constantFrom("a", "b", "/", "é", "\u{1f600}", "\uff5e", "!");
    const key = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { maxLength: 20 }),
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom("", "a", "a/", "é"),
        fc.constantFrom(undefined, "a", "a/", "b!", "é/"),
        fc.constantFrom(undefined, "/", "é", "a/"),
        async (keys, MaxKeys, Prefix, StartAfter, Delimiter) => {
          const Bucket = await fill(keys);
          const after = keys
            .filter((name) => name.startsWith(Prefix) && (!StartAfter || byBytes(name, StartAfter) > 0))
            .sort(byBytes);
          const rolled = after.map((name) => {
            const cut = Delimiter === undefined ? -1 : name.indexOf(Delimiter, Prefix.length);
            return cut < 0 ? name : name.slice(0, cut + (Delimiter ?? "").length);
          });
          const found = await pages(Bucket, { MaxKeys, Prefix, StartAfter, Delimiter });
          expect(found.flat().sort(byBytes)).toEqual([...new Set(rolled)].sort(byBytes));
          for (const page of found.slice(0, -1)) expect(page).toHaveLength(MaxKeys);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("follow what is put and removed between pages", async () => {
    const keys = Array.from({ length: 30 }, (_, i) => `k${String(i).padStart(2, "0")}`);
    const Bucket = await fill(keys);
    const list = async (input: object = {}) => bench.client.send(new ListObjectsV2Command({ Bucket, ...input }));
    const first = await list({ MaxKeys: 10 });
    for (const Key of keys.slice(5, 25)) await bench.client.send(new DeleteObjectCommand({ Bucket, Key }));
    for (const Key of ["k02a", "k11", "k12", "k11"]) {
      await bench.client.send(new PutObjectCommand({ Bucket, Key, Body: "again" }));
    }
    const rest = await list({ ContinuationToken: first.NextContinuationToken });
    expect(rest.Contents?.map(({ Key }) => Key)).toEqual(["k11", "k12", ...keys.slice(25)]);
    const all = await list();
    expect(all.KeyCount).toBe(13);
    expect(all.Contents?.[3]).toMatchObject({ Key: "k02a", Size: 5, StorageClass: "STANDARD" });
  });

  it("know the older form, with markers", async () => {
    const Bucket = await fill(["a/1", "a/2", "b", "c/1", "d"]);
    const list = (input: object = {}) => bench.client.send(new ListObjectsCommand({ Bucket, ...input }));
    const first = await list({ Delimiter: "/", MaxKeys: 2 });
    expect(first).toMatchObject({ IsTruncated: true, CommonPrefixes: [{ Prefix: "a/" }], NextMarker: "b" });
    const second = await list({ Delimiter: "/", Marker: "b" });
    expect(second).toMatchObject({ CommonPrefixes: [{ Prefix: "c/" }], Contents: [{ Key: "d" }] });
    const behindPrefix = await list({ Delimiter: "/", Marker: "a/" });
    expect(behindPrefix.CommonPrefixes).toEqual([{ Prefix: "c/" }]);
    expect((await list({ Marker: "a/" })).Contents).toHaveLength(5);
  });

  it("show versions and markers, newest first", async () => {
    const Bucket = await fill(["a", "b", "a", "c/x"], { versioned: true });
    await bench.client.send(new DeleteObjectCommand({ Bucket, Key: "b" }));
    expect(await pages(Bucket)).toEqual([["a", "c/x"]]);
    const list = (input: object = {}) => bench.client.send(new ListObjectVersionsCommand({ Bucket, ...input }));
    const whole = await list();
    expect(whole.Versions?.map(({ Key, IsLatest }) => [Key, IsLatest])).toEqual([
      ["a", true],
      ["a", false],
      ["b", false],
      ["c/x", true],
    ]);
    expect(whole.DeleteMarkers).toMatchObject([{ Key: "b", IsLatest: true }]);
    const seen: unknown[] = [];
    for (let markers: object = {}, more = true; more; ) {
      const page = await list({ MaxKeys: 1, ...markers });
      seen.push(...[...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].map(({ VersionId }) => VersionId));
      more = page.IsTruncated === true;
      markers = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
    }
    const every = [...(whole.Versions ?? []), ...(whole.DeleteMarkers ?? [])].map(({ VersionId }) => VersionId);
    expect(seen).toHaveLength(every.length);
    expect(new Set(seen)).toEqual(new Set(every));
  });

  it("refuse what they cannot read, and allow no page above 1,000", async () => {
    const Bucket = await fill([]);
    const list = (input: object) => bench.client.send(new ListObjectsV2Command({ Bucket, ...input }));
    expect(await refusal(list({ ContinuationToken: "?" }))).toMatchObject({ name: "InvalidArgument" });
    expect(await refusal(list({ MaxKeys: -1 }))).toMatchObject({ name: "InvalidArgument" });
    expect(await list({ MaxKeys: 5000 })).toMatchObject({ MaxKeys: 1000, KeyCount: 0, IsTruncated: false });
    expect(await list({ MaxKeys: 0 })).toMatchObject({ KeyCount: 0, IsTruncated: false });
    expect(await refusal(list({ Bucket: "absent-bucket" }))).toMatchObject({ name: "NoSuchBucket" });
    const path = `/${Bucket}?acl=`;
    expect(await raw(bench.pocket, { path })).toMatchObject({ status: 501, code: "NotImplemented" });
  });
});
