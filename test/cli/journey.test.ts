/** The built program as a newcomer uses it: a job file, plan, run, status, report, verify, cat; and the ways in which it says no. */
import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { keyUri } from "../../src/core/key.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { openFileStore } from "../../src/store/file.ts";

const MAIN = new URL("../../dist/src/main.js", import.meta.url).pathname;
const signal = new AbortController().signal;
const plaintext = Buffer.from("the quick brown fox, in the clear\n");

let directory: string;
let job: string;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function sealift(args: readonly string[], env: Record<string, string | undefined> = {}): Promise<Ended> {
  const all = {
    ...process.env,
    SEALIFT_STATE_DIR: join(directory, "state"),
    REDIS_URL: undefined,
    SEALIFT_STALL: "3000",
    ...env,
  };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [MAIN, ...args],
      { env: all, maxBuffer: 1e8, timeout: 100_000 },
      (error, stdout, stderr) => {
        resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
      },
    );
  });
}

interface Begun {
  readonly id: string;
  /** What it has said on stderr so far. */
  readonly logs: readonly string[];
  readonly ended: Promise<{ readonly code: number | null; readonly logs: readonly string[] }>;
}

/** A run that has printed its id. One that ends before says why; one that does not end is killed, and says where it stood. */
async function begun(child: ChildProcessByStdio<null, Readable, Readable>): Promise<Begun> {
  const logs: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => logs.push(chunk.toString()));
  const patience = setTimeout(() => child.kill("SIGKILL"), 90_000);
  const ended = new Promise<{ code: number | null; logs: readonly string[] }>((resolve) =>
    child.once("close", (code) => {
      clearTimeout(patience);
      resolve({ code, logs });
    }),
  );
  const id = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString().split("\n")[0] ?? ""));
    void ended.then(({ code }) => reject(new Error(`it ended with ${code} before its id: ${logs.join("")}`)));
  });
  return { id, logs, ended };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function seed(root: string, keys: string): Promise<void> {
  const store = await openFileStore({ root });
  const kms = openLocalKms({ directory: keys });
  const uri = keyUri("local://old");
  for (let i = 0; i < 30; i++) {
    const { seal, dataKey } = s3ecV2.fresh(new Map([["n", String(i)]]), uri);
    const whole = withWrapped(seal, await kms.wrap(uri, dataKey, seal.context, signal));
    const chunks: Uint8Array[] = [];
    for await (const chunk of s3ecV2.seal(once(plaintext), whole, dataKey)) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const attributes = { metadata: s3ecV2.write(whole).metadata };
    await store.put(`sealed/${i}`, once(body), { sizeBytes: body.length, attributes, condition: "absent", signal });
  }
  const bare = { attributes: { metadata: new Map() }, condition: "absent" as const, signal };
  await store.put("bare", once(plaintext), { sizeBytes: plaintext.length, ...bare });
  // Of a format that is recognised and not carried: refused, never guessed.
  const foreign = new Map([["client-side-encryption-key", "AAAA"]]);
  await store.put("old-format", once(Buffer.alloc(32)), { sizeBytes: 32, ...bare, attributes: { metadata: foreign } });
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealift-cli-"));
  const keys = join(directory, "keys");
  for (const name of ["old", "new"]) await sealift(["init", "--key", `local://${name}`, "--directory", keys]);
  await mkdir(join(directory, "near"));
  await seed(join(directory, "near"), keys);
  job = join(directory, "job.yaml");
  await writeFile(
    job,
    [
      "apiVersion: sealift/v1",
      "kind: Migration",
      "name: journey",
      `source: { url: "file://${directory}/near" }`,
      `destination: { url: "file://${directory}/far" }`,
      `keys: { wrapWith: "local://new", allow: ["local://old"], localDirectory: "${keys}" }`,
      "options: { pageObjects: 10, verify: full }",
    ].join("\n"),
  );
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe("a journey", { timeout: 120_000 }, () => {
  let mid = "";

  it("plan counts classes and moves nothing; what would be refused changes its exit code", async () => {
    const { code, stdout } = await sealift(["plan", job, "--json"]);
    const { objects, classes, whole } = JSON.parse(stdout);
    expect({ code, objects, whole }).toEqual({ code: 6, objects: 32, whole: true });
    const seen = classes.map(
      ({ action, envelope, wrap, objects: n }: Record<string, string>) => `${action} ${envelope} ${wrap} ${n}`,
    );
    expect(seen.sort()).toEqual(["refuse unknown  1", "reseal plain  1", "rewrap s3ec-v2 local-kms+context 30"]);
    const text = await sealift(["plan", job]);
    expect(text.stdout).toContain("local://old");
    expect(text.stdout).toContain("SEAL_UNSUPPORTED");
    expect(text.stdout).toMatch(/^ +30 x no key commitment/m);
    await expect(readFile(join(directory, "far", "bare@head"))).rejects.toThrow();
  });

  it("run prints the id first, moves everything it can, and says with its exit code that something did not arrive", async () => {
    const { code, stdout } = await sealift(["run", job]);
    mid = stdout.split("\n")[0] ?? "";
    expect(mid).toMatch(/^\d{8}-\d{6}-[0-9a-f]{6}$/);
    expect(stdout).toContain("32 listed = 30 rewrapped, 1 resealed, 1 refused");
    expect(code).toBe(6);
  });

  it("leaves no Redis running behind", async () => {
    const { stdout } = await sealift(["status", mid, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ id: mid, state: "CompletedWithSkipped", handled: 32, workers: [] });
    await expect(readFile(join(directory, "state", "redis", "redis.sock"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("list and report know it without Redis", async () => {
    expect((await sealift(["list"])).stdout).toContain(mid);
    const report = await sealift(["report", mid]);
    expect(report.stdout).toContain("SEAL_UNSUPPORTED");
    expect(report.stdout).toMatch(/^ +30 x no key commitment/m);
    const problems = (await sealift(["report", mid, "--problems"])).stdout.trim().split("\n");
    expect(problems.map((line) => JSON.parse(line).key)).toEqual(["old-format"]);
  });

  it("a second run finds everything there", async () => {
    const { stdout } = await sealift(["run", job, "--json"]);
    const { totals, state } = JSON.parse(stdout.trim());
    expect(state).toBe("CompletedWithSkipped");
    expect(totals.counts).toMatchObject({ already: 31, refused: 1, rewrapped: 0 });
    expect(totals.advisories).toEqual({ uncommitted: 30 });
  });

  it("verify --full opens both sides; a changed byte at the destination is found", async () => {
    const first = await sealift(["verify", job, "--full", "--json"]);
    expect(JSON.parse(first.stdout)).toMatchObject({ same: 31, missing: 1, different: 0, opened: 31 });
    const head = JSON.parse(await readFile(join(directory, "far", "sealed", "7@head"), "utf8"));
    const data = Object.values(head).find(
      (value): value is string => typeof value === "string" && value.startsWith("7@"),
    ) as string;
    const path = join(directory, "far", "sealed", data);
    const bytes = await readFile(path);
    bytes[5] = (bytes[5] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const second = await sealift(["verify", job, "--full", "--json"]);
    expect(second.code).toBeGreaterThanOrEqual(6);
    expect(JSON.parse(second.stdout)).toMatchObject({ same: 30 });
  });

  it("cat opens an object on the far side with the new key", async () => {
    const { stdout, code } = await sealift(["cat", `file://${directory}/far`, "--object", "sealed/3", "--job", job]);
    expect(code).toBe(0);
    expect(createHash("sha256").update(stdout).digest("hex")).toBe(
      createHash("sha256").update(plaintext).digest("hex"),
    );
  });

  it("resume --failed has nothing to do, and with the code of the refusal goes over it again", async () => {
    const nothing = await sealift(["resume", mid, "--failed"]);
    expect(nothing.stderr).toContain("nothing failed");
    const again = await sealift(["resume", mid, "--failed", "--code", "SEAL_UNSUPPORTED", "--json"]);
    expect(JSON.parse(again.stdout.trim())).toMatchObject({ epoch: 1, state: "CompletedWithSkipped" });
    expect(again.code).toBe(6);
  });

  it("--detach returns at once and the work goes on", async () => {
    await rm(join(directory, "far"), { recursive: true, force: true });
    const { stdout, code } = await sealift(["run", job, "--detach"]);
    expect(code).toBe(0);
    const id = stdout.trim();
    for (let i = 0; i < 100; i++) {
      const status = JSON.parse((await sealift(["status", id, "--json"])).stdout);
      if (status.result) return expect(status.totals.counts.rewrapped).toBe(30);
      await sleep(300);
    }
    throw new Error(`never ended: ${await readFile(join(directory, "state", "logs", `${id}.log`), "utf8")}`);
  });

  it("Ctrl-C ends with 130 and the migration goes on later", async () => {
    await rm(join(directory, "far"), { recursive: true, force: true });
    const env = {
      ...process.env,
      SEALIFT_STATE_DIR: join(directory, "state"),
      REDIS_URL: undefined,
      SEALIFT_STALL: "3000",
    };
    const child = spawn(process.execPath, [MAIN, "run", job, "--workers", "1"], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { id, ended } = await begun(child);
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ code: 130 });
    const { stdout } = await sealift(["resume", id, "--json"]);
    expect(JSON.parse(stdout.trim())).toMatchObject({ id, handled: 32 });
  });
});

describe("an orphan", { timeout: 60_000 }, () => {
  it("worker ends when the run that started it was killed, and resume finishes the work", async () => {
    await rm(join(directory, "far"), { recursive: true, force: true });
    const env = {
      ...process.env,
      SEALIFT_STATE_DIR: join(directory, "state"),
      REDIS_URL: undefined,
      SEALIFT_STALL: "3000",
    };
    const child = spawn(process.execPath, [MAIN, "run", job, "--workers", "1"], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { id, logs } = await begun(child);
    while (!logs.join("").includes("ready")) await sleep(50);
    child.kill("SIGKILL");
    while ((logs.join("").match(/is gone: ending/g) ?? []).length < 2) await sleep(100);
    const { stdout } = await sealift(["resume", id, "--workers", "1", "--json"]);
    expect(JSON.parse(stdout.trim())).toMatchObject({ id, handled: 32 });
    await expect(readFile(join(directory, "state", "redis", "redis.sock"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("saying no", { timeout: 60_000 }, () => {
  const emptyPath = () => ({ PATH: dirname(process.execPath) });

  it("without redis-server: three ways to get one, and exit 3", async () => {
    const state = await mkdtemp(join(tmpdir(), "sealift-noredis-"));
    const hidden = join(state, "bin");
    await mkdir(hidden);
    const { code, stderr } = await sealift(["run", job], { ...emptyPath(), PATH: hidden, SEALIFT_STATE_DIR: state });
    await rm(state, { recursive: true, force: true });
    expect(code).toBe(3);
    for (const way of ["apt-get install redis-server", "docker compose", "--redis redis://"])
      expect(stderr).toContain(way);
  });

  it("an unknown migration, a missing job file and a nonsense flag: a code, and exit 2", async () => {
    const answers = await Promise.all([
      sealift(["status", "nope"]),
      sealift(["plan", "/no/such.yaml"]),
      sealift(["run", job, "--wokers", "2"]),
    ]);
    expect(answers.map(({ code }) => code)).toEqual([2, 2, 2]);
    expect(answers[0]?.stderr).toContain("JOB_UNKNOWN");
    expect(answers[1]?.stderr).toContain("JOB_INVALID");
    expect(answers[2]?.stderr).toContain("did you mean --workers");
  });

  it("a destination key that is not there stops the run before anything is written", async () => {
    const bad = join(directory, "bad.yaml");
    await writeFile(
      bad,
      (await readFile(job, "utf8")).replace("local://new", "local://absent").replace("/far", "/nowhere"),
    );
    const { code, stderr } = await sealift(["run", bad]);
    expect(stderr).toContain("KEY_FILE");
    expect(code).toBe(2);
    await expect(readFile(join(directory, "nowhere", "bare@head"))).rejects.toThrow();
  });
});
