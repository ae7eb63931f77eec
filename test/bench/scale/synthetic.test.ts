/** The shores of the simulation keep the contract of stores: what is proven between them would hold between others. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { crc32c } from "../../../src/core/crc32c.ts";
import { compareKeys, inRange, type KeyRange } from "../../../src/core/object.ts";
import { ForgetfulDestination, keyOf, SyntheticSource } from "./synthetic.ts";

const OBJECTS = 2345;
const { signal } = new AbortController();
const source = new SyntheticSource({ objects: OBJECTS, sealedEvery: 10, envelope: new Map([["x-amz-c", "115"]]) });
const keys = Array.from({ length: OBJECTS }, (_, index) => keyOf(index));

async function listed(range: KeyRange): Promise<string[]> {
  const found: string[] = [];
  let last = false;
  for await (const page of source.list("", range, signal)) {
    expect(last).toBe(false);
    expect(page.objects.length).toBeLessThanOrEqual(1000);
    found.push(...page.objects.map(({ key }) => key));
    last = page.last;
  }
  expect(last).toBe(true);
  return found;
}

async function* once(text: string) {
  yield Buffer.from(text);
}

it("any key range is what a scan would have found, whatever its ends are", async () => {
  expect(await listed({})).toEqual(keys);
  expect(keys.toSorted(compareKeys)).toEqual(keys);
  const end = fc.oneof(
    fc.nat(OBJECTS + 10).map(keyOf),
    fc.nat(OBJECTS).map((index) => keyOf(index).slice(0, -2)),
    fc.nat(OBJECTS).map((index) => `${keyOf(index)}~`),
    fc.string({ unit: "binary" }),
  );
  const ends = fc.record({ after: fc.option(end, { nil: undefined }), until: fc.option(end, { nil: undefined }) });
  await fc.assert(
    fc.asyncProperty(ends, async (range) => {
      expect(await listed(range)).toEqual(keys.filter((key) => inRange(key, range)));
    }),
  );
});

it("what is listed opens as it was listed, and nothing else opens", async () => {
  for await (const { objects } of source.list("", {}, signal)) {
    for (const row of objects.slice(0, 20)) {
      const opened = await source.open(row.key, { ifVersion: row, signal });
      let bytes = 0;
      for await (const chunk of opened.body) bytes += chunk.length;
      expect({ bytes, etag: opened.head.etag }).toEqual({ bytes: row.sizeBytes, etag: row.etag });
    }
  }
  await expect(source.open(keyOf(0), { ifVersion: { etag: "other" }, signal })).rejects.toMatchObject({
    code: "STORE_CHANGED",
  });
  for (const key of [keyOf(OBJECTS), "objects/12", "objects/00000000000x", "else"]) {
    await expect(source.open(key, { signal })).rejects.toMatchObject({ code: "STORE_NOT_FOUND" });
    expect(await source.head(key, signal)).toBeUndefined();
  }
});

it("the destination counts and sums what it is sent, and remembers only the last", async () => {
  const destination = new ForgetfulDestination();
  const put = (key: string, text: string, sizeBytes = Buffer.byteLength(text)) =>
    destination.put(key, once(text), {
      sizeBytes,
      attributes: { metadata: new Map() },
      condition: "absent",
      signal,
    });
  expect((await put("a", "text")).crc32c).toBe(crc32c(Buffer.from("text")));
  await expect(put("a", "text")).rejects.toMatchObject({ code: "STORE_EXISTS" });
  await expect(put("b", "text", 5)).rejects.toMatchObject({ code: "STORE_CUT" });
  expect((await destination.head("a", signal))?.sizeBytes).toBe(4);
  for (let index = 0; index < 5000; index++) await put(keyOf(index), "x");
  expect(await destination.head("a", signal)).toBeUndefined();
  expect(await destination.head(keyOf(4999), signal)).toBeDefined();
});
