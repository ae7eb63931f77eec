import { randomBytes } from "node:crypto";
import { writeV3 } from "../../src/pocket/application.ts";
import { CUT_SOURCE, GCS_LENGTH, PASSAGE, S3_LENGTH } from "./guards.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { type Expectations, findings } from "./oracle.ts";
import { getNear } from "./requests.ts";
import { inWorld } from "./world.ts";

const CUT = { outcome: "failed", code: "STORE_CUT" } as const;
/** Above the size up to which either destination takes an object in one request. */
const LARGE_BYTES = 65 * 1024 * 1024;

/** The connection breaks after nothing, half, and all but one byte; once, and every time. */
const cut =
  (far: "gcs" | "s3"): Scenario =>
  (build) =>
    inWorld({ build, far }, async (world) => {
      const at: [string, number, number][] = [
        ["cut/0", 0, Number.POSITIVE_INFINITY],
        ["cut/half", 100, Number.POSITIVE_INFINITY],
        ["cut/all-but-one", 215, Number.POSITIVE_INFINITY],
        ["once/half", 100, 1],
      ];
      for (const [key, cutBodyAt, times] of at) {
        await world.place(key);
        world.clouds.s3.faults.add({ match: getNear(key), cutBodyAt, times });
      }
      await world.place("whole");
      const expected: Record<string, Expectations[string]> = { "cut/0": CUT, "cut/half": CUT, "cut/all-but-one": CUT };
      // The controls show the loss with the small ones already.
      if (build === undefined) {
        const { body } = await world.place("cut/large", { plaintext: randomBytes(LARGE_BYTES) });
        world.clouds.s3.faults.add({ match: getNear("cut/large"), cutBodyAt: body.length - 1, times: 9 });
        expected["cut/large"] = CUT;
      }
      return findings(world, await world.migrate(), expected);
    });

/** An answer that is whole in itself, and half of what was listed. */
const shrunk: Scenario = (build) =>
  inWorld({ build }, async (world) => {
    // In format V3, which does not state its plaintext's length: with V2 the envelope would tell too.
    await world.place("shrunk", { writer: writeV3 });
    await world.place("whole");
    world.clouds.s3.faults.add({
      match: getNear("shrunk"),
      times: Number.POSITIVE_INFINITY,
      change: (answer) => ({ ...answer, body: answer.body.subarray(0, 100) }),
    });
    return findings(world, await world.migrate(), { shrunk: { outcome: "failed", code: "STORE_CHANGED" } });
  });

lossClass(1, "short source committed as success", [
  {
    it: "a source that is cut, to S3",
    scenario: cut("s3"),
    controls: [
      {
        without: "the lengths held at the source, on the way and at the destination",
        changes: [...CUT_SOURCE, PASSAGE, ...S3_LENGTH],
        reports: /^cut\/half: rewrapped, and its bytes are not those of the source \(\d+\)$/m,
      },
    ],
  },
  {
    it: "a source that is cut, to Cloud Storage",
    scenario: cut("gcs"),
    controls: [
      {
        without: "the lengths held at the source, on the way, before and after the put",
        changes: [...CUT_SOURCE, PASSAGE, ...GCS_LENGTH],
        reports: /^cut\/half: rewrapped, and its bytes are not those of the source \(\d+\)$/m,
      },
    ],
  },
  {
    it: "a source that gives less than it listed",
    scenario: shrunk,
    controls: [
      {
        without: "the comparison of head and listing",
        changes: [
          {
            module: "transfer/pinned",
            find: `throw new SealiftError("STORE_CHANGED", "it is no longer the object that was listed");`,
            replace: "",
          },
        ],
        reports: /^shrunk: rewrapped, and its bytes are not those of the source \(\d+\)$/m,
      },
    ],
  },
]);
