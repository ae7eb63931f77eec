/** The window's scripts on a real Redis: a page counts once, whoever commits it, in whatever order and however often. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PageHeader } from "../../src/ledger/ledger.ts";
import { noTotals } from "../../src/ledger/rebuild.ts";
import { type PrivateRedis, redisDirectory, startPrivateRedis } from "../../src/pipeline/private.ts";
import { BULLMQ_MAJOR, checkBullmq, checkRedis, connectRedis } from "../../src/pipeline/redis.ts";
import { PREFIX } from "../../src/pipeline/keys.ts";
import { Window } from "../../src/pipeline/window.ts";
import { beat, windowPages, workerStatus } from "../../src/pipeline/workers.ts";
import { doneOf, emptyLedger, MID, writePages } from "../ledger/story.ts";

let directory: string;
let server: PrivateRedis;
let redis: Redis;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealift-window-"));
  server = await startPrivateRedis(directory);
  redis = connectRedis(server.address);
});

afterAll(async () => {
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const SHARD = { sid: "s0001" };
const EMPTY = {
  next: 1,
  watermark: 0,
  outOfOrder: [],
  last: undefined,
  cursor: undefined,
  halves: [],
  big: [],
  totals: noTotals(),
  later: new Map(),
};

const headerOf = (seq: number): PageHeader => ({
  v: 1,
  mid: MID,
  sid: SHARD.sid,
  seq,
  end: String.fromCharCode(96 + seq),
  count: 5,
  bytes: 50,
  isLast: false,
});

async function fresh(): Promise<Window> {
  await redis.flushall();
  const window = new Window(redis, MID);
  await window.install({
    shards: [{ shard: SHARD, summary: { ...EMPTY, totals: noTotals() } }],
    state: "running",
    epoch: 0,
    retry: [],
  });
  return window;
}

describe("window", () => {
  it("counts each page once for any order of any number of commits, and ends exactly when the last page is in", async () => {
    const { ledger } = await emptyLedger();
    const keys = Array.from({ length: 12 }, (_, i) => [
      `k${String(i).padStart(2, "0")}a`,
      `k${String(i).padStart(2, "0")}b`,
    ]);
    const pages = await writePages(ledger, SHARD, keys);
    const orders = fc.array(fc.integer({ min: 0, max: 11 }), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(orders, async (order) => {
        const window = await fresh();
        for (const { header } of pages) await window.emit(header);
        const seen = new Set<number>();
        const commits = [...order, ...pages.keys()];
        const endings: number[] = [];
        for (const index of commits) {
          const page = pages[index] as (typeof pages)[0];
          const answer = await window.commit(doneOf(page), undefined);
          expect(answer > 0).toBe(!seen.has(index));
          seen.add(index);
          if (answer === 2) endings.push(seen.size);
        }
        expect(endings).toEqual([12]);
        const totals = await window.totals();
        expect(totals).toMatchObject({ listed: 24, pages: 12, committed: 12 });
        expect(totals.counts.rewrapped).toBe(24);
        expect(await window.shard("s0001")).toMatchObject({ watermark: 12, next: 13, last: 12 });
        expect(await window.openShards()).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  it("emits in order only, and repeats change nothing", async () => {
    const window = await fresh();
    expect(await window.emit(headerOf(1))).toBe(1);
    expect(await window.emit(headerOf(1))).toBe(0);
    await expect(window.emit(headerOf(3))).rejects.toMatchObject({ code: "STATE_LOST" });
    expect(await window.totals()).toMatchObject({ listed: 5, listedBytes: 50, pages: 1 });
    expect(await window.outstanding()).toBe(1);
  });

  it("never creates state: after a loss every change is STATE_LOST", async () => {
    const { ledger } = await emptyLedger();
    const [page] = await writePages(ledger, SHARD, [["a"]]);
    const window = await fresh();
    await redis.flushall();
    await expect(window.emit(headerOf(1))).rejects.toMatchObject({ code: "STATE_LOST" });
    await expect(window.commit(doneOf(page as NonNullable<typeof page>), undefined)).rejects.toMatchObject({
      code: "STATE_LOST",
    });
    expect(await redis.dbsize()).toBe(0);
  });

  it("a page that was never emitted is not counted", async () => {
    const { ledger } = await emptyLedger();
    const [page] = await writePages(ledger, SHARD, [["a"]]);
    const window = await fresh();
    await expect(window.commit(doneOf(page as NonNullable<typeof page>), undefined)).rejects.toMatchObject({
      code: "STATE_LOST",
    });
  });

  it("a retry counts the difference, once", async () => {
    const { ledger } = await emptyLedger();
    const [page] = await writePages(ledger, SHARD, [["a", "b", "c"]]);
    if (!page) throw new Error("no page");
    const first = doneOf(page, { a: "failed", b: "failed" });
    const second = doneOf(page, { b: "failed" }, 1);
    const totals = { ...noTotals(), counts: first.counts, listed: 3 };
    const window = new Window(redis, MID);
    const summary = { ...EMPTY, next: 2, watermark: 1, last: 1, totals };
    await window.install({ shards: [{ shard: SHARD, summary }], state: "running", epoch: 1, retry: ["s0001.1"] });
    expect(await window.commit(second, first)).toBe(2);
    expect(await window.commit(second, first)).toBe(0);
    expect((await window.totals()).counts).toMatchObject({ failed: 1, rewrapped: 2 });
  });
});

describe("the private Redis", () => {
  it("keeps its socket and files to its owner, and passes our own preconditions", async () => {
    const { stat } = await import("node:fs/promises");
    expect((await stat(redisDirectory(directory))).mode & 0o077).toBe(0);
    expect((await stat(server.address)).mode & 0o077).toBe(0);
    await expect(checkRedis(redis, false)).resolves.toBeUndefined();
  });

  it("workers of another BullMQ major are refused before they meet our jobs", async () => {
    const lock = JSON.parse(await readFile(new URL("../../package-lock.json", import.meta.url), "utf8"));
    expect(lock.packages["node_modules/bullmq"].version.split(".")[0]).toBe(BULLMQ_MAJOR);
    await redis.hset(`${PREFIX}:copy:meta`, "version", `bullmq:${BULLMQ_MAJOR}.0.1`);
    await expect(checkBullmq(redis)).resolves.toBeUndefined();
    await redis.hset(`${PREFIX}:copy:meta`, "version", "bullmq:99.0.0");
    await expect(checkBullmq(redis)).rejects.toMatchObject({ code: "PREFLIGHT_REDIS" });
    await redis.del(`${PREFIX}:copy:meta`);
  });

  it("the queue's window follows the slots of the living workers, within its bounds", async () => {
    await redis.flushall();
    const worker = { name: "h:1:copy", kind: "copy", pid: 1, slots: 4, rssBytes: 1, lagMs: 0, at: "now" };
    expect(await windowPages(redis, 0)).toBe(64);
    for (let i = 0; i < 40; i++) await beat(redis, { ...worker, name: `h:${i}:copy` }, 60_000);
    expect(await windowPages(redis, 1000)).toBe(64);
    expect(await windowPages(redis, 6000)).toBe(640);
    expect((await workerStatus(redis)).length).toBe(40);
    for (let i = 0; i < 40; i++) await beat(redis, { ...worker, name: `h:${i}:copy`, slots: 1000 }, 60_000);
    expect(await windowPages(redis, 60_000)).toBe(5000);
  });

  const settings: [string, string, string, RegExp][] = [
    ["maxmemory-policy", "allkeys-lru", "noeviction", /noeviction/],
    ["maxmemory", "0", "512mb", /maxmemory/],
    ["appendonly", "no", "yes", /appendonly yes/],
  ];
  for (const [name, bad, good, said] of settings) {
    it(`a Redis with ${name} ${bad} is refused, with the setting to change`, async () => {
      await redis.config("SET", name, bad);
      try {
        await expect(checkRedis(redis, false)).rejects.toMatchObject({
          code: "PREFLIGHT_REDIS",
          message: expect.stringMatching(said),
        });
      } finally {
        await redis.config("SET", name, good);
      }
    });
  }
});
