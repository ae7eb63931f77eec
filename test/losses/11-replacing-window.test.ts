import { setTimeout as sleep } from "node:timers/promises";
import { REMOVED_FIRST } from "./guards.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings, halfway } from "./oracle.ts";
import { putFar } from "./requests.ts";
import { IMPATIENT, inWorld, type LossWorld } from "./world.ts";

/** Looks again and again whether the old object stands, or the new one whole; what it saw otherwise. */
async function watch(world: LossWorld, key: string, over: () => boolean): Promise<string[]> {
  const seen = new Set<string>();
  while (!over()) {
    const now = await halfway(world, [key]);
    for (const line of now) seen.add(line);
    await sleep(20);
  }
  return [...seen];
}

/** The worker is killed while the put that replaces an object is on its way; another one does it again. */
const killedInBetween: Scenario = (build) =>
  inWorld({ build, options: { overwrite: true } }, async (world) => {
    await world.place("replaced");
    await world.stand("replaced");
    let under = false;
    world.gcs.faults.add({
      match: (request) => putFar("replaced")(request) && (under = true),
      delayMs: 1500,
    });
    let over = false;
    const watched = watch(world, "replaced", () => over);
    const mid = await world.start();
    world.work("list");
    const [first] = world.work("copy", 1, IMPATIENT);
    for (let waitedMs = 0; !under && waitedMs < 30_000; waitedMs += 50) await sleep(50);
    await sleep(500);
    first?.kill("SIGKILL");
    world.work("copy", 1, IMPATIENT);
    await world.settled(mid);
    over = true;
    return [...(await watched), ...(await findings(world, mid))];
  });

lossClass(11, "a window between deleting the old and publishing the new", [
  {
    it: "a worker killed while it replaces an object",
    scenario: killedInBetween,
    controls: [
      {
        without: "the replacing in one conditional put",
        changes: [REMOVED_FIRST],
        reports: /^replaced: neither the old object nor the new one stands$/m,
      },
    ],
  },
]);
