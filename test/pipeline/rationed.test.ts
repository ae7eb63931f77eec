/** A key service that says "slow down" makes a migration slower, and nothing else; another client of the same quota hardly feels it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rationed, RationedWorld } from "./rationed.ts";

const OBJECTS = 400;

let world: RationedWorld;
beforeAll(async () => {
  world = await RationedWorld.open(OBJECTS);
}, 120_000);
afterAll(() => world.close());

function tell(what: string, quota: number, { ours, theirs, seconds }: Rationed): void {
  const used = ((ours.served + theirs.served) / (quota * (seconds + 1))).toFixed(2);
  const kept = (theirs.served / (theirs.served + theirs.throttled)).toFixed(3);
  process.stdout.write(
    `${what}: ${ours.served} served and ${ours.throttled} throttled in ${seconds.toFixed(1)} s, used of the quota ${used}, the other client kept ${kept}\n`,
  );
}

describe("a quota shared with another client", { timeout: 360_000 }, () => {
  it("is used, and every object arrives at its first attempt", async () => {
    const quota = 40;
    const run = await world.run({ quota, competitor: 12, workers: 2 });
    tell("40/s, 12 of them the other client's", quota, run);
    expect(run.status).toMatchObject({ state: "Completed", totals: { listed: OBJECTS } });
    expect(run.status.totals.counts).toMatchObject({ rewrapped: OBJECTS, failed: 0 });
    // Throttled, or nothing was shown.
    expect(run.ours.throttled).toBeGreaterThan(0);
    expect(run.ours.served).toBe(OBJECTS);
    expect(run.ours.throttled).toBeLessThan(OBJECTS * 0.2);
    expect(run.theirs.served / (run.theirs.served + run.theirs.throttled)).toBeGreaterThan(0.8);
    expect((run.ours.served + run.theirs.served) / (quota * (run.seconds + 1))).toBeGreaterThan(0.3);
    const paces = run.workers
      .flatMap(({ paces = [] }) => paces)
      .filter(({ resource }) => resource.startsWith("aws-kms/"));
    expect(paces.map(({ resource }) => resource)).toEqual(Array(2).fill("aws-kms/000000000000/us-east-1"));
    // The last heartbeat may be two seconds old.
    expect(paces.reduce((sum, { requests }) => sum + requests, 0)).toBeGreaterThan(OBJECTS / 2);
  });

  it("under a ceiling the other client is not throttled at all", async () => {
    const quota = 40;
    const run = await world.run({ quota, competitor: 12, ceiling: 20, workers: 2 });
    tell("the same under a ceiling of 20/s", quota, run);
    expect(run.status).toMatchObject({ state: "Completed", totals: { counts: { rewrapped: OBJECTS } } });
    expect(run.ours).toEqual({ served: OBJECTS, throttled: 0 });
    expect(run.theirs.throttled).toBe(0);
    expect(run.ours.served / (run.seconds + 1)).toBeLessThanOrEqual(20);
  });
});
