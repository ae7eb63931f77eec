/**
 * What chaos found, one by one: a window that lies, jobs that were forged or put aside, locks that nobody holds, operators who were
 * not heard. On a real Redis and real queues, one round of the sweeper at a time; nobody copies but this test.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Job } from "bullmq";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { OwnCeiling } from "../../src/core/pace.ts";
import { type Ledger, type Page } from "../../src/ledger/ledger.ts";
import { type OpenWork, type PipelineContext, Works } from "../../src/pipeline/context.ts";
import { copyPageJob } from "../../src/pipeline/copier.ts";
import { finalizeMigration } from "../../src/pipeline/finalize.ts";
import { closeQueues, openQueues, pageJobId, type Queues, shardJobId } from "../../src/pipeline/job.ts";
import { ACTIVE, KNOWN, of, SWEEP_LOCK } from "../../src/pipeline/keys.ts";
import { listTurn } from "../../src/pipeline/lister.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { rebuild } from "../../src/pipeline/rebuild.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { sweep } from "../../src/pipeline/sweeper.ts";
import { Window } from "../../src/pipeline/window.ts";
import type { MemoryStore } from "../../src/store/memory.ts";
import { doneOf, emptyLedger, MID, signal, writePages } from "../ledger/story.ts";

const SID = "s0001";
const HOUR_MS = 3_600_000;
const keys = of(MID);

let directory: string;
let server: PrivateRedis;
let redis: Redis;
let queues: Queues;
let ledger: Ledger;
let store: MemoryStore;
let pages: Page[];
let context: PipelineContext;
let said: string[];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealift-sweep-"));
  server = await startPrivateRedis(directory);
  redis = connectRedis(server.address);
});

afterAll(async () => {
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const nobodyOpens: OpenWork = async (plan) =>
  ({ plan, shores: {}, pageObjects: 3 }) as unknown as Awaited<ReturnType<OpenWork>>;

/** Four pages listed, the first two of them done; the window says so. */
beforeEach(async () => {
  await redis.flushall();
  if (queues) await closeQueues(queues);
  queues = openQueues(redis);
  ({ ledger, store } = await emptyLedger());
  pages = await writePages(ledger, { sid: SID }, [["a", "b"], ["c"], ["d", "e"], ["f"]]);
  for (const page of pages.slice(0, 2)) await ledger.putDone(doneOf(page), signal);
  said = [];
  const say = (_: object, message: string) => void said.push(message);
  context = {
    redis,
    queues,
    ledger,
    log: { debug: say, info: say, warn: say, error: say },
    name: "test",
    works: new Works(ledger, nobodyOpens, new OwnCeiling()),
    objects: new Budget(1),
    pages: new Budget(1),
    paces: () => [],
    now: () => new Date(),
    draining: signal,
    signal,
  };
  await rebuild(context, MID);
  await round();
});

afterAll(() => closeQueues(queues));

/** One round, whoever holds the lock. */
async function round(): Promise<void> {
  await redis.del(SWEEP_LOCK);
  expect(await sweep(context, 60_000)).toBe(true);
}

const window = () => new Window(redis, MID);
const TRUE_SHARD = { next: 5, watermark: 2, last: 4 };
const page = (seq: number, epoch = 0) => ({ v: 1 as const, mid: MID, sid: SID, seq, epoch });
const stateOf = (seq: number, epoch = 0) => queues.copy.getJobState(pageJobId(page(seq, epoch)));

/** What is to be done is in the queue again, and the window says what the ledger says. */
async function expectTruth(): Promise<void> {
  expect(await window().shard(SID)).toMatchObject(TRUE_SHARD);
  expect(await window().openShards()).toEqual([SID]);
  expect(await window().totals()).toMatchObject({ pages: 4, committed: 2, listed: 6 });
  expect([await stateOf(3), await stateOf(4)]).toEqual(["waiting", "waiting"]);
}

describe("a window that contradicts itself is rebuilt", () => {
  const forge = (fields: Record<string, string | number>) => () => redis.hset(keys.shard(SID), fields);
  const lies: Record<string, () => Promise<unknown>> = {
    "watermark at the end, shard still open": forge({ wm: 4 }),
    "watermark behind the end": forge({ wm: 9 }),
    "watermark no number": forge({ wm: "many" }),
    "watermark below nothing": forge({ wm: -3 }),
    "next lowered below the last page": forge({ next: 3 }),
    "next lowered to the watermark": forge({ next: 2 }),
    "next raised": forge({ next: 7 }),
    "last lowered": forge({ last: 3 }),
    "last raised": forge({ last: 40 }),
    "shard deleted": () => redis.del(keys.shard(SID)),
    "shard of another type": () => redis.multi().del(keys.shard(SID)).set(keys.shard(SID), "x").exec(),
    "open set of another type": () => redis.multi().del(keys.open).set(keys.open, "x").exec(),
    "meta of another type": () => redis.multi().del(keys.meta).set(keys.meta, "x").exec(),
    "out-of-order set of another type": () => redis.lpush(keys.outOfOrder(SID), "x"),
    "meta deleted": () => redis.del(keys.meta),
  };
  for (const [name, lie] of Object.entries(lies))
    it(name, async () => {
      await lie();
      await round();
      await round();
      await expectTruth();
    });

  it("one that does not is left alone", async () => {
    await redis.set(keys.ready, "mark");
    await round();
    expect(await redis.get(keys.ready)).toBe("mark");
    await expectTruth();
  });
});

describe("a job comes again", () => {
  const id = pageJobId(page(3));
  const hash = () => queues.copy.toKey(id);

  it("that was put off for hours, by a clock that runs ahead", async () => {
    await queues.copy.remove(id);
    await queues.copy.add("page", page(3), { jobId: id, delay: 3 * HOUR_MS });
    await round();
    expect(await stateOf(3)).toBe("waiting");
  });

  it("but not before its time, where that is soon", async () => {
    await queues.copy.remove(id);
    await queues.copy.add("page", page(3), { jobId: id, delay: 60_000 });
    await round();
    expect(await stateOf(3)).toBe("delayed");
  });

  it("that waits for children which nobody has", async () => {
    await queues.copy.remove(id);
    await redis.zadd(queues.copy.toKey("waiting-children"), 1, id);
    await round();
    expect(await stateOf(3)).toBe("waiting");
  });

  it("whose hash is left and whose id is in no list", async () => {
    await redis.lrem(queues.copy.toKey("wait"), 0, id);
    expect(await stateOf(3)).toBe("unknown");
    await round();
    expect(await stateOf(3)).toBe("waiting");
  });

  it("but is not taken from a worker that has it, whatever the lists say", async () => {
    await redis.lrem(queues.copy.toKey("wait"), 0, id);
    await redis.set(`${hash()}:lock`, "a worker", "PX", 60_000);
    await round();
    expect(await redis.hget(hash(), "data")).toBe(JSON.stringify(page(3)));
  });

  for (const [field, text] of [
    ["data", "{"],
    ["data", JSON.stringify(page(1))],
    ["opts", "{"],
    ["progress", "}"],
  ] as const)
    it(`with the right words, where its ${field} was forged: ${text}`, async () => {
      await redis.hset(hash(), field, text);
      await round();
      const job = (await queues.copy.getJob(id)) as Job;
      expect(job.data).toEqual(page(3));
    });

  it("whose hash became something else", async () => {
    await redis.set(hash(), "not a hash");
    await round();
    await redis.lrem(queues.copy.toKey("wait"), 0, id);
    await round();
    expect(((await queues.copy.getJob(id)) as Job).data).toEqual(page(3));
  });
});

describe("locks that nobody holds", () => {
  it("a sweep lock without an end is taken away", async () => {
    await redis.set(SWEEP_LOCK, "somebody");
    expect(await sweep(context, 60_000)).toBe(false);
    expect(await sweep(context, 60_000)).toBe(true);
  });

  it("one with an end is waited for", async () => {
    await redis.set(SWEEP_LOCK, "somebody", "PX", 60_000);
    expect(await sweep(context, 60_000)).toBe(false);
    expect(await sweep(context, 60_000)).toBe(false);
  });

  it("a rebuild lock without an end is taken away", async () => {
    await redis.set(keys.lock, "somebody");
    await redis.del(keys.ready);
    await round();
    await round();
    await expectTruth();
  });

  it("a rebuild that stood still does not put an old window in the place of a newer one", async () => {
    const lock = await window().lockRebuild(60_000);
    const shards = [];
    for await (const one of ledger.summaries(await ledger.plan(MID, signal), signal)) shards.push(one);
    // Its lock ran out, and another rebuilt, and a page was counted.
    await redis.del(keys.lock);
    await rebuild(context, MID);
    await window().commit(await ledger.putDone(doneOf(pages[2] as Page), signal), undefined);
    const late = window().install({ shards, state: "running", epoch: 0, retry: [] }, lock?.token);
    await expect(late).rejects.toMatchObject({ code: "STATE_LOST" });
    await lock?.release();
    await round();
    expect(await window().shard(SID)).toMatchObject({ watermark: 3 });
    expect(await window().totals()).toMatchObject({ committed: 3 });
  });

  it("a release does not free the lock of another", async () => {
    const lock = await window().lockRebuild(60_000);
    await redis.set(keys.lock, "another");
    await lock?.release();
    expect(await redis.get(keys.lock)).toBe("another");
  });
});

describe("what the ledger says and Redis was not told", () => {
  const note = (action: "pause" | "cancel") =>
    ledger.putEvent(MID, { action, at: "2026-01-01T00:00:00.000Z", by: "test" }, signal);
  /** As after a restart of Redis, or when what is known has been believed for long enough. */
  const forget = () => redis.del(KNOWN);

  for (const [action, state] of [
    ["pause", "paused"],
    ["cancel", "cancelled"],
  ] as const)
    it(`${action} is heard late, and heard`, async () => {
      await note(action);
      await forget();
      await round();
      expect((await window().meta())?.state).toBe(state);
    });

  it("a forged state does not stay", async () => {
    for (const state of ["finished", "paused", "nonsense"]) {
      await redis.hset(keys.meta, { state });
      await redis.srem(ACTIVE, MID);
      await forget();
      await round();
      expect((await window().meta())?.state).toBe("running");
      await expectTruth();
    }
  });

  it("a cancelled migration is not rebuilt round after round", async () => {
    await note("cancel");
    await forget();
    await round();
    expect(await redis.smembers(ACTIVE)).toEqual([]);
  });

  it("another run of the server is asked about again, the same one is believed for a while", async () => {
    await redis.hset(keys.meta, { state: "paused" });
    await round();
    expect((await window().meta())?.state).toBe("paused");
    await redis.set(KNOWN, "another run");
    await round();
    expect((await window().meta())?.state).toBe("running");
    expect(await redis.pttl(KNOWN)).toBeGreaterThan(0);
  });

  it("one broken plan does not hide the others", async () => {
    const text = Buffer.from("{");
    const once = async function* () {
      yield text;
    };
    await store.put("ledger/20250101-000000-aaaaaa/plan.json", once(), {
      sizeBytes: text.length,
      attributes: { metadata: new Map() },
      condition: "absent",
      signal,
    });
    await redis.flushall();
    await round();
    await expectTruth();
  });

  it("pause, said while a rebuild was going on, holds", async () => {
    // Between its look at the ledger and its write: the moment in which the window is put in place.
    const watched = new Proxy(redis, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (name !== "multi" || typeof value !== "function")
          return typeof value === "function" ? value.bind(target) : value;
        return () => {
          const change = target.multi();
          const exec = change.exec.bind(change);
          change.exec = async () => {
            await note("pause");
            await window().setState("paused");
            return exec();
          };
          return change;
        };
      },
    });
    await redis.del(keys.ready);
    await rebuild({ ...context, redis: watched }, MID);
    expect((await window().meta())?.state).toBe("paused");
  });
});

describe("Redis ahead of its ledger", () => {
  it("a page that only Redis knows is no reason to halt", async () => {
    await redis.hset(keys.shard(SID), { next: 9 });
    await redis.hdel(keys.shard(SID), "last");
    const seven = { data: page(7), attemptsStarted: 1 } as unknown as Job;
    await expect(copyPageJob(context, seven, "token")).rejects.toMatchObject({ code: "STATE_LOST" });
    expect(await window().isReady()).toBe(false);
    await rebuild(context, MID);
    await redis.hset(keys.shard(SID), { next: 9 });
    await redis.hdel(keys.shard(SID), "last");
    await expect(listTurn(context, { v: 1, mid: MID, sid: SID })).rejects.toMatchObject({ code: "STATE_LOST" });
    await round();
    await round();
    await expectTruth();
    expect(await queues.list.getJobState(shardJobId({ mid: MID, sid: SID }))).toBe("unknown");
  });

  it("a page that the ledger has lost halts the migration, once", async () => {
    await store.remove(`ledger/${MID}/pages/${SID}/000000002.ndjson.gz`, signal);
    await redis.del(keys.ready);
    for (let i = 0; i < 4; i++) await round();
    const events = await ledger.events(MID, signal);
    expect(events.map(({ action }) => action)).toEqual(["start", "halt"]);
    expect(events.at(-1)).toMatchObject({ code: "LEDGER_BROKEN" });
  });
});

describe("an epoch ends when the ledger is in it", () => {
  const finalize = () => finalizeMigration(context, { data: { v: 1, mid: MID } } as unknown as Job);

  async function finishFirst(): Promise<void> {
    for (const [index, one] of pages.entries())
      await window().commit(await ledger.putDone(doneOf(one, index === 3 ? { f: "failed" } : {}), signal), undefined);
    await finalize();
    expect((await window().meta())?.state).toBe("finished");
  }

  it("sums that were forged are the ledger's again", async () => {
    await redis.hset(keys.totals, { listed: 9999, failed: 3 });
    await finishFirst().catch(() => undefined);
    expect(await ledger.result(MID, 0, signal)).toMatchObject({ state: "CompletedWithErrors", listed: 6 });
    await round();
    expect((await window().meta())?.state).toBe("finished");
    expect(await window().totals()).toMatchObject({ pages: 4, committed: 4, listed: 6 });
    expect((await window().totals()).counts.failed).toBe(1);
    expect(await redis.smembers(ACTIVE)).toEqual([]);
  });

  it("a retry whose set was deleted is not over", async () => {
    await finishFirst();
    await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [[SID, 4]], at: "" }, signal);
    await ledger.putEvent(MID, { action: "retry", at: "", by: "test" }, signal);
    await rebuild(context, MID);
    await redis.del(keys.retry(1));
    await finalize();
    expect(await ledger.result(MID, 1, signal)).toBeUndefined();
    await round();
    expect(await stateOf(4, 1)).toBe("waiting");
    await window().commit(
      await ledger.putDone(doneOf(pages[3] as Page, {}, 1), signal),
      doneOf(pages[3] as Page, { f: "failed" }),
    );
    await finalize();
    expect(await ledger.result(MID, 1, signal)).toMatchObject({ state: "Completed", epoch: 1 });
  });

  it("a retry that Redis was not told of is not answered with the result of the epoch before", async () => {
    await finishFirst();
    await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [[SID, 4]], at: "" }, signal);
    // Killed here; then `resume`, which finds a window that is ready.
    await window().setState("running");
    await finalize();
    await round();
    expect(await window().meta()).toMatchObject({ state: "running", epoch: 1 });
    expect(await stateOf(4, 1)).toBe("waiting");
  });

  it("an outcome that came while the window was rebuilt is counted once", async () => {
    await finishFirst();
    await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [[SID, 4]], at: "" }, signal);
    // A copier writes the outcome after the sums were made and before the list of what is left is.
    const late = Object.create(ledger, {
      retry: {
        value: async (mid: string, epoch: number) => {
          await ledger.putDone(doneOf(pages[3] as Page, {}, 1), signal);
          return ledger.retry(mid, epoch, signal);
        },
      },
    }) as Ledger;
    const bound = new Proxy(ledger, {
      get: (target, name) => {
        const value: unknown = name === "retry" ? Reflect.get(late, name) : Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    await rebuild({ ...context, ledger: bound }, MID);
    expect((await window().totals()).counts.failed).toBe(1);
    expect(await window().commit(doneOf(pages[3] as Page, {}, 1), doneOf(pages[3] as Page, { f: "failed" }))).toBe(2);
    expect((await window().totals()).counts.failed).toBe(0);
  });
});

describe("clocks", () => {
  it("that are set back do not keep a state alive for hours", async () => {
    const works = new Works(ledger, nobodyOpens, new OwnCeiling());
    const nowMs = Date.now();
    expect(await works.state(window(), nowMs)).toBe("running");
    await window().setState("paused");
    expect(await works.state(window(), nowMs + 10)).toBe("running");
    expect(await works.state(window(), nowMs - 3 * HOUR_MS)).toBe("paused");
  });
});
