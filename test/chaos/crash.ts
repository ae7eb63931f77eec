/**
 * Crash points, in several files so that they run side by side: a worker is ended by SIGKILL at every boundary between two steps,
 * at its first pass and at a later one. Another takes its place, and the migration ends whole. A failpoint that no step passes, or
 * that is in none of the files, is a failure.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { FAILPOINTS, type Failpoint } from "../../src/core/failpoint.ts";
import { retryMigration } from "../../src/pipeline/control.ts";
import type { MigrationStatus } from "../../src/pipeline/status.ts";
import { checkEnd } from "./check.ts";
import { isUpload } from "./clouds.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

const OBJECTS = 80;
/** Locks of two seconds, sweeps of two seconds, a backoff or two; the machine may be slow. */
const ENDS_MS = 90_000;
/** Each is in one file. */
export const STEPS = ["page", "split", "object", "standing", "done", "big", "finalize"] as const;

let world: World | undefined;

async function until(
  w: World,
  what: string,
  wanted: (status: MigrationStatus) => boolean | Promise<boolean>,
): Promise<MigrationStatus> {
  const deadline = Date.now() + ENDS_MS;
  let last: MigrationStatus | undefined;
  while (Date.now() < deadline) {
    last = await w.status();
    if (await wanted(last)) return last;
    await sleep(50);
  }
  throw new Error(`${what} did not happen: ${JSON.stringify(last)}\n${w.output.slice(-20).join("")}`);
}

const killed = (w: World): boolean => w.ownEnds.some((end) => end.endsWith("SIGKILL"));

/** The second end of an epoch is that of a retry: objects have to fail in the first. */
const needsRetry = (name: Failpoint, hit: number): boolean => hit > 1 && name.startsWith("finalize.");

async function crash(name: Failpoint, hit: number): Promise<void> {
  const huge = name.startsWith("big.") ? 5 : 0;
  world = await World.open(
    { objects: OBJECTS, huge, to: "s3", cloudLedger: false, shards: false, pageObjects: 4 },
    new Random(hit * 31 + FAILPOINTS.indexOf(name)),
  );
  const w = world;
  const retries = needsRetry(name, hit);
  // Not 503: being asked to slow down is waited for, much longer than a test should take.
  if (retries) w.clouds.weather.destination.storm({ answer: { status: 500, body: "no" } }, isUpload, ENDS_MS);
  const env = { SEALIFT_FAILPOINT: `${name}:${hit}` };
  await w.start();
  const lister = await w.work("list", retries ? {} : { env });
  await w.work("copy", { env });
  if (retries) await endFirstEpoch(w, () => w.send(lister, "SIGKILL"));
  await until(w, `${name}:${hit}`, () => killed(w));
  await w.work("list");
  await w.work("copy");
  const { result } = await until(w, "the end", (status) => status.result?.epoch === (retries ? 1 : 0));
  expect(await checkEnd(w, await cleared(w, result), new Random(hit))).toEqual([]);
}

/** With the lister gone, one process alone ends both epochs, and passes the failpoint twice. */
async function endFirstEpoch(w: World, endLister: () => void): Promise<void> {
  await until(w, "the listing", ({ listingDone, totals }) => listingDone && totals.listed > 0);
  endLister();
  await until(w, "the first end", ({ result }) => result !== undefined);
  w.clouds.weather.destination.calm();
  expect(await retryMigration(w.control, w.mid, undefined)).toBeGreaterThan(0);
}

/** What the model says must arrive has arrived; nothing is left to be retried. */
async function cleared(w: World, result: MigrationStatus["result"]) {
  expect(result?.counts.failed).toBe([...w.model.untouched()].filter(({ fate }) => fate === "unopenable").length);
  return result;
}

const laterPass = (name: Failpoint): number => (/^(finalize|big)\./.test(name) ? 2 : 3);
// Continuous checks have half an hour for everything: there each boundary is met once.
const passesOf = (name: Failpoint): readonly number[] => (process.env["CI"] ? [1] : [1, laterPass(name)]);
const scenarios = FAILPOINTS.flatMap((name) => passesOf(name).map((hit) => [name, hit] as const));

export const stepOf = (name: Failpoint): (typeof STEPS)[number] | undefined =>
  STEPS.find((step) => name.startsWith(`${step}.`));

/** Declares the tests of these steps, and more of their kind. */
export function crashes(steps: readonly (typeof STEPS)[number][], more: () => void = () => undefined): void {
  afterEach(async () => {
    await world?.close();
    world = undefined;
  });
  const mine = scenarios.filter(([name]) => steps.some((step) => step === stepOf(name)));
  describe("a worker killed at a step's boundary costs nothing", { timeout: 2 * ENDS_MS + 60_000 }, () => {
    it.each(mine)("%s, pass %i", crash);
    more();
  });
}

/** The ends of workers that nobody asked for. */
export async function endsOf(armed: { readonly list: Failpoint; readonly copy: Failpoint }): Promise<string[]> {
  world = await World.open({ objects: 20, to: "gs", cloudLedger: false, shards: false, pageObjects: 4 }, new Random(4));
  await world.start();
  await world.work("list", { env: { SEALIFT_FAILPOINT: armed.list } });
  await world.work("copy", { env: { SEALIFT_FAILPOINT: armed.copy } });
  await until(world, "the end", ({ result }) => result !== undefined);
  return [...world.ownEnds];
}
