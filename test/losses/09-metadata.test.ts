import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { aboutNear, putFar } from "./requests.ts";
import { inWorld } from "./world.ts";

const ODD = new Map([
  ["owner", "Zoë & Söhne"],
  ["looks-encoded", "=?UTF-8?Q?no?="],
  ["path", "a/b  c+d%2F"],
  ["emoji", "🔑 key"],
  ["empty", ""],
]);
const REFUSED = { outcome: "refused", code: "METADATA_UNFIT" } as const;

const beside =
  (far: "gcs" | "s3"): Scenario =>
  (build) =>
    inWorld({ build, far, options: { verify: "full" } }, async (world) => {
      await world.place("odd", { metadata: ODD });
      await world.place("dropped", { metadata: ODD });
      const cloud = far === "s3" ? world.clouds.s3 : world.gcs;
      cloud.faults.add({ match: putFar("dropped"), forgets: /^(x-amz-meta-)?path$/ });
      // Cannot be returned over HTTP: S3 only says that it is there.
      await world.place("hidden");
      world.clouds.s3.faults.add({
        match: aboutNear("hidden"),
        times: Number.POSITIVE_INFINITY,
        change: (answer) => ({ ...answer, headers: { ...answer.headers, "x-amz-missing-meta": "1" } }),
      });
      const dropped = { outcome: "failed", code: "VERIFY_MISMATCH", leavesSomething: true } as const;
      return findings(world, await world.migrate(), { hidden: REFUSED, dropped });
    });

/** Fits where it is, and does not with the envelope of the destination beside it: refused before anything is sent. */
const tooMuch: Scenario = (build) =>
  inWorld({ build, far: "s3" }, async (world) => {
    await world.place("much", { metadata: new Map([["owner", "x".repeat(1500)]]) });
    let sent = 0;
    world.clouds.s3.faults.add({ match: (request) => putFar("much")(request) && ++sent < 0 });
    const found = await findings(world, await world.migrate(), { much: REFUSED });
    return sent === 0 ? found : [...found, `much: was sent ${sent} times, though it cannot be carried`];
  });

const COMPARED = [
  {
    module: "transfer/attest",
    find: "throw mismatch(`its ${lost} differs`);",
    replace: ";",
  },
  { module: "transfer/copy", find: "throw lie(`its ${lost} differs`);", replace: ";" },
];

lossClass(9, "metadata replaced, dropped or renamed", [
  {
    it: "odd metadata, and an S3 that drops a pair",
    scenario: beside("s3"),
    controls: [
      {
        without: "the comparison of all that was set beside the object",
        changes: COMPARED,
        reports: /^dropped: rewrapped, and its metadata "path" is lost$/m,
      },
      {
        without: "the refusal of metadata that cannot be read",
        changes: [
          {
            module: "store/s3/head",
            find: `if (Number(headers["x-amz-missing-meta"] ?? 0) > 0) {`,
            replace: "if (false) {",
          },
        ],
        reports: /^hidden: rewrapped, where it should have been refused$/m,
      },
    ],
  },
  {
    it: "odd metadata, and a Cloud Storage that drops a pair",
    scenario: beside("gcs"),
    controls: [
      {
        without: "the comparison of all that was set beside the object",
        changes: COMPARED,
        reports: /^dropped: rewrapped, and its metadata "path" is lost$/m,
      },
    ],
  },
  {
    it: "more metadata than the destination keeps",
    scenario: tooMuch,
    controls: [
      {
        without: "the measuring before the put, in the plan and in the store",
        changes: [
          { module: "transfer/attributes", find: "checkFits(metadata, traits);", replace: "" },
          { module: "store/fit", find: "checkAttributes(traits, key, options.attributes);", replace: "" },
        ],
        reports: /^much: was sent \d+ times, though it cannot be carried$/m,
      },
    ],
  },
]);
