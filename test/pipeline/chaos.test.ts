/** Harm in the middle of a run, and the same end every time: listed = sum of outcomes, every object there once, bytes untouched. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { sumCounts } from "../../src/core/plan.ts";
import { World } from "./world.ts";

const OBJECTS = 160;
const MIDDLE = 40;

let world: World | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

async function inTheMiddle(harm: (world: World, mid: string) => Promise<void>): Promise<void> {
  world = await World.open({ objects: OBJECTS });
  world.slowUploads(60);
  const mid = await world.start();
  world.work("list");
  world.work("copy", 2);
  const before = await world.until(mid, ({ handled }) => handled >= MIDDLE);
  expect(before.result).toBeUndefined();
  await harm(world, mid);
  const { result, totals } = await world.finished(mid);
  expect(result).toMatchObject({ state: "Completed", listed: OBJECTS });
  expect(sumCounts(totals.counts)).toBe(OBJECTS);
  const far = await world.farSide();
  expect(far.keys.sort()).toEqual([...world.seeded.keys()].sort());
  expect(far.changed).toEqual([]);
}

describe("a run ends whole", { timeout: 120_000 }, () => {
  it("when a worker is killed and another takes its place", () =>
    inTheMiddle(async (w) => {
      const [victim] = w.work("copy");
      await sleep(1500);
      victim?.kill("SIGKILL");
    }));

  it("when every worker is killed and new ones come", () =>
    inTheMiddle(async (w) => {
      w.killWorkers();
      await sleep(300);
      w.work("list");
      w.work("copy", 2);
    }));

  it("when Redis is killed and comes back from its append-only file", () =>
    inTheMiddle((w) => w.killRedis({ wipe: false })));

  it("when Redis is flushed", () => inTheMiddle(async (w) => void (await w.connection.flushall())));

  it("when Redis is killed and its directory deleted", () => inTheMiddle((w) => w.killRedis({ wipe: true })));
});
