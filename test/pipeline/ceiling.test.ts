/**
 * A ceiling shared through a real Redis. What is counted is what Redis itself saw: every permit that is used writes down Redis's own
 * time, so that nothing here depends on how fast this machine is.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setMaxListeners } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../../src/core/pace.ts";
import { Limiter } from "../../src/kms/limiter/limiter.ts";
import { RedisCeiling } from "../../src/pipeline/ceiling.ts";
import { PACE } from "../../src/pipeline/keys.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { beat, workerStatus } from "../../src/pipeline/workers.ts";

const RESOURCE = "aws-kms/111122223333/eu-central-1";
const clock: Clock = {
  now: () => performance.now(),
  after: (ms, act) => {
    const timer = setTimeout(act, Math.ceil(ms));
    return () => clearTimeout(timer);
  },
};

let directory: string;
let server: PrivateRedis;
let redis: Redis;
const connections: Redis[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealift-ceiling-"));
  server = await startPrivateRedis(directory);
  redis = connectRedis(server.address);
});
beforeEach(async () => void (await redis.flushall()));
afterAll(async () => {
  for (const connection of [redis, ...connections]) connection.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

async function connect(): Promise<Redis> {
  const connection = connectRedis(server.address);
  connections.push(connection);
  await connection.ping();
  return connection;
}

/** One call: writes down who made it, and when by Redis's clock. */
const NOTE = `
local time = redis.call('TIME')
redis.call('RPUSH', 'calls', ARGV[1] .. ' ' .. string.format('%.0f', time[1] * 1000000 + time[2]))
return 1
`;

interface Note {
  readonly who: string;
  readonly us: number;
}

async function notes(): Promise<Note[]> {
  return (await redis.lrange("calls", 0, -1)).map((line) => {
    const [who = "", us] = line.split(" ");
    return { who, us: Number(us) };
  });
}

function mostInASecond(all: readonly Note[]): number {
  let [most, first] = [0, 0];
  all.forEach(({ us }, last) => {
    while ((all[first] as Note).us <= us - 1_000_000) first++;
    most = Math.max(most, last - first + 1);
  });
  return most;
}

const counts = (all: readonly Note[]): number[] => {
  const by = new Map<string, number>();
  for (const { who } of all) by.set(who, (by.get(who) ?? 0) + 1);
  return [...by.values()];
};

/** Permits die 150 ms after their turn; a second more of them may be late by what a round trip to Redis varies. */
const LATE = 1.3;

describe("a ceiling in Redis", () => {
  it("of 400 a second over four connections: never passed by more than late permits, and evenly shared", async () => {
    const perSecond = 400;
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const lanes: Promise<unknown>[] = [];
    for (const who of ["a", "b", "c", "d"]) {
      const connection = await connect();
      const limiter = new Limiter(RESOURCE, clock);
      limiter.hold(perSecond, new RedisCeiling(connection));
      const lane = async () => {
        for (;;) await limiter.run(() => connection.eval(NOTE, 0, who), stop.signal);
      };
      for (let i = 0; i < 16; i++) lanes.push(lane().catch(() => undefined));
    }
    await sleep(8000);
    stop.abort();
    await Promise.all(lanes);
    const all = await notes();
    const seconds = ((all.at(-1) as Note).us - (all[0] as Note).us) / 1e6;
    const shares = counts(all);
    const most = mostInASecond(all);
    process.stdout.write(
      `400/s over 4 connections: mean ${(all.length / seconds).toFixed(0)}, most in a second ${most}, shares ${shares.join(" ")}\n`,
    );
    expect(all.length / seconds).toBeLessThanOrEqual(perSecond * 1.02);
    expect(all.length / seconds).toBeGreaterThan(perSecond * 0.3);
    expect(most).toBeLessThanOrEqual(perSecond * LATE);
    expect(shares.length).toBe(4);
    for (const share of shares) expect(share).toBeGreaterThan((all.length / 4) * 0.75);
    expect(await redis.memory("USAGE", PACE + RESOURCE)).toBeLessThan(300);
    expect(await redis.keys(`${PACE}*`)).toHaveLength(1);
    expect(await redis.pttl(PACE + RESOURCE)).toBeGreaterThan(0);
  });

  it("turns never overlap, whoever asks at once, and add up to the rate", async () => {
    const ceilings = await Promise.all(
      [connect(), connect(), connect()].map(async (made) => new RedisCeiling(await made)),
    );
    const leases = await Promise.all(
      Array.from({ length: 30 }, (_, i) => (ceilings[i % 3] as RedisCeiling).lease(RESOURCE, 1000, 20)),
    );
    const waits = leases.map(({ waitMs }) => waitMs).sort((a, b) => a - b);
    expect(leases.every(({ granted }) => granted === 20)).toBe(true);
    // 30 turns of 20 ms one behind the other, less what passed while they were asked for.
    expect(waits.at(-1)).toBeLessThanOrEqual(29 * 20);
    const free = Number(await redis.get(PACE + RESOURCE));
    const [s = 0, us = 0] = (await redis.time()).map(Number);
    expect(free - (s * 1e6 + us)).toBeLessThanOrEqual(600_000);
    expect(new Set(waits.map((wait) => Math.round(wait))).size).toBeGreaterThan(20);
  });

  it("gives nothing away further ahead than two seconds, and says when to come again", async () => {
    const ceiling = new RedisCeiling(await connect());
    const leases = [];
    for (let i = 0; i < 5; i++) leases.push(await ceiling.lease(RESOURCE, 10, 10));
    expect(leases.map(({ granted }) => granted)).toEqual([10, 10, 10, 0, 0]);
    expect(leases[3]?.waitMs).toBeGreaterThan(0);
    expect(leases[3]?.waitMs).toBeLessThanOrEqual(1000);
  });

  it("outlives a clock that was set back, and a value that is no number", async () => {
    const ceiling = new RedisCeiling(await connect());
    const [s = 0] = (await redis.time()).map(Number);
    for (const wrong of [String((s + 86_400) * 1e6), "nonsense", "-1"]) {
      await redis.set(PACE + RESOURCE, wrong);
      expect(await ceiling.lease(RESOURCE, 100, 5)).toEqual({ granted: 5, waitMs: 0 });
    }
  });

  it("resources do not share", async () => {
    const ceiling = new RedisCeiling(await connect());
    await ceiling.lease("aws-kms/1/x", 10, 10);
    expect(await ceiling.lease("aws-kms/2/x", 10, 10)).toEqual({ granted: 10, waitMs: 0 });
  });
});

describe("without Redis", () => {
  const worker = (name: string, kind = "copy") =>
    beat(redis, { name, kind, pid: 1, slots: 4, rssBytes: 1, lagMs: 0, at: "" }, 60_000);
  /** Leases until the rate shows: how many permits belong to one second. */
  const alonePerSecond = async (ceiling: RedisCeiling, perSecond: number) => {
    await ceiling.lease("r", perSecond, 10);
    const { waitMs } = await ceiling.lease("r", perSecond, 10);
    return (10 * 1000) / waitMs;
  };

  it("a process takes its part, as of the workers last seen", async () => {
    for (const name of ["a", "b", "c", "d", "e"]) await worker(name);
    await worker("l", "list");
    const now = () => 0;
    const connection = await connect();
    const ceiling = new RedisCeiling(connection, now);
    expect((await ceiling.lease("r", 1000, 10)).granted).toBe(10);
    await sleep(300);
    connection.disconnect();
    expect(await alonePerSecond(ceiling, 1000)).toBeCloseTo(200, 5);
  });

  it("a Redis that stands still is not waited for, and asked again when it moves", { timeout: 60_000 }, async () => {
    const connection = await connect();
    const ceiling = new RedisCeiling(connection);
    process.kill(server.pid as number, "SIGSTOP");
    try {
      for (let i = 0; i < 20; i++) expect((await ceiling.lease("r", 1000, 10)).granted).toBe(10);
    } finally {
      process.kill(server.pid as number, "SIGCONT");
    }
    for (let i = 0; i < 100 && (await redis.exists(`${PACE}s`)) === 0; i++) {
      await ceiling.lease("s", 1000, 10);
      await sleep(50);
    }
    expect(await redis.exists(`${PACE}s`)).toBe(1);
  });
});

describe("worker processes", () => {
  it("four of them share one ceiling", { timeout: 120_000 }, async () => {
    const entry = new URL("../../dist/src/kms/limiter/limiter.js", import.meta.url).pathname;
    const ceiling = new URL("../../dist/src/pipeline/ceiling.js", import.meta.url).pathname;
    const connection = new URL("../../dist/src/pipeline/redis.js", import.meta.url).pathname;
    const program = `
      import { Limiter } from ${JSON.stringify(entry)};
      import { RedisCeiling } from ${JSON.stringify(ceiling)};
      import { connectRedis } from ${JSON.stringify(connection)};
      const redis = connectRedis(${JSON.stringify(server.address)});
      const after = (ms, act) => { const timer = setTimeout(act, Math.ceil(ms)); return () => clearTimeout(timer); };
      const limiter = new Limiter("r", { now: () => performance.now(), after });
      limiter.hold(200, new RedisCeiling(redis));
      const { signal } = new AbortController();
      const lane = async () => { for (;;) await limiter.run(() => redis.eval(${JSON.stringify(NOTE)}, 0, String(process.pid)), signal); };
      await redis.ping();
      for (let i = 0; i < 10; i++) void lane();
    `;
    const children: ChildProcess[] = [];
    try {
      for (let i = 0; i < 4; i++) {
        const args = ["--input-type=module", "--no-warnings", "-e", program];
        children.push(spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] }));
      }
      // Until all of them have been at it for a while.
      for (let i = 0; i < 600; i++) {
        const shares = counts(await notes());
        if (shares.length === 4 && Math.min(...shares) >= 200) break;
        await sleep(100);
      }
    } finally {
      for (const child of children) child.kill("SIGKILL");
    }
    const all = await notes();
    const most = mostInASecond(all);
    process.stdout.write(`200/s over 4 processes: most in a second ${most}, shares ${counts(all).join(" ")}\n`);
    expect(counts(all)).toHaveLength(4);
    expect(most).toBeLessThanOrEqual(200 * LATE);
    // From the moment the last of them began.
    const since = Math.max(
      ...[...new Set(all.map(({ who }) => who))].map((who) => all.find((one) => one.who === who)?.us ?? 0),
    );
    const together = all.filter(({ us }) => us > since);
    for (const share of counts(together)) expect(share).toBeGreaterThan((together.length / 4) * 0.6);
  });
});

describe("a heartbeat", () => {
  it("carries the paces of the busiest resources, and what is no pace is left out", async () => {
    const pace = { resource: RESOURCE, requests: 12, throttled: 3, rate: 50, achieved: 12, waitMs: 700 };
    const many = Array.from({ length: 20 }, (_, i) => ({ ...pace, resource: `r/${i}`, requests: i }));
    const status = { name: "w", kind: "copy", pid: 1, slots: 4, rssBytes: 1, lagMs: 0, at: "now" };
    await beat(redis, { ...status, paces: [pace, ...many] }, 60_000);
    const [found] = await workerStatus(redis);
    expect(found?.paces).toHaveLength(8);
    expect(found?.paces).toContainEqual(pace);
    for (const text of ["nonsense", "{}", '[null,1,{"resource":"a b"},{"resource":7}]', "[[]]"]) {
      await redis.hset("{sealift}:w:w", "paces", text);
      expect((await workerStatus(redis))[0]?.paces).toEqual([]);
    }
  });
});
