/** Row 8. Whoever reaches Redis injects jobs, edits payloads and the window, deletes state, and reads. */
import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { closeQueues, finalizeJob, openQueues, pageJob, shardJob } from "../../src/pipeline/job.ts";
import { of, PREFIX } from "../../src/pipeline/keys.ts";
import { runningPrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { perform } from "../cli/stage.ts";
import { World } from "../pipeline/world.ts";

let world: World | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

const OBJECTS = 40;
/** Every object has arrived with its bytes, once, and the ledger's own audit says so. */
async function expectWhole(w: World, mid: string): Promise<void> {
  const { result } = await w.finished(mid);
  expect(result).toMatchObject({ state: "Completed", listed: OBJECTS });
  expect(await w.farSide()).toMatchObject({ changed: [] });
  expect((await w.farSide()).keys).toHaveLength(OBJECTS);
}

describe("payloads", () => {
  const ids = { v: 1, mid: "20260101-000000-abcdef", sid: "s0001", seq: 1, epoch: 0 };

  it("are ids and nothing else, each of them bounded", () => {
    expect(pageJob.safeParse(ids).success).toBe(true);
    const evil: object[] = [
      { ...ids, ledger: "s3://evil/" },
      { ...ids, wrapWith: "gcp-kms://projects/evil" },
      { ...ids, mid: "../../etc" },
      { ...ids, mid: `${ids.mid}/../other` },
      { ...ids, mid: "a".repeat(1_000_000) },
      { ...ids, mid: "20260101-000000-abcdef\n" },
      { ...ids, sid: "s1" },
      { ...ids, sid: "s0001/../../x" },
      { ...ids, seq: -1 },
      { ...ids, seq: 1.5 },
      { ...ids, seq: "1" },
      { ...ids, seq: 2 ** 60 },
      { ...ids, epoch: Number.NaN },
      { ...ids, v: 2 },
      { v: 1 },
      [],
    ];
    for (const data of evil) expect(pageJob.safeParse(data).success).toBe(false);
    const inherited = JSON.parse('{"v":1,"mid":"20260101-000000-abcdef","__proto__":{"sid":"s0001"}}') as object;
    expect(shardJob.safeParse(inherited).success).toBe(false);
    expect(finalizeJob.safeParse({ v: 1, mid: ids.mid, sid: "s0001" }).success).toBe(false);
  });
});

describe("a Redis that is not ours alone", { timeout: 180_000 }, () => {
  it("full of injected, edited and oversized jobs harms no migration", async () => {
    const w = (world = await World.open({ objects: OBJECTS }));
    w.slowUploads(20);
    const mid = await w.start();
    const other = await w.start();
    const queues = openQueues(w.connection);
    try {
      const good = { v: 1, mid, sid: "s0001", seq: 1, epoch: 0 };
      const ghosts: object[] = [
        { ...good, seq: 999_999 },
        { ...good, epoch: 7 },
        { ...good, sid: "s9999" },
        { ...good, mid: "20200101-000000-000000" },
        { ...good, v: "1" },
        { ...good, ledger: "s3://evil/", credentials: { accessKeyId: "evil" } },
        {},
      ];
      for (const data of ghosts) await queues.copy.add("page", data, { attempts: 1 });
      await queues.copy.add("page", { ...good, pad: "x".repeat(4_000_000) }, { attempts: 1, sizeLimit: 8_000_000 });
      await queues.copy.add("eval", { ...good, code: "process.exit()" }, { attempts: 1 });
      await queues.list.add("shard", { v: 1, mid, sid: "s9999" }, { attempts: 1 });
      // Too early, and for a migration that this ledger does not have.
      await queues.control.add("finalize", { v: 1, mid }, { attempts: 1 });
      await queues.control.add("finalize", { v: 1, mid: "20200101-000000-000000" }, { attempts: 1 });
      w.work("list");
      w.work("copy", 2);
      await w.until(mid, ({ totals }) => totals.pages > 1);
      for (const key of await w.connection.keys(`${PREFIX}:copy:p.*`)) {
        if ((await w.connection.type(key)) !== "hash") continue;
        await w.connection.hset(key, { data: JSON.stringify({ ...good, mid: other, seq: 3 }) });
      }
      await expectWhole(w, mid);
      await w.finished(other);
    } finally {
      await closeQueues(queues);
    }
  });

  it("whose window was edited or deleted counts nothing that the ledger does not", async () => {
    const w = (world = await World.open({ objects: OBJECTS }));
    w.slowUploads(20);
    const mid = await w.start();
    const keys = of(mid);
    w.work("list");
    w.work("copy", 2);
    await w.until(mid, ({ handled }) => handled >= 10);
    // "All is done, and everything arrived": the watermark at its end, nothing open, sums to match.
    await w.connection.hset(keys.shard("s0001"), { wm: 4, last: 4 });
    await w.connection.del(keys.open);
    await w.connection.hset(keys.totals, { rewrapped: 1_000_000, listed: 1_000_000, failed: -5 });
    await w.until(mid, ({ totals }) => totals.listed < 1_000_000);
    await w.connection.del(keys.meta, keys.shard("s0001"), keys.ready);
    await w.connection.set(keys.lock, "1", "PX", 500);
    await expectWhole(w, mid);
  });

  it("that names pages as poisonous, and keys that no page holds, spoils no outcome", async () => {
    const w = (world = await World.open({ objects: OBJECTS }));
    w.slowUploads(20);
    const mid = await w.start();
    w.work("list");
    await w.until(mid, ({ totals, listingDone }) => listingDone && totals.pages === 4);
    // As if each page had ended many workers, with a stranger's key in hand.
    for (let seq = 1; seq <= 4; seq++) {
      await w.connection.hset(of(mid).poison(`s0001.${seq}.0`), { current: "no such key", "=nor this": "1" });
      await w.connection.hset(`${PREFIX}:copy:p.${mid}.s0001.${seq}.0`, { ats: "9" });
    }
    w.work("copy", 2);
    await expectWhole(w, mid);
  });

  it("puts nothing onto a terminal that the terminal would obey", async () => {
    const w = (world = await World.open({ objects: 1 }));
    const mid = await w.start();
    await w.connection.hset(of(mid).meta, { trouble: "\u001b]0;owned\u0007\u001b[2J" });
    await w.connection.hset(`${PREFIX}:w:evil\u001b[31m`, { kind: "copy\u009b2J", pid: "1", slots: "1" });
    const env = {
      SEALIFT_LEDGER: `file://${join(w.directory, "ledger")}`,
      SEALIFT_REDIS: w.redis.address,
      SEALIFT_STATE_DIR: join(w.directory, "state"),
    };
    const { stdout, stderr } = await perform(["status", mid], { env });
    expect(stdout).toContain("evil\\u001b[31m");
    // oxlint-disable-next-line no-control-regex -- they are what must not be there
    expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  });

  it("may be one with an ACL user that owns our keys and nothing else", async () => {
    const w = (world = await World.open({ objects: OBJECTS }));
    const port = 20_000 + (process.pid % 20_000);
    const directory = await mkdtemp(join(tmpdir(), "sealift-acl-"));
    const settings = [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--dir",
      directory,
      "--appendonly",
      "yes",
      "--save",
      "",
    ];
    const limits = ["--maxmemory", "64mb", "--maxmemory-policy", "noeviction"];
    const user = [
      "--user",
      "sealift",
      "on",
      ">correct-horse",
      "~{sealift}:*",
      "&*",
      "+@all",
      "-@admin",
      "-@dangerous",
      "+info",
      "+keys",
    ];
    const server = spawn(
      "redis-server",
      [...settings, ...limits, ...user, "--user", "default", "on", "nopass", "~*", "&*", "+@all"],
      {
        stdio: "ignore",
      },
    );
    try {
      const admin = connectRedis(`redis://127.0.0.1:${port}`);
      await admin.ping();
      await admin.set("not ours", "secret");
      const theirs = connectRedis(`redis://sealift:correct-horse@127.0.0.1:${port}`);
      await expect(theirs.get("not ours")).rejects.toThrow(/NOPERM/);
      await expect(theirs.flushall()).rejects.toThrow(/NOPERM/);
      w.connection.disconnect();
      const own = w.redis;
      process.kill(own.pid as number, "SIGKILL");
      w.redis = { ...own, pid: server.pid, address: `redis://sealift:correct-horse@127.0.0.1:${port}` };
      w.connection = theirs;
      const mid = await w.start();
      w.work("list");
      w.work("copy");
      await expectWhole(w, mid);
      expect(w.output.join("")).not.toContain("correct-horse");
      admin.disconnect();
    } finally {
      server.kill("SIGKILL");
      await sleep(100);
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    }
  });
});

describe("the private Redis", () => {
  it("listens on a socket that only its user can reach, and on no port", async () => {
    const state = join(await mkdtemp(join(tmpdir(), "sealift-private-")), "state");
    const redis = await startPrivateRedis(state);
    try {
      const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
      expect(await mode(state)).toBe("700");
      expect(await mode(redis.directory)).toBe("700");
      expect(await mode(redis.address)).toBe("700");
      const connection = connectRedis(redis.address);
      expect(await connection.config("GET", "port")).toEqual(["port", "0"]);
      connection.disconnect();
    } finally {
      await redis.stop();
      await rm(join(state, ".."), { recursive: true, force: true });
    }
  });

  it("is neither started nor found in a directory that others may enter", async () => {
    const state = await mkdtemp(join(tmpdir(), "sealift-shared-"));
    await mkdir(join(state, "redis"), { mode: 0o700 });
    const fake = spawn(
      "redis-server",
      ["--port", "0", "--unixsocket", join(state, "redis", "redis.sock"), "--save", ""],
      {
        stdio: "ignore",
      },
    );
    try {
      for (let found = false; !found; await sleep(20))
        found = await stat(join(state, "redis", "redis.sock")).then(Boolean, () => false);
      expect(await runningPrivateRedis(state)).toBe(join(state, "redis", "redis.sock"));
      for (const [path, mode] of [
        [state, 0o755],
        [join(state, "redis"), 0o770],
      ] as const) {
        await chmod(path, mode);
        for (const act of [runningPrivateRedis, startPrivateRedis]) {
          const error = await act(state).then(() => undefined, asSealiftError);
          expect([error?.code, error?.message]).toEqual(["PREFLIGHT_ACCESS", expect.stringMatching(/chmod 700/)]);
        }
        await chmod(path, 0o700);
      }
    } finally {
      fake.kill("SIGKILL");
      await rm(state, { recursive: true, force: true, maxRetries: 5 });
    }
  });
});
