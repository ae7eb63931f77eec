/**
 * Shards that split themselves, on a real Redis and real queues, listers in this process: whatever the shape of the keys, whoever
 * lists next, and whichever step a lister dies after, the pages hold every key once and the audit closes without a gap.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { armFailpoint, disarmFailpoint, FAILPOINTS } from "../../src/core/failpoint.ts";
import { compareKeys, type ListedObject } from "../../src/core/object.ts";
import { OwnCeiling } from "../../src/core/pace.ts";
import { Ledger } from "../../src/ledger/ledger.ts";
import { type PipelineContext, type Work, Works } from "../../src/pipeline/context.ts";
import { closeQueues, openQueues, type Queues } from "../../src/pipeline/job.ts";
import { listTurn } from "../../src/pipeline/lister.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { rebuild } from "../../src/pipeline/rebuild.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { Window } from "../../src/pipeline/window.ts";
import { beat } from "../../src/pipeline/workers.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import { doneOf, MID, object, planOf, signal } from "../ledger/story.ts";
import { SHAPES } from "./shapes.ts";

const PAGE_OBJECTS = 5;
/** Listers that could work at once; there is always somebody idle. */
const SLOTS = 16;

let directory: string;
let server: PrivateRedis;
let redis: Redis;
let queues: Queues;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealift-split-"));
  server = await startPrivateRedis(directory);
  redis = connectRedis(server.address);
  queues = openQueues(redis);
});

afterEach(() => disarmFailpoint());

afterAll(async () => {
  await closeQueues(queues);
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

class Listing {
  readonly context: PipelineContext;
  readonly window: Window;
  readonly keys: readonly string[];
  crashes = 0;

  private constructor(context: PipelineContext, keys: readonly string[]) {
    this.context = context;
    this.window = new Window(redis, MID);
    this.keys = keys;
  }

  static async of(keys: readonly string[]): Promise<Listing> {
    await redis.flushall();
    const ledger = new Ledger(new MemoryStore());
    const plan = planOf([{ sid: "s0001" }]);
    await ledger.putPlan(plan, signal);
    const source = new SourceOf(keys.toSorted(compareKeys));
    const shores = { source, sourcePrefix: "", close: async () => {} } as unknown as Work["shores"];
    const open = async () => ({ plan, shores, pageObjects: PAGE_OBJECTS }) as unknown as Work;
    const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
    const context: PipelineContext = {
      redis,
      queues,
      ledger,
      log: silent,
      name: "test",
      works: new Works(ledger, open, new OwnCeiling()),
      objects: new Budget(1),
      pages: new Budget(4),
      paces: () => [],
      now: () => new Date(),
      draining: signal,
      signal,
    };
    const listing = new Listing(context, keys);
    await listing.#livingListers();
    await rebuild(context, MID);
    return listing;
  }

  async #livingListers(): Promise<void> {
    await beat(redis, { name: "h:1:list", kind: "list", pid: 1, slots: SLOTS, rssBytes: 1, lagMs: 0, at: "" }, 600_000);
  }

  /** One lister's turn at one open shard; a crash leaves everything where it was. */
  async turn(choose: number): Promise<boolean> {
    const open = (await redis.smembers(`{sealift}:m:${MID}:listing`)).sort();
    const sid = open[choose % Math.max(open.length, 1)];
    if (sid === undefined) return false;
    try {
      await listTurn(this.context, { v: 1, mid: MID, sid });
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.crashes++;
    }
    await this.#copyAll();
    return true;
  }

  /** Copiers, in short: every page that may be copied gets its outcome, so that the window never closes. */
  async #copyAll(): Promise<void> {
    await queues.copy.obliterate({ force: true });
    for (const sid of await this.window.openShards()) {
      const shard = await this.window.shard(sid);
      for (let seq = (shard?.watermark ?? 0) + 1; seq < (shard?.next ?? 0); seq++) {
        const page = await this.context.ledger.page(MID, sid, seq, signal);
        if (!page) throw new Error("a page was given out that is not there");
        await this.window.commit(await this.context.ledger.putDone(doneOf(page), signal), undefined);
      }
    }
  }

  async loseRedis(): Promise<void> {
    await redis.flushall();
    await this.#livingListers();
    await rebuild(this.context, MID);
  }

  /** Keys on pages, in the order of the shards. */
  async listed(): Promise<string[]> {
    const { ledger } = this.context;
    const found: string[] = [];
    for await (const { shard, pages } of ledger.shards(await ledger.plan(MID, signal), signal)) {
      for (let seq = 1; seq <= pages; seq++) {
        const page = await ledger.page(MID, shard.sid, seq, signal);
        found.push(...(page?.objects.map(({ key }) => key) ?? []));
      }
    }
    return found;
  }

  /** What must hold at the end: every key once, in order, and ledger, window and audit of one mind. */
  async check(): Promise<{ shards: number }> {
    expect(await this.listed()).toEqual(this.keys.toSorted(compareKeys));
    const result = await this.context.ledger.audit(MID, "2026-01-01T00:00:00.000Z", signal);
    expect(result).toMatchObject({ listed: this.keys.length, state: "Completed" });
    const totals = await this.window.totals();
    expect(totals).toMatchObject({ listed: this.keys.length, pages: result.pages, committed: result.pages });
    expect(totals.shards).toBe(result.shards);
    expect(await this.window.openShards()).toEqual([]);
    expect(await this.window.listing()).toMatchObject({ open: 0 });
    return result;
  }
}

class Crash extends Error {}

/** Lists keys as stores do, in pages of three, so that every turn asks more than once. */
class SourceOf {
  readonly #keys: readonly string[];

  constructor(keys: readonly string[]) {
    this.#keys = keys;
  }

  async *list(_prefix: string, { after, until }: { after?: string; until?: string }) {
    const rows = this.#keys.filter(
      (key) =>
        (after === undefined || compareKeys(key, after) > 0) && (until === undefined || compareKeys(key, until) <= 0),
    );
    for (let at = 0; at < rows.length; at += 3) {
      const objects: ListedObject[] = rows.slice(at, at + 3).map((key) => object(key));
      yield { objects, last: at + 3 >= rows.length };
    }
    if (rows.length === 0) yield { objects: [], last: true };
  }
}

/** Where a lister can die. */
const STEPS = FAILPOINTS.filter((name) => name.startsWith("page.") || name.startsWith("split."));

describe("shards that split themselves", { timeout: 120_000 }, () => {
  for (const [shape, keysOf] of Object.entries(SHAPES)) {
    it(`list every key once: ${shape}`, async () => {
      const listing = await Listing.of(keysOf(300));
      for (let turn = 0; await listing.turn(turn); turn++) expect(turn).toBeLessThan(1000);
      expect((await listing.check()).shards).toBeGreaterThan(4);
    });
  }

  it("list every key once, whoever lists next and wherever a lister dies, also when Redis is lost in between", async () => {
    const shapes = fc.constantFrom(...Object.keys(SHAPES));
    const events = fc.array(
      fc.record({ step: fc.constantFrom(...STEPS), nth: fc.integer({ min: 1, max: 6 }), lose: fc.boolean() }),
      { minLength: 1, maxLength: 8 },
    );
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        shapes,
        events,
        fc.array(fc.nat(50), { minLength: 1, maxLength: 20 }),
        async (shape, ends, order) => {
          const listing = await Listing.of((SHAPES[shape] as (typeof SHAPES)[string])(120));
          let turn = 0;
          for (const { step, nth, lose } of ends) {
            const before = listing.crashes;
            armFailpoint(`${step}:${nth}`, () => {
              disarmFailpoint();
              throw new Crash(step);
            });
            for (let tries = 0; tries < 6 && listing.crashes === before; tries++)
              await listing.turn(order[turn++ % order.length] ?? 0);
            disarmFailpoint();
            if (listing.crashes > before) seen.add(step);
            if (lose) await listing.loseRedis();
          }
          while (await listing.turn(order[turn++ % order.length] ?? 0)) expect(turn).toBeLessThan(2000);
          await listing.check();
        },
      ),
      { numRuns: 40, seed: 20261124 },
    );
    expect([...seen].sort()).toEqual([...STEPS].sort());
  });

  it("a lister that slept through a split goes on behind it, and writes nothing", async () => {
    const listing = await Listing.of(SHAPES["hex"]?.(200) ?? []);
    armFailpoint("split.written", () => {
      disarmFailpoint();
      throw new Crash();
    });
    while (listing.crashes === 0) await listing.turn(0);
    const { ledger } = listing.context;
    const before = await listing.listed();
    // The window knows nothing of the split yet: the next turn writes its page, and finds the split in its place.
    await listing.turn(0);
    expect(await ledger.shard(MID, "s0001b", signal)).toBeDefined();
    expect(await listing.listed()).toEqual(before);
  });

  it("nobody idle, nothing is split", async () => {
    const listing = await Listing.of(SHAPES["hex"]?.(200) ?? []);
    await redis.del("{sealift}:w:h:1:list");
    await new Promise((resolve) => setTimeout(resolve, 5100));
    while (await listing.turn(0));
    expect((await listing.check()).shards).toBe(1);
  });
});
