/** What the file store leaves on a disk: its layout, the order of its names, and damage. */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compareKeys, inRange } from "../../src/core/object.ts";
import { entryOf, placeOf } from "../../src/store/file/names.ts";
import { walk } from "../../src/store/file/walk.ts";
import { openFileStore } from "../../src/store/file.ts";
import { type Bench, gather, listed, never, pinOf, put, read, refused, sample } from "./laws/law.ts";

let root: string;
let bench: Bench;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sealift-disk-"));
  bench = { store: await openFileStore({ root }), prefix: "", largeBytes: 0 };
});
afterEach(() => rm(root, { recursive: true }));

const tree = async (): Promise<string[]> => {
  const all = await readdir(root, { recursive: true, withFileTypes: true });
  return all.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name).slice(root.length + 1));
};

describe("the layout", () => {
  it.each([
    ["a/b c", "a/b%20c"],
    ["a/", "a/%"],
    ["../.", "%2E%2E/%2E"],
    ["//", "%/%/%"],
    ["x@head~%", "x%40head%7E%25"],
    ["é", "%C3%A9"],
    [`${"x".repeat(130)}/y`, `${"x".repeat(120)}~/${"x".repeat(10)}/y`],
    ["x".repeat(120), `${"x".repeat(120)}~/%`],
    [`${"x".repeat(119)}é`, `${"x".repeat(119)}%C3~/%A9`],
  ])("spells %j", (key, path) => {
    const { directories, leaf } = placeOf(key);
    expect([...directories, leaf].join("/")).toBe(path);
  });

  it("is two files an object, and no third after a replacement", async () => {
    await put(bench, "a/b", sample(10));
    await put(bench, "a/b", sample(20));
    const files = await tree();
    expect(files).toHaveLength(2);
    expect(files).toContain("a/b@head");
    const head = JSON.parse(await readFile(join(root, "a/b@head"), "utf8")) as { data: string; key: string };
    expect(files).toContain(`a/${head.data}`);
    expect(head.key).toBe("a/b");
    await bench.store.remove("a/b", never);
    expect(await tree()).toEqual([]);
  });

  it("leaves nothing behind when a put fails", async () => {
    await refused(put(bench, "a/b", sample(10), { sizeBytes: 11 }), "a/b", "STORE_CUT");
    await put(bench, "a/b", sample(3));
    await refused(put(bench, "a/b", sample(10), { condition: "absent" }), "a/b", "STORE_EXISTS");
    expect(await tree()).toHaveLength(2);
  });

  it("holds every name that it spells, and no other", () => {
    const byte = fc.constantFrom(
      "a",
      "Z",
      "9",
      ".",
      "-",
      "_",
      " ",
      "/",
      "@",
      "~",
      "%",
      "é",
      "\u{1f600}",
      "\uff5e",
      "!",
    );
    fc.assert(
      fc.property(fc.string({ unit: byte, minLength: 1, maxLength: 300 }), (key) => {
        const { directories, leaf } = placeOf(key);
        const parts = [...directories.map((name) => entryOf(name, true)), entryOf(`${leaf}@head`, false)];
        const bytes = parts.map((part) => part?.adds).join("");
        expect(Buffer.from(bytes, "latin1").toString("utf8")).toBe(key);
        for (const name of [...directories, leaf]) expect(name.length).toBeLessThan(128);
      }),
    );
    for (const stranger of ["README", "%61@head", "a b@head", "%2e@head", ".@head", "@head", "x@123", "x@1.tmp"]) {
      expect(entryOf(stranger, false), stranger).toBeUndefined();
    }
    for (const stranger of ["short~", "..", ".", "lost+found", "%%"]) expect(entryOf(stranger, true)).toBeUndefined();
  });
});

describe("the walk", () => {
  it("is in key order for any keys, in any range, however few names it may hold", async () => {
    const unit = fc.constantFrom("a", "b", "/", "!", "0", "é", "\u{1f600}", "\uff5e", "x".repeat(118), "/x");
    const key = fc.string({ unit, minLength: 1, maxLength: 5 });
    const range = fc.record({ after: fc.option(key, { nil: undefined }), until: fc.option(key, { nil: undefined }) });
    const keys = fc.uniqueArray(key, { minLength: 1, maxLength: 25 });
    const prefix = fc.oneof(fc.constant(""), key);
    await fc.assert(
      fc.asyncProperty(keys, range, prefix, fc.integer({ min: 1, max: 4 }), async (all, span, start, namesMax) => {
        const top = await mkdtemp(join(root, "walk-"));
        for (const one of all) {
          const { directories, leaf } = placeOf(one);
          await mkdir(join(top, ...directories), { recursive: true });
          await writeFile(join(top, ...directories, `${leaf}@head`), "");
        }
        const found: string[] = [];
        for await (const one of walk(top, start, span, namesMax)) found.push(one.key);
        const wanted = all.filter((one) => one.startsWith(start) && inRange(one, span)).sort(compareKeys);
        expect(found).toEqual(wanted);
      }),
      { numRuns: 60 },
    );
  });

  it("does not enter what lies outside the range", async () => {
    for (const key of ["a/1", "b/1", "c/1"]) await put(bench, key, sample(1));
    // Paths that no system call takes: entering one is LIST_BROKEN.
    const chain = Array.from({ length: 22 }, () => "d".repeat(100));
    const deep = ["a", "c"].map((name) => join(root, name, ...chain));
    for (const path of deep) {
      await mkdir(path, { recursive: true });
      await mkdir(join(root, ...chain), { recursive: true });
      await rename(join(root, chain[0] as string), join(path, "tail"));
    }
    expect(await listed(bench, "b/")).toEqual(["b/1"]);
    expect(await listed(bench, "", { after: "b", until: "b/9" })).toEqual(["b/1"]);
    await expect(listed(bench, "")).rejects.toMatchObject({ code: "LIST_BROKEN" });
    for (const [index, path] of deep.entries()) await rename(join(path, "tail"), join(root, `tail${index}`));
  });

  it("is an error where the root is gone, not an empty listing", async () => {
    await put(bench, "a", sample(1));
    await rm(root, { recursive: true });
    await expect(listed(bench, "")).rejects.toMatchObject({ code: "LIST_BROKEN" });
    await mkdir(root);
  });
});

describe("damage", () => {
  const dataOf = async () => join(root, (await tree()).find((name) => !name.endsWith("@head")) as string);

  it("in the data is found by its CRC32C", async () => {
    await put(bench, "a", sample(1000));
    const path = await dataOf();
    const bytes = await readFile(path);
    bytes[500] = (bytes[500] as number) ^ 1;
    await writeFile(path, bytes);
    await refused(read(bench, "a"), "a", "STORE_CHECKSUM");
  });

  it("cut data is STORE_CUT, and so is data that is gone", async () => {
    await put(bench, "a", sample(1000));
    await truncate(await dataOf(), 999);
    await refused(read(bench, "a"), "a", "STORE_CUT");
    await unlink(await dataOf());
    await refused(read(bench, "a"), "a", "STORE_CUT");
  });

  it.each(["", "{", "[]", '{"sealift":1}', '{"sealift":2}', "\u0000"])(
    "a head of %j is an error, not an absence",
    async (text) => {
      await put(bench, "a", sample(10));
      await writeFile(join(root, "a@head"), text);
      await refused(bench.store.head("a", never), "a", "STORE_CHECKSUM");
      await expect(listed(bench, "")).rejects.toMatchObject({ code: "STORE_CHECKSUM" });
    },
  );

  it("a head cannot name data elsewhere", async () => {
    await put(bench, "a", sample(10));
    const head = JSON.parse(await readFile(join(root, "a@head"), "utf8")) as object;
    await writeFile(join(root, "a@head"), JSON.stringify({ ...head, data: "../../etc/pass@wd" }));
    await refused(bench.store.open("a", { signal: never }), "a", "STORE_CHECKSUM");
  });

  it("a head of another key is an error: the file system folds names", async () => {
    await put(bench, "a", sample(10));
    await writeFile(join(root, "b@head"), await readFile(join(root, "a@head")));
    await refused(bench.store.head("b", never), "b", "STORE_CHECKSUM");
  });

  it("an open body survives its replacement", async () => {
    const { head } = await put(bench, "a", sample(600_000, 1));
    const opened = await bench.store.open("a", { ifVersion: pinOf(head), signal: never });
    await put(bench, "a", sample(600_000, 2));
    expect((await gather(opened.body)).equals(sample(600_000, 1))).toBe(true);
  });
});
