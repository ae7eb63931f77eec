/**
 * Four ways to use a quota that production uses too, on simulated time and with the limiter as it is: 1,000 requests a second, of which
 * production wants 200 to 800. What is compared is how much of production is throttled, and how much we get.
 */
import { setMaxListeners } from "node:events";
import { beforeAll, describe, expect, it } from "vitest";
import { type Ceiling, OwnCeiling } from "../../src/core/pace.ts";
import { Limiter } from "../../src/kms/limiter/limiter.ts";
import { SharedQuota, throttle, VirtualClock } from "./simulation.ts";

const QUOTA = 1000;
const SECONDS = 180;
const PROCESSES = 4;
const IN_FLIGHT = 32;
const ROUND_TRIP_MS = 20;
const never = new AbortController().signal;
setMaxListeners(0, never);

interface Outcome {
  /** Of what production asked for. */
  readonly harm: number;
  /** Answers a second. */
  readonly ours: number;
}

interface Scene {
  readonly clock: VirtualClock;
  /** One call as the key service takes it. */
  call(): Promise<void>;
}

/** The same numbers on every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function simulate(work: (scene: Scene) => void): Promise<Outcome> {
  const clock = new VirtualClock();
  const quota = new SharedQuota(QUOTA, clock);
  let [asked, refused, answered] = [0, 0, 0];
  const wantedBy = (ms: number) => 500 - 300 * Math.cos((2 * Math.PI * ms) / 60_000);
  const random = seeded(1);
  const produce = () => {
    asked++;
    if (!quota.take()) refused++;
    // As clients that know nothing of each other: exponential gaps.
    clock.after((-Math.log(1 - random()) * 1000) / wantedBy(clock.now()), produce);
  };
  produce();
  const call = async () => {
    await clock.sleep(ROUND_TRIP_MS * random());
    const granted = quota.take();
    await clock.sleep(ROUND_TRIP_MS / 2);
    if (!granted) throw throttle();
    answered++;
  };
  work({ clock, call });
  await clock.runUntil(SECONDS * 1000);
  return { harm: refused / asked, ours: answered / SECONDS };
}

/** Paced, and deaf to every throttle. */
const fixed = (perSecond: number) => (scene: Scene) => {
  const ceiling = new OwnCeiling(() => scene.clock.now());
  const next = async () => {
    await scene.clock.sleep((await ceiling.lease("quota", perSecond, 1)).waitMs);
    void scene.call().catch(() => undefined);
    void next();
  };
  void next();
};

const adaptive = (most?: number) => (scene: Scene) => {
  const shared = new OwnCeiling(() => scene.clock.now());
  const ceiling: Ceiling = {
    lease: async (...asked) => {
      await scene.clock.sleep(1);
      return shared.lease(...asked);
    },
  };
  for (let i = 0; i < PROCESSES; i++) {
    const limiter = new Limiter("quota", scene.clock);
    if (most !== undefined) limiter.hold(most, ceiling);
    const lane = async () => {
      for (;;) await limiter.run(() => scene.call(), never);
    };
    for (let j = 0; j < IN_FLIGHT; j++) void lane();
  }
};

describe("a quota of 1,000 a second shared with 200 to 800 of production", () => {
  const ways = {
    fixed: fixed(1000),
    ceiling: fixed(500),
    aimd: adaptive(),
    both: adaptive(500),
  };
  const found = {} as Record<keyof typeof ways, Outcome>;

  beforeAll(async () => {
    for (const [way, work] of Object.entries(ways)) found[way as keyof typeof ways] = await simulate(work);
    const rows = Object.entries(found).map(([way, { harm, ours }]) => [
      way,
      `${(harm * 100).toFixed(2)} % of production throttled`,
      `${ours.toFixed(0)}/s ours`,
    ]);
    process.stdout.write(`${rows.map((row) => row.join(", ")).join("\n")}\n`);
  }, 120_000);

  it("a fixed rate of the whole quota takes a third of production, half of it still a tenth", () => {
    expect(found.fixed.harm).toBeGreaterThan(0.25);
    expect(found.ceiling.harm).toBeGreaterThan(0.05);
    expect(found.ceiling.harm).toBeLessThan(0.2);
  });

  it("additive increase and multiplicative decrease leave production more than 98 of 100", () => {
    expect(found.aimd.harm).toBeLessThan(0.02);
    expect(found.aimd.harm).toBeLessThan(found.ceiling.harm / 5);
  });

  it("a ceiling beside it costs little and bounds what is taken in quiet hours", () => {
    expect(found.both.harm).toBeLessThan(found.aimd.harm * 1.5);
    expect(found.both.ours).toBeGreaterThan(found.aimd.ours * 0.8);
    expect(found.aimd.ours).toBeGreaterThan(found.both.ours);
  });

  it("is deterministic", async () => {
    expect(await simulate(ways.both)).toEqual(found.both);
  }, 60_000);
});
