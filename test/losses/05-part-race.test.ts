import { randomBytes } from "node:crypto";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { inWorld } from "./world.ts";

/** How long the parts take: the first one longest, so that those behind it are done before it. */
const DELAYS_MS = [600, 0, 200, 50, 100];

const racing =
  (joinsBlindly: boolean): Scenario =>
  (build) =>
    inWorld({ build, far: "s3", s3: { joinsBlindly } }, async (world) => {
      await world.place("parts", { plaintext: randomBytes(65 * 1024 * 1024), writer: null });
      await world.place("sealed");
      DELAYS_MS.forEach((delayMs, index) =>
        world.clouds.s3.faults.add({
          match: ({ query }) => query.get("partNumber") === String(index + 1),
          delayMs,
        }),
      );
      return findings(world, await world.migrate());
    });

lossClass(5, "part race duplicates or misorders blocks, and the service does not check", [
  {
    it: "parts that end out of order, at a service that joins them as they are named",
    scenario: racing(true),
    controls: [
      {
        without: "the parts put in order",
        changes: [{ module: "store/s3/upload", find: ".toSorted((a, b) => a.number - b.number)", replace: "" }],
        // `already` where a busy machine lost the answer of the first try.
        reports: /^parts: (resealed|already), and it does not open/m,
      },
    ],
  },
  {
    it: "parts that end out of order, at a service that checks them",
    scenario: racing(false),
    controls: [
      {
        without: "the parts put in order: the service refuses, and nothing is lost but the object's turn",
        changes: [{ module: "store/s3/upload", find: ".toSorted((a, b) => a.number - b.number)", replace: "" }],
        reports: /^parts: failed \w+, where it should have been rewrapped or resealed or carried or already$/m,
      },
    ],
  },
]);
