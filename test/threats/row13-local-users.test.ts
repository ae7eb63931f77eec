/** Row 13. Other users of the worker's host: key files, the state directory, arguments, the environment, temporary files. */
import { spawn } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openLedger } from "../../src/compose/work.ts";
import { secret } from "../../src/config.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { DataKey, keyUri } from "../../src/core/key.ts";
import { ensurePrivate } from "../../src/core/private.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { createLocalKey, openLocalKms } from "../../src/kms/local.ts";
import { startPrivateRedis } from "../../src/pipeline/private.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { perform } from "../cli/stage.ts";
import { World } from "../pipeline/world.ts";
import { errorOf, Harbour, makeKeyRing, rulesOf } from "../transfer/harness.ts";
import { NEVER } from "../transfer/wayward.ts";

const MAIN = new URL("../../dist/src/main.js", import.meta.url).pathname;
const isRoot = process.getuid?.() === 0;
let home = "";
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "sealift-row13-"));
});
afterAll(() => rm(home, { recursive: true, force: true, maxRetries: 5 }));

const codeOf = async (act: () => unknown): Promise<string> => {
  try {
    await act();
    return "accepted";
  } catch (error) {
    return asSealiftError(error).code;
  }
};
const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8);

describe("a key file", () => {
  const open = async (directory: string) => {
    const kms = openLocalKms({ directory });
    try {
      await kms.check(keyUri("local://k"), "unwrap", NEVER);
    } finally {
      await kms.close();
    }
  };

  it("is made for its user alone, and is no key any more once others may read or write it, or its directory", async () => {
    const directory = join(home, "keys");
    await mkdir(directory, { mode: 0o700 });
    await createLocalKey(directory, "k");
    const file = join(directory, "k.key");
    expect(await modeOf(file)).toBe("600");
    expect(await codeOf(() => open(directory))).toBe("accepted");
    for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610]) {
      await chmod(file, mode);
      expect(await codeOf(() => open(directory))).toBe("KEY_FILE");
    }
    await chmod(file, 0o600);
    for (const mode of [0o750, 0o705, 0o770, 0o701]) {
      await chmod(directory, mode);
      expect(await codeOf(() => open(directory))).toBe("KEY_FILE");
    }
    await chmod(directory, 0o700);
    await rm(file);
    await symlink("/dev/zero", file);
    expect(await codeOf(() => open(directory))).toBe("KEY_FILE");
  });

  it("and the file of any secret that a job refers to, the same", async () => {
    const file = join(home, "secret");
    await writeFile(file, "hunter2", { mode: 0o600 });
    expect(secret(`file:${file}`)).toBe("hunter2");
    await chmod(file, 0o644);
    const error = asSealiftError(
      await Promise.resolve()
        .then(() => secret(`file:${file}`))
        .catch((thrown: unknown) => thrown),
    );
    expect([error.code, error.message.includes("hunter2")]).toEqual(["SECRET_MISSING", false]);
  });
});

describe("the state directory", () => {
  it("is made with mode 0700, whatever the umask", async () => {
    const before = process.umask(0);
    try {
      await ensurePrivate(join(home, "made", "below"));
      expect([await modeOf(join(home, "made")), await modeOf(join(home, "made", "below"))]).toEqual(["700", "700"]);
      const opened = await openLedger({ url: `file://${home}/ledger-made` });
      await opened.close();
      expect(await modeOf(join(home, "ledger-made"))).toBe("700");
    } finally {
      process.umask(before);
    }
  });

  it.each([0o750, 0o705, 0o770, 0o777, 0o711])(
    "with mode %o is refused by every verb that would believe what lies in it",
    async (mode) => {
      const state = join(home, `state-${mode}`);
      await mkdir(state);
      await chmod(state, mode);
      const { code, stderr } = await perform(["list"], { env: { SEALIFT_STATE_DIR: state } });
      expect([code, stderr]).toEqual([3, expect.stringMatching(/PREFLIGHT_ACCESS: directory .* chmod 700 it/)]);
      expect(await readdir(state)).toEqual([]);
    },
  );

  it.skipIf(!isRoot)("of another user is refused (seen as root only: it takes a second user)", async () => {
    const state = join(home, "theirs");
    await mkdir(state, { mode: 0o700 });
    await chown(state, 12345, 12345);
    expect(await codeOf(() => ensurePrivate(state))).toBe("PREFLIGHT_ACCESS");
  });

  it("elsewhere: a ledger that everybody may write is no ledger", async () => {
    const ledger = join(home, "ledger-shared");
    await mkdir(ledger);
    for (const [mode, expected] of [
      [0o777, "PREFLIGHT_ACCESS"],
      [0o1777, "PREFLIGHT_ACCESS"],
      [0o775, "accepted"],
    ] as const) {
      await chmod(ledger, mode);
      const act = async () => (await openLedger({ url: `file://${ledger}` })).close();
      expect(await codeOf(act)).toBe(expected);
    }
  });
});

describe("arguments", () => {
  it("with a password are refused without repeating it, by every verb that takes such a flag", async () => {
    for (const [verb, flag, value] of [
      ["run", "--redis", "redis://:hunter2@10.0.0.1:6379"],
      ["worker", "--redis=rediss://user:hunter2@redis.example.com", undefined],
      ["status", "--redis", "redis://10.0.0.1:6379/0?password=hunter2"],
      ["list", "--ledger-endpoint", "https://user:hunter2@s3.example.com"],
    ] as const) {
      const { code, stdout, stderr } = await perform([verb, flag, ...(value === undefined ? [] : [value])]);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/holds a password.*set SEALIFT_(REDIS|LEDGER_ENDPOINT) instead/);
      expect(stderr).not.toContain("hunter2");
    }
  });

  it("without one are not", async () => {
    const { stderr } = await perform([
      "list",
      "--redis",
      "redis://127.0.0.1:1/0",
      "--ledger",
      `file://${home}/ledger-made`,
    ]);
    expect(stderr).not.toContain("holds a password");
  });
});

/** What `ps` shows of a process. */
const argumentsOf = async (pid: number): Promise<string> => String(await readFile(`/proc/${pid}/cmdline`));

describe.skipIf(process.platform !== "linux")(
  "processes (seen through /proc, which Linux alone has)",
  { timeout: 120_000 },
  () => {
    let world: World | undefined;
    afterEach(async () => {
      await world?.close();
      world = undefined;
    });

    it("redis-server is given no secret of ours", async () => {
      // In its place a script that writes down what it was given, and then becomes it.
      const bin = join(home, "bin");
      await mkdir(bin);
      const [seen, path] = [join(home, "seen"), process.env["PATH"] ?? ""];
      const script = `#!/bin/sh\nenv > ${seen}\necho "$@" >> ${seen}\nPATH="${path}" exec redis-server "$@"\n`;
      await writeFile(join(bin, "redis-server"), script, { mode: 0o755 });
      process.env["ROW13_SECRET"] = "hunter2";
      const redis = await startPrivateRedis(join(home, "r"), `${bin}:${path}`);
      try {
        const given = await readFile(seen, "utf8");
        expect(given).toMatch(/^PATH=/m);
        expect(given).toContain("--unixsocketperm 700");
        expect(given).not.toContain("hunter2");
        expect(given).not.toMatch(/^(HOME|AWS_\w+|GOOGLE_\w+|ROW13_SECRET)=/m);
      } finally {
        delete process.env["ROW13_SECRET"];
        await redis.stop();
      }
    });

    it("workers are told where Redis is by the environment, not by an argument, and leave no file of their own behind", async () => {
      const w = (world = await World.open({ objects: 30, options: { verify: "full" } }));
      w.slowUploads(30);
      const scratch = join(home, "tmp");
      await mkdir(scratch);
      const mid = await w.start();
      const [lister] = w.work("list", 1, { env: { TMPDIR: scratch } });
      const [copier] = w.work("copy", 1, { env: { TMPDIR: scratch } });
      await w.until(mid, ({ handled }) => handled > 0);
      for (const child of [lister, copier]) {
        const argv = await argumentsOf(child?.pid as number);
        expect(argv.split("\0").filter(Boolean)).toHaveLength(2);
        expect(argv).not.toContain(w.redis.address);
      }
      await w.finished(mid);
      // A data key touches no disk: whatever a worker writes, it writes into the ledger and the destination.
      expect(await readdir(scratch)).toEqual([]);
    });

    it("a detached run keeps its log and its Redis to its user, and names no secret in its arguments", async () => {
      const state = join(home, "detached");
      const w = (world = await World.open({ objects: 5 }));
      const job = join(home, "job.json");
      await writeFile(job, JSON.stringify(w.job));
      // As an operator with an ordinary umask.
      const script = 'umask 022; exec "$0" "$@"';
      const env = { ...process.env, SEALIFT_STATE_DIR: state, SEALIFT_STALL: "2000", REDIS_URL: undefined };
      const child = spawn("sh", ["-c", script, process.execPath, MAIN, "run", job, "--detach", "--workers", "1"], {
        env,
      });
      let mid = "";
      child.stdout.on("data", (chunk: Buffer) => {
        mid += chunk.toString();
      });
      expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
      mid = mid.trim();
      for (const path of ["", "redis", "logs"]) expect(await modeOf(join(state, path))).toBe("700");
      expect(await modeOf(join(state, "logs", `${mid}.log`))).toBe("600");
      for (let ended = false; !ended; await sleep(200)) {
        ended = (await perform(["status", mid, "--json"], { env: { SEALIFT_STATE_DIR: state } })).stdout.includes(
          '"state":"Completed"',
        );
      }
      // The background process stops its Redis; wait for it, so that nothing is left behind.
      for (let gone = false; !gone; await sleep(100))
        gone = await stat(join(state, "redis", "redis.sock")).then(
          () => false,
          () => true,
        );
    });
  },
);

describe("a data key", () => {
  it("is wiped after every use, however that ends, and can be neither printed nor kept", async () => {
    const ring = await makeKeyRing();
    try {
      const harbour = new Harbour(ring);
      const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV3);
      const plain = await harbour.plain("p", Buffer.from("text"));
      const verified = { verify: true, signal: NEVER };
      await copyObject(listed, harbour.shores(), rulesOf(), verified);
      await copyObject(plain, harbour.shores(), rulesOf(), verified);
      await copyObject(listed, harbour.shores(), rulesOf(), verified);
      harbour.destination.afterPut = () => Promise.reject(new Error("the disk is gone"));
      await errorOf(copyObject(await harbour.sealed("b", Buffer.from("text")), harbour.shores(), rulesOf(), verified));
      expect(harbour.sourceKms.given.length + harbour.destinationKms.given.length).toBeGreaterThanOrEqual(6);
      expect(harbour.leaked()).toBe(0);
      const key = new DataKey(Buffer.alloc(32, 65));
      expect(() => JSON.stringify({ key })).toThrow(/serialised/);
      expect(`${String(key)}${Object.values(key).join()}`).not.toContain("AAAA");
      key.wipe();
      expect(() => key.reveal()).toThrow(/wiped/);
    } finally {
      await ring.cleanup();
    }
  });
});
