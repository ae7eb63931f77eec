/** Files in a directory that are no objects: told apart from what the store itself leaves there. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { ListedObject } from "../../src/core/object.ts";
import { openFileStore } from "../../src/store/file.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import { never, put, sample } from "./laws/law.ts";

let root: string;
let store: ObjectStore;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sealift-strangers-"));
  store = await openFileStore({ root, fsync: false });
});
afterEach(() => rm(root, { recursive: true }));

async function file(path: string, text = "x"): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

async function strangers(): Promise<ListedObject[]> {
  const found: ListedObject[] = [];
  for await (const one of store.strangers?.(never) ?? []) found.push(one);
  return found.sort((a, b) => (a.key < b.key ? -1 : 1));
}
const named = async () => (await strangers()).map(({ key }) => key);

it("none are there where the store alone has written, whatever the keys, and after a put that did not end", async () => {
  const bench = { store, prefix: "", largeBytes: 0 };
  for (const key of ["a", "a/b c", "a/", "../.", "x@head~%", "é", `${"x".repeat(130)}/y`, "x".repeat(120)])
    await put(bench, key, sample(10));
  await file("a/left@0123456789abcdef01234567");
  await file("a/left@0123456789abcdef01234567.tmp");
  expect(await named()).toEqual([]);
});

it("all are found, at any depth, with their size; a directory that no key is spelled as is named once", async () => {
  await file("report.pdf", "12345");
  await file("a/b/deep.txt");
  await file("My Documents/one");
  await file("My Documents/two");
  await file("odd@0123");
  await symlink(join(root, "report.pdf"), join(root, "link"));
  expect(await named()).toEqual(["My Documents/", "a/b/deep.txt", "link", "odd@0123", "report.pdf"]);
  expect((await strangers()).find(({ key }) => key === "report.pdf")?.sizeBytes).toBe(5);
});
