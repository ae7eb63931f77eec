/**
 * rclone as an independent witness of the pocket Cloud Storage and of the driver: what one of them writes, the other reads, and
 * `rclone check` compares the sums. Needs rclone 1.60 or later in PATH.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Budget } from "../../../src/core/budget.ts";
import { type PocketGcs, startPocketGcs } from "../../../src/pocket/gcs.ts";
import { openGcsStore } from "../../../src/store/gcs/gcs.ts";
import { type Bench, listed, never, put, read, sample } from "../../store/laws/law.ts";

let pocket: PocketGcs;
let bench: Bench;
let directory: string;

beforeAll(async () => {
  pocket = await startPocketGcs();
  pocket.createBucket("witness");
  const options = { bucket: "witness", endpoint: pocket.url, anonymous: true, chunkBytes: 256 * 1024 };
  bench = { store: await openGcsStore({ ...options, buffer: new Budget(8 * 1024 * 1024) }), prefix: "", largeBytes: 0 };
  directory = await mkdtemp(join(tmpdir(), "sealift-rclone-"));
  const endpoint = `${pocket.url}/storage/v1/`;
  const config = [
    "[g]",
    "type = google cloud storage",
    "anonymous = true",
    "bucket_policy_only = true",
    `endpoint = ${endpoint}`,
  ];
  await writeFile(join(directory, "rclone.conf"), config.join("\n"));
});
afterAll(async () => {
  await bench.store.close();
  await pocket.close();
  await rm(directory, { recursive: true });
});

async function rclone(...words: string[]): Promise<string> {
  const flags = ["--config", join(directory, "rclone.conf"), "--retries", "1", "--low-level-retries", "1"];
  const { stdout, stderr } = await promisify(execFile)("rclone", [...flags, ...words], {
    env: { PATH: process.env["PATH"], HOME: directory },
  });
  return stdout + stderr;
}

const NAMES = ["plain", "with space+plus", "deep/er/name", "100%25", "Ünï/😀", "quote'and\"", "hash#q?x=1"];
const LARGE = 3_000_001;

it("reads what the driver wrote", async () => {
  for (const name of NAMES) await put(bench, `driver/${name}`, Buffer.from(name));
  await put(bench, "driver/empty", sample(0));
  await put(bench, "driver/large", sample(LARGE));
  const copy = join(directory, "copy");
  await rclone("copy", "g:witness/driver", copy);
  for (const name of NAMES) expect(await readFile(join(copy, name), "utf8")).toBe(name);
  expect((await readFile(join(copy, "large"))).equals(sample(LARGE))).toBe(true);
  expect(await rclone("check", copy, "g:witness/driver")).toContain("0 differences found");
  await writeFile(join(copy, "plain"), "other");
  await expect(rclone("check", copy, "g:witness/driver")).rejects.toThrow("1 differences found");
}, 120_000);

it("writes what the driver reads", async () => {
  const from = join(directory, "from");
  await mkdir(join(from, "sub"), { recursive: true });
  await writeFile(join(from, "small"), sample(1000));
  await writeFile(join(from, "sub/large"), sample(LARGE));
  await writeFile(join(from, "empty"), "");
  await rclone("copy", from, "g:witness/rclone", "--gcs-storage-class", "STANDARD");
  expect(await listed(bench, "rclone/")).toEqual(["rclone/empty", "rclone/small", "rclone/sub/large"]);
  expect(await read(bench, "rclone/small")).toEqual(sample(1000));
  expect((await read(bench, "rclone/sub/large")).equals(sample(LARGE))).toBe(true);
  expect((await bench.store.head("rclone/small", never))?.attributes.metadata.has("mtime")).toBe(true);
  await rclone("delete", "g:witness/rclone");
  expect(await listed(bench, "rclone/")).toEqual([]);
}, 120_000);
