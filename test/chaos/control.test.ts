/**
 * The control: the same program without its sweeper. Left alone it ends, so the sweeper is not what ends migrations; with its jobs
 * taken away it must not say that it has ended; and a worker that sweeps then ends it whole.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { sumCounts } from "../../src/core/plan.ts";
import { shardJobId } from "../../src/pipeline/job.ts";
import type { MigrationStatus } from "../../src/pipeline/status.ts";
import { checkEnd } from "./check.ts";
import { isUpload } from "./clouds.ts";
import { queueKey } from "./harm/harm.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

const OBJECTS = 120;
/** Of nothing happening, after which nothing is going to: several locks, stalls and backoffs long. */
const QUIET_MS = 15_000;

const dist = new URL("../../dist/", import.meta.url).pathname;
let withoutSweeper: string;
let world: World | undefined;

beforeAll(async () => {
  withoutSweeper = await mkdtemp(join(dist, "control-"));
  for (const room of ["src", "workers"]) await cp(join(dist, room), join(withoutSweeper, room), { recursive: true });
  const path = join(withoutSweeper, "src", "pipeline", "worker.js");
  const text = await readFile(path, "utf8");
  const parts = text.split("await sweep(this.#context, lockMs)");
  expect(parts.length).toBe(2);
  await writeFile(path, parts.join("false"));
});

afterAll(() => rm(withoutSweeper, { recursive: true, force: true }));
afterEach(async () => {
  await world?.close();
  world = undefined;
});

/** Nobody sweeps, so the first job is given by hand. */
async function open(): Promise<World> {
  world = await World.open(
    { objects: OBJECTS, to: "gs", cloudLedger: false, shards: false, pageObjects: 5, build: withoutSweeper },
    new Random(11),
  );
  world.clouds.weather.destination.slow(150, isUpload);
  const mid = await world.start();
  const job = { v: 1, mid, sid: "s0001" };
  await world.queues.list.add("shard", job, { jobId: shardJobId(job) });
  await world.work("list");
  await world.work("copy");
  return world;
}

async function until(w: World, wanted: (status: MigrationStatus) => boolean, ms = 90_000): Promise<MigrationStatus> {
  const deadline = Date.now() + ms;
  let last: MigrationStatus | undefined;
  while (Date.now() < deadline) {
    last = await w.status();
    if (wanted(last)) return last;
    await sleep(50);
  }
  throw new Error(`did not happen: ${JSON.stringify(last)}`);
}

/** Long enough for everything that is going to happen without a sweeper. */
async function quiet(w: World): Promise<MigrationStatus> {
  let handled = -1;
  for (let stillMs = 0; stillMs < QUIET_MS; stillMs += 500) {
    const status = await w.status();
    if (status.handled !== handled) stillMs = 0;
    handled = status.handled;
    await sleep(500);
  }
  return w.status();
}

async function losesJobs(harm: (w: World) => Promise<unknown>): Promise<void> {
  const w = await open();
  await until(w, ({ handled }) => handled >= 20);
  await harm(w);
  const left = await quiet(w);
  expect(left.result).toBeUndefined();
  expect(left.state).toMatch(/^(Running|Pending)$/);
  expect(await w.ledger.result(w.mid, 0, new AbortController().signal)).toBeUndefined();
  expect(sumCounts(left.totals.counts)).toBeLessThan(OBJECTS);
  // The same migration, a worker that sweeps.
  w.clouds.weather.destination.calm();
  await w.work("list", { build: dist });
  await w.work("copy", { build: dist });
  const { result } = await until(w, (status) => status.result !== undefined);
  expect(result?.listed).toBe(w.model.versions.size);
  expect(await checkEnd(w, result, new Random(12))).toEqual([]);
}

describe("without a sweeper", { timeout: 300_000 }, () => {
  it("a migration that loses nothing ends", async () => {
    const w = await open();
    w.clouds.weather.destination.calm();
    const { result } = await until(w, (status) => status.result !== undefined);
    expect(await checkEnd(w, result, new Random(13))).toEqual([]);
  });

  it("one whose jobs were deleted does not say that it ended; a worker that sweeps ends it", () =>
    losesJobs(async ({ connection, mid }) => {
      const jobs = await connection.keys(queueKey("copy", `p.${mid}.*`));
      await connection.del(queueKey("copy", "wait"), ...jobs);
    }));

  it("nor does one whose Redis was emptied", () => losesJobs(({ connection }) => connection.flushall()));
});
