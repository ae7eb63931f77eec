/**
 * Four ways to use a quota that production uses too, on simulated time and with the limiter as it is: 1,000 requests a second, of which
 * production wants 200 to 800. What is compared is how much of production is throttled, and how much we get.
 */
import { setMaxListeners } from "node:events";
import { type Ceiling, OwnCeiling } from "../../src/core/pace.ts";
import { Limiter } from "../../src/kms/limiter/limiter.ts";
import { SharedQuota, throttle, VirtualClock } from "./simulation.ts";

const QUOTA = 1000;
const SECONDS = 120;
const PROCESSES = 4;
const IN_FLIGHT = 32;
const ROUND_TRIP_MS = 20;
const never = new AbortController().signal;
setMaxListeners(0, never);

export interface Outcome {
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

export async function simulate(work: (scene: Scene) => void): Promise<Outcome> {
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

/** By name, as a table shows them. */
export const WAYS = {
  "a fixed rate, the whole quota": fixed(1000),
  "a fixed rate, half the quota": fixed(500),
  "AIMD in each process": adaptive(),
  "AIMD under a ceiling of half the quota": adaptive(500),
} as const;

export async function simulateAll(): Promise<Map<string, Outcome>> {
  const found = new Map<string, Outcome>();
  for (const [way, work] of Object.entries(WAYS)) found.set(way, await simulate(work));
  return found;
}
