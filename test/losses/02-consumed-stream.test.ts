import { randomBytes } from "node:crypto";
import { PASSAGE, S3_LENGTH } from "./guards.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { aboutFar, putFar } from "./requests.ts";
import { inWorld } from "./world.ts";

const MIB = 1024 * 1024;

/** 502 in the middle of an upload, once: the second try must send everything again. */
const interrupted =
  (far: "gcs" | "s3"): Scenario =>
  (build) =>
    inWorld({ build, far }, async (world) => {
      const cloud = far === "s3" ? world.clouds.s3 : world.gcs;
      await world.place("middle", { plaintext: randomBytes(3 * MIB) });
      cloud.faults.add({ match: putFar("middle"), answer: { status: 502, afterBytes: MIB } });
      await world.place("lost-answer");
      cloud.faults.add({ match: putFar("lost-answer"), loseAnswer: true });
      // Another conditional write to the same key was in the way: S3 asks for a second try.
      await world.place("busy");
      const conflict = far === "s3" ? "<Error><Code>ConditionalRequestConflict</Code></Error>" : "{}";
      cloud.faults.add({ match: putFar("busy"), answer: { status: 409, body: conflict } });
      await world.place("whole");
      if (build === undefined) {
        await world.place("large", { plaintext: randomBytes(65 * MIB) });
        // A part, or a chunk of a session: both are PUTs.
        const match = (request: Parameters<ReturnType<typeof aboutFar>>[0]) =>
          request.method === "PUT" && aboutFar("large")(request);
        cloud.faults.add({ match, skip: 1, answer: { status: 502, afterBytes: MIB } });
      }
      return findings(world, await world.migrate());
    });

lossClass(2, "retry resends a consumed stream", [
  {
    it: "502 in the middle of an upload to S3",
    scenario: interrupted("s3"),
    controls: [
      {
        without: "the source opened anew for each try, and the lengths behind it",
        changes: [
          {
            module: "transfer/copy",
            find: "=> shores.source.open(listed.key, { ifVersion: pinOf(listed), signal });",
            replace: "=> (listed.opened ??= shores.source.open(listed.key, { signal }));",
          },
          PASSAGE,
          ...S3_LENGTH,
        ],
        reports: /^middle: rewrapped, and its bytes are not those of the source \(0\)$/m,
      },
    ],
  },
  { it: "502 in the middle of an upload to Cloud Storage", scenario: interrupted("gcs"), controls: [] },
]);
