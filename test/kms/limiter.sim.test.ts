/** How the limiter shares a quota, on simulated time (test/kms/ways.ts): the shape of the table, not its last digit. */
import { beforeAll, describe, expect, it } from "vitest";
import { type Outcome, simulate, simulateAll, WAYS } from "./ways.ts";

describe("a quota of 1,000 a second shared with 200 to 800 of production", () => {
  let [whole, half, aimd, both] = [] as unknown as [Outcome, Outcome, Outcome, Outcome];

  beforeAll(async () => {
    const found = await simulateAll();
    [whole, half, aimd, both] = [...found.values()] as [Outcome, Outcome, Outcome, Outcome];
    for (const [way, { harm, ours }] of found) {
      process.stdout.write(`${way}: ${(harm * 100).toFixed(2)} % of production throttled, ${ours.toFixed(0)}/s ours\n`);
    }
  }, 120_000);

  it("a fixed rate of the whole quota takes a third of production, half of it still a tenth", () => {
    expect(whole.harm).toBeGreaterThan(0.25);
    expect(half.harm).toBeGreaterThan(0.05);
    expect(half.harm).toBeLessThan(0.2);
  });

  it("additive increase and multiplicative decrease leave production more than 98 of 100", () => {
    expect(aimd.harm).toBeLessThan(0.02);
    expect(aimd.harm).toBeLessThan(half.harm / 5);
  });

  it("a ceiling beside it costs little and bounds what is taken in quiet hours", () => {
    expect(both.harm).toBeLessThan(aimd.harm * 1.5);
    expect(both.ours).toBeGreaterThan(aimd.ours * 0.8);
    expect(aimd.ours).toBeGreaterThan(both.ours);
  });

  it("is deterministic", async () => {
    expect(await simulate(WAYS["AIMD under a ceiling of half the quota"])).toEqual(both);
  }, 60_000);
});
