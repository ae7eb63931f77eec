import { once } from "node:events";
import { signal } from "../pipeline/world.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { putFar } from "./requests.ts";
import { IMPATIENT, inWorld, type LossWorld } from "./world.ts";

const KEYS = ["01", "02", "03", "04", "05", "06", "07", "08", "09", "10"];

/** A worker that ends itself at a step, waited for. `stallMs`: after which another one takes up its work. */
async function dieAt(world: LossWorld, kind: "list" | "copy", failpoint: string, stallMs: number): Promise<void> {
  const [child] = world.work(kind, 1, { env: { SEALIFT_FAILPOINT: failpoint, SEALIFT_STALL: String(stallMs) } });
  if (child && child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

/** 04 is on the page that was written last, 09 was not listed yet. */
async function removeTwo(world: LossWorld): Promise<void> {
  for (const key of ["04", "09"]) await world.source.remove(key, signal);
  world.gone.add("04");
  world.placed.delete("09");
}

/**
 * The lister dies between a page's record and everything else, Redis loses its disk, objects vanish from the source, and a copier
 * dies right after a page was counted, so that the page comes again while another one is still open.
 */
const comesAgain: Scenario = (build) =>
  inWorld({ build, options: { pageObjects: 2 } }, async (world) => {
    for (const key of KEYS) await world.place(key);
    const mid = await world.start();
    await dieAt(world, "list", "page.written:2", 15_000);
    await removeTwo(world);
    await world.killRedis({ wipe: true });
    world.gcs.faults.add({ match: putFar("10"), delayMs: 5000 });
    world.work("list");
    await dieAt(world, "copy", "done.committed", 1000);
    world.work("copy", 1, { env: { SEALIFT_STALL: "1000" } });
    let [handled, listed] = [0, 0];
    await world.until(mid, (status) => {
      if (status.handled > status.totals.listed) [handled, listed] = [status.handled, status.totals.listed];
      return status.result !== undefined || status.state === "Failed";
    });
    const found = await findings(world, mid, { "04": { outcome: "failed", code: "STORE_NOT_FOUND" } });
    return handled > 0 ? [...found, `${handled} of ${listed} objects were told as handled`] : found;
  });

/** The lister dies after a page's record, and the source has changed when another one comes to that page. */
const adopted: Scenario = (build) =>
  inWorld({ build, options: { pageObjects: 2 } }, async (world) => {
    for (const key of KEYS) await world.place(key);
    const mid = await world.start();
    await dieAt(world, "list", "page.written:2", 5000);
    await removeTwo(world);
    world.work("list", 1, IMPATIENT);
    world.work("copy");
    await world.settled(mid);
    return findings(world, mid, { "04": { outcome: "failed", code: "STORE_NOT_FOUND" } });
  });

lossClass(15, "checkpoint corruption and double counting", [
  {
    it: "a page that comes again after it was counted, and a Redis that lost its disk",
    scenario: comesAgain,
    controls: [
      {
        without: "the commit that counts a page once",
        changes: [
          {
            module: "pipeline/scripts",
            find: "if seq <= wm or redis.call('SISMEMBER', KEYS[3], seq) == 1 then return 0 end",
            replace: "",
          },
        ],
        reports: /^(Redis counts |\d+ of \d+ objects were told as handled)/m,
      },
    ],
  },
  {
    it: "a scan that crashes, and a source that shrinks before it goes on",
    scenario: adopted,
    controls: [
      {
        without: "the adoption of a page that was written, and the audit of the chain behind it",
        changes: [
          {
            module: "ledger/ledger",
            find: "        return adopted;",
            replace: "        return { header, objects, sha256: sha256Hex(bytes) };",
          },
          {
            module: "ledger/audit",
            find: `throw broken(name, "does not begin where the page before it ended");`,
            replace: ";",
          },
          {
            module: "ledger/audit",
            find: `throw broken(name, "does not follow the page before it (hash)");`,
            replace: ";",
          },
        ],
        reports: /^05: never handled$/m,
      },
    ],
  },
]);
