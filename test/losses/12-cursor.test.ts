import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { putFar } from "./requests.ts";
import { inWorld } from "./world.ts";

const PAGES = 6;

/** The first page is slow, those behind it are done: then the worker is killed, and Redis with its disk. */
const outOfOrder: Scenario = (build) =>
  inWorld({ build, options: { pageObjects: 2 } }, async (world) => {
    for (let page = 1; page <= PAGES; page++) for (const name of ["a", "b"]) await world.place(`${page}/${name}`);
    for (const key of ["1/a", "1/b"])
      world.gcs.faults.add({ match: putFar(key), delayMs: 600_000, times: Number.POSITIVE_INFINITY });
    const mid = await world.start();
    world.work("list");
    world.work("copy");
    // Where the listing divided itself, there are more pages than these.
    await world.until(mid, ({ handled, listingDone }) => listingDone && handled === 2 * (PAGES - 1));
    world.killWorkers();
    await world.killRedis({ wipe: true });
    world.calm();
    world.work("list");
    world.work("copy");
    await world.settled(mid);
    return findings(world, mid);
  });

lossClass(12, "resume cursor ahead of work in flight", [
  {
    it: "a worker and Redis lost while pages ended out of order",
    scenario: outOfOrder,
    controls: [
      {
        without: "the watermark below the first open page, and the rebuild's and the audit's demand for each outcome",
        changes: [
          {
            module: "ledger/rebuild",
            find: "while (this.above.delete(this.watermark + 1))\n            this.watermark++;",
            replace: "this.watermark = Math.max(this.watermark, seq);",
          },
          {
            module: "ledger/rebuild",
            find: "marks.has(seq) ? required(",
            replace: "(await ledger.done(mid, shard.sid, seq, 0, signal)) ? required(",
          },
          {
            module: "ledger/audit",
            find: "if (!outcome)\n            throw new SealiftError",
            replace:
              "if (!outcome && !page.header.isLast) { previous = page; continue; }\n        if (!outcome)\n            throw new SealiftError",
          },
          {
            module: "ledger/audit",
            find: "if (seq !== expected)\n            break;",
            replace:
              "while (expected < seq) { const missing = expected++; yield async () => ({ seq: missing, page: await ledger.page(mid, sid, missing, signal), outcome: undefined }); }",
          },
        ],
        reports: /^1\/a: never handled$/m,
      },
    ],
  },
]);
