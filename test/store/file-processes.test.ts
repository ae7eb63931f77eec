/** The file store between processes: create-only is exact, and a killed process leaves nothing half-written in sight. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFileStore } from "../../src/store/file.ts";
import { type Bench, listed, read } from "./laws/law.ts";

const here = join(import.meta.dirname, "../..");
let root: string;
let driver: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sealift-processes-"));
  driver = await compile(root);
});
afterAll(() => rm(root, { recursive: true }));

/** Other processes cannot run TypeScript: the driver is compiled for them once. */
async function compile(out: string): Promise<string> {
  await writeFile(join(out, "package.json"), '{"type":"module"}');
  await symlink(join(here, "node_modules"), join(out, "node_modules"));
  const config = {
    extends: join(here, "tsconfig.json"),
    compilerOptions: {
      noEmit: false,
      outDir: out,
      rootDir: join(here, "src"),
      typeRoots: [join(here, "node_modules/@types")],
    },
    include: [],
    files: [join(here, "src/store/file.ts")],
  };
  await writeFile(join(out, "tsconfig.json"), JSON.stringify(config));
  await promisify(execFile)(join(here, "node_modules/.bin/tsc"), ["-p", join(out, "tsconfig.json")]);
  return join(out, "store/file.js");
}

const CHILD = `
const [, driver, root, name, count] = process.argv;
const { openFileStore } = await import(driver);
const store = await openFileStore({ root, fsync: false });
const signal = new AbortController().signal;
const body = Buffer.alloc(2000, name);
console.log("ready");
await new Promise((go) => process.stdin.once("data", go));
process.stdin.destroy();
for (let i = 0; i < Number(count); i++) {
  const pieces = (async function* () { yield body.subarray(0, 999); yield body.subarray(999); })();
  const options = { sizeBytes: 2000, attributes: { metadata: new Map() }, condition: "absent", signal };
  const key = "race/" + String(i).padStart(6, "0");
  const won = await store.put(key, pieces, options).then(() => true, (error) => {
    if (error.code !== "STORE_EXISTS") throw error;
    return false;
  });
  console.log(key + " " + (won ? name : "-"));
}
`;

const start = (store: string, name: string, count: number) =>
  spawn(process.execPath, ["--input-type=module", "-e", CHILD, driver, store, name, String(count)], {
    stdio: ["pipe", "pipe", "inherit"],
  });

const benchOf = async (path: string): Promise<Bench> => ({
  store: await openFileStore({ root: path }),
  prefix: "",
  largeBytes: 0,
});

describe("other processes", { timeout: 120_000 }, () => {
  it("race to create: each key is won once, and holds the winner's bytes", async () => {
    const store = join(root, "race");
    const children = ["1", "2", "3", "4"].map((name) => start(store, name, 150));
    await Promise.all(children.map((child) => once(child.stdout, "data")));
    const outputs = children.map((child) => text(child.stdout));
    for (const child of children) child.stdin.write("go");
    const winners = new Map<string, string>();
    for (const output of outputs) {
      for (const line of (await output).trim().split("\n")) {
        const [key = "", name = ""] = line.split(" ");
        if (name === "-") continue;
        expect(winners.has(key), `${key} was won twice`).toBe(false);
        winners.set(key, name);
      }
    }
    expect(winners.size).toBe(150);
    const shared = await benchOf(store);
    for (const [key, name] of winners) expect(await read(shared, key)).toEqual(Buffer.alloc(2000, name));
  });

  it("may be killed: what was acknowledged is whole, and nothing else is visible", async () => {
    const store = join(root, "killed");
    const child = start(store, "7", 100_000);
    child.stdin.write("go");
    let said = "";
    for await (const chunk of child.stdout) {
      said += String(chunk);
      if (said.split("\n").length > 40) child.kill("SIGKILL");
    }
    const acknowledged = said
      .split("\n")
      .filter((line) => line.endsWith(" 7"))
      .map((line) => line.slice(0, -2));
    expect(acknowledged.length).toBeGreaterThan(30);
    const shared = await benchOf(store);
    const keys = await listed(shared, "");
    expect(keys.slice(0, acknowledged.length)).toEqual(acknowledged);
    expect(keys.length).toBeLessThanOrEqual(acknowledged.length + 1);
    for (const key of keys) expect(await read(shared, key)).toEqual(Buffer.alloc(2000, "7"));
  });
});
