/** One object that kills every worker which takes it costs one object; an innocent page is never given up, however often it is given back. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { sumCounts } from "../../src/core/plan.ts";
import { retryMigration } from "../../src/pipeline/control.ts";
import { of } from "../../src/pipeline/keys.ts";
import { type Care, CRASHES_MAX, forgetMarks, withCare } from "../../src/pipeline/poison.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { World } from "./world.ts";

describe("an object that ends its worker", { timeout: 180_000 }, () => {
  let world: World;
  afterEach(() => world.close());

  /** Workers in so many places, each replaced as soon as it dies. */
  function keepWorking(places: number, env: NodeJS.ProcessEnv) {
    const state = { deaths: 0, over: false };
    const start = () => {
      const [child] = world.work("copy", 1, { env });
      child?.once("exit", () => {
        if (state.over) return;
        state.deaths++;
        start();
      });
    };
    for (let place = 0; place < places; place++) start();
    return state;
  }

  it("costs one object: its page and the pages beside it arrive, and it arrives once what killed is gone", async () => {
    world = await World.open({ objects: 60 });
    world.slowUploads(20);
    // The first of its page: every page that the worker takes with it has an innocent in hand when it dies.
    const poison = [...world.seeded.keys()].sort()[20] as string;
    const mid = await world.start();
    world.work("list");
    const working = keepWorking(2, { SEALIFT_FAILPOINT: `object.taken@${poison}` });
    const first = await world.finished(mid);
    working.over = true;
    expect(first.result).toMatchObject({ state: "CompletedWithErrors", listed: 60, codes: { WORKER_CRASH: 1 } });
    // Those that had arrived when a worker died were found there.
    const { failed, rewrapped, resealed, already } = first.totals.counts;
    expect({ failed, arrived: rewrapped + resealed + already }).toEqual({ failed: 1, arrived: 59 });
    expect((await world.farSide()).keys).not.toContain(poison);
    expect(working.deaths).toBeGreaterThanOrEqual(CRASHES_MAX);
    expect(working.deaths).toBeLessThanOrEqual(2 + CRASHES_MAX);
    expect(await world.connection.keys("*poison*")).toEqual([]);

    world.killWorkers();
    world.work("list");
    world.work("copy");
    expect(await retryMigration(world.control, mid, undefined)).toBe(1);
    const second = await world.until(mid, ({ epoch, result }) => epoch === 1 && result !== undefined);
    expect(second.result).toMatchObject({ state: "Completed", listed: 60, codes: {} });
    expect(sumCounts(second.totals.counts)).toBe(60);
    expect((await world.farSide()).keys).toHaveLength(60);
  });

  it("an innocent page that is given back again and again, and now and then loses its worker, is not given up", async () => {
    world = await World.open({ objects: 40, pageObjects: 100 });
    world.slowUploads(500);
    const mid = await world.start();
    world.work("list");
    const uploads = () => world.gcs.counts.get("POST") ?? 0;
    for (let round = 1; round <= 10; round++) {
      const before = uploads();
      const [child] = world.work("copy", 1, { env: { SEALIFT_TRANSFERS: "1" } });
      const ended = once(child as NonNullable<typeof child>, "exit");
      await world.until(mid, () => uploads() > before);
      child?.kill(round % 5 === 0 ? "SIGKILL" : "SIGTERM");
      await ended;
    }
    expect((await world.status(mid)).result).toBeUndefined();
    world.gcs.faults.clear();
    world.work("copy");
    expect((await world.finished(mid)).result).toMatchObject({ state: "Completed", listed: 40, codes: {} });
  });
});

describe("marks on a page in hand", () => {
  const MID = "20260101-000000-abcdef";
  const PAGE = "s0001.1.0";
  let directory: string;
  let server: PrivateRedis;
  let redis: Redis;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "sealift-poison-"));
    server = await startPrivateRedis(directory);
    redis = connectRedis(server.address);
  });
  beforeEach(() => redis.flushall());
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const never = new AbortController().signal;
  const inHand = (slots = new Budget(4), draining = never) => ({ redis, mid: MID, page: PAGE, slots, draining });

  /** A process that takes the page, names these objects as far as it is asked to, and is never heard of again. */
  async function dies(...keys: readonly string[]): Promise<Care> {
    return new Promise((resolve, reject) => {
      const work = async (care: Care) => {
        if (care.alone) for (const key of keys) await care.name(key);
        resolve(care);
        return new Promise<never>(() => undefined);
      };
      withCare(inHand(), work).catch(reject);
    });
  }
  const looks = () => withCare(inHand(), async (care) => care);

  it("peace leaves none, whatever the work came to", async () => {
    for (let i = 0; i < 20; i++) await withCare(inHand(), ({ name }) => name("a"));
    for (let i = 0; i < 20; i++) {
      const broken = withCare(inHand(), ({ name }) => name("a").then(() => Promise.reject(new Error("no"))));
      await expect(broken).rejects.toThrow("no");
    }
    expect(await looks()).toMatchObject({ alone: false, dead: [] });
  });

  it("an object is given up after it alone was in hand at several deaths, and no other with it", async () => {
    for (const alone of [false, false, true, true, true]) {
      expect(await dies("a", "b")).toMatchObject({ alone, dead: [] });
    }
    expect(await looks()).toMatchObject({ alone: true, dead: ["b"] });
    await forgetMarks({ redis }, MID, PAGE);
    expect(await looks()).toMatchObject({ alone: false, dead: [] });
  });

  it("deaths that each had another object in hand give up none; what survives is cleared", async () => {
    await dies();
    await dies();
    for (const key of ["a", "a", "b", "c", "d", "b", "c", "d"]) await dies(key);
    expect((await looks()).dead).toEqual([]);
    await dies("a", "b");
    // b was in hand three times now, a twice and survived since.
    expect((await looks()).dead).toEqual(["b"]);
    await dies("a");
    await dies("a");
    expect((await looks()).dead).toEqual(["b"]);
  });

  it("giving back between deaths neither counts nor forgets", async () => {
    await dies();
    await looks();
    await dies();
    for (let i = 0; i < CRASHES_MAX; i++) {
      expect(await looks()).toMatchObject({ alone: true, dead: [] });
      await dies("a");
    }
    expect((await looks()).dead).toEqual(["a"]);
  });

  it("a suspect page waits until it is alone in its process, and keeps others out", async () => {
    await dies();
    await dies();
    const slots = new Budget(4);
    const order: string[] = [];
    const other = await slots.take(1);
    const suspect = withCare(inHand(slots), async () => {
      order.push("suspect");
      await sleep(50);
      order.push("done");
    });
    await sleep(50);
    const late = slots.take(1).then((leave) => {
      order.push("late");
      leave();
    });
    await sleep(50);
    expect(order).toEqual([]);
    other();
    await Promise.all([suspect, late]);
    expect(order).toEqual(["suspect", "done", "late"]);
  });

  it("a worker that ends while it waits gives the page back, and that is no death", async () => {
    await dies();
    await dies();
    const slots = new Budget(4);
    await slots.take(1);
    const draining = new AbortController();
    const waits = withCare(inHand(slots, draining.signal), async () => "worked");
    await sleep(50);
    draining.abort();
    await expect(waits).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(await redis.hget(of(MID).poison(PAGE), "deaths")).toBe("2");
  });

  it("one that lost its lock and lives names nothing in the next holder's place", async () => {
    await dies();
    await dies();
    let stale: Care | undefined;
    withCare(inHand(), (care) => {
      stale = care;
      return new Promise<never>(() => undefined);
    }).catch(() => undefined);
    while (!stale) await sleep(5);
    await dies("b");
    await stale.name("a");
    for (let i = 0; i < CRASHES_MAX - 1; i++) await dies("b");
    expect((await looks()).dead).toEqual(["b"]);
  });
});
