import { randomBytes } from "node:crypto";
import type { Fault } from "../../src/pocket/http.ts";
import { signal } from "../pipeline/world.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { collect, findings } from "./oracle.ts";
import { putFar } from "./requests.ts";
import { inWorld, type LossWorld } from "./world.ts";

const CONFLICT = { outcome: "conflict", code: "CONFLICT" } as const;
const ALWAYS = { times: Number.POSITIVE_INFINITY };

/** A stranger's object is there, or comes between the look and the put. */
const strangers =
  (far: "gcs" | "s3"): Scenario =>
  (build) =>
    inWorld({ build, far }, async (world) => {
      for (const key of ["standing", "racing", "free"]) await world.place(key);
      await world.stand("standing");
      const cloud = far === "s3" ? world.clouds.s3 : world.gcs;
      cloud.faults.add({ match: putFar("racing"), first: () => world.stand("racing") });
      return findings(world, await world.migrate(), { standing: CONFLICT, racing: CONFLICT });
    });

/** In parts, at a server that ignores conditions on Complete: the stranger comes with the last part. */
const lastLook: Scenario = (build) =>
  inWorld({ build, far: "s3" }, async (world) => {
    await world.place("parts", { plaintext: randomBytes(65 * 1024 * 1024), writer: null });
    const { faults } = world.clouds.s3;
    faults.add({ match: ({ query }) => query.get("partNumber") === "5", first: () => world.stand("parts") });
    const isComplete: Fault["match"] = ({ method, query }) => method === "POST" && query.has("uploadId");
    faults.add({ match: isComplete, forgets: /^if-/, ...ALWAYS });
    return findings(world, await world.migrate(), { parts: CONFLICT });
  });

/** A store that ignores create-only puts altogether is refused before the first object. */
const ignoring: Scenario = (build) =>
  inWorld({ build }, async (world) => {
    await world.place("free");
    world.gcs.faults.add({ match: ({ method }) => method === "POST", forgets: /^ifGenerationMatch$/, ...ALWAYS });
    const { code, stderr } = await world.sealift(["run", await world.jobFile(), "--workers", "1", "--json"]);
    const stands = await world.destination.head("free", signal);
    const found = code === 3 && stderr.includes("PREFLIGHT_CREATE_ONLY") ? [] : [`the program ended with ${code}`];
    return stands ? [...found, "free: was written to a store that overwrites"] : found;
  });

/** What arrived and was archived since is the same object: known by its head, neither read nor written again. */
const archived: Scenario = (build) =>
  inWorld({ build, far: "s3" }, async (world) => {
    await world.place("archived");
    await world.migrate();
    await archive(world, "archived");
    let writes = 0;
    world.clouds.s3.faults.add({ match: (request) => putFar("archived")(request) && ++writes < 0 });
    const mid = await world.start();
    await world.settled(mid);
    const { result } = await world.status(mid);
    const found = writes === 0 ? [] : [`archived: ${writes} writes over an archived object`];
    return result?.counts.already === 1 ? found : [...found, `archived: ${JSON.stringify(result?.counts)}`];
  });

async function archive(world: LossWorld, key: string): Promise<void> {
  const { head, body } = await world.destination.open(key, { signal });
  const metadata = [...head.attributes.metadata].map(([name, value]) => [`x-amz-meta-${name}`, value] as const);
  const headers = { ...Object.fromEntries(metadata), "x-amz-storage-class": "GLACIER" };
  const { contentType } = head.attributes;
  await world.putS3("far", key, await collect(body), { ...headers, "content-type": contentType ?? "" });
}

lossClass(16, "a newer or archived object at the destination overwritten", [
  {
    it: "strangers' objects in Cloud Storage",
    scenario: strangers("gcs"),
    controls: [
      {
        without: "the create-only put",
        changes: [{ module: "store/gcs/upload", find: `return "0";`, replace: "return undefined;" }],
        reports: /^racing: rewrapped, where it should have been conflict$/m,
      },
      {
        without: "the conflict where another object stands",
        changes: [{ module: "transfer/copy", find: "if (rules.overwrite)", replace: "if (true)" }],
        reports: /^standing: rewrapped, where it should have been conflict$/m,
      },
    ],
  },
  {
    it: "strangers' objects in S3",
    scenario: strangers("s3"),
    controls: [
      {
        without: "the create-only put",
        changes: [{ module: "store/s3/condition", find: `{ "if-none-match": "*" }`, replace: "{}" }],
        reports: /^racing: rewrapped, where it should have been conflict$/m,
      },
    ],
  },
  {
    it: "a stranger's object that comes while parts are sent, at a server that ignores conditions on Complete",
    scenario: lastLook,
    controls: [
      {
        without: "the last look before Complete",
        changes: [
          {
            module: "store/s3/writing",
            find: "await checkStanding(this.#options, key, options);\n            const etag",
            replace: "const etag",
          },
        ],
        reports: /^parts: resealed, where it should have been conflict$/m,
      },
    ],
  },
  {
    it: "a store that ignores create-only puts",
    scenario: ignoring,
    controls: [
      {
        without: "the probe before a migration starts",
        changes: [
          {
            module: "transfer/preflight",
            find: 'throw new SealiftError("PREFLIGHT_CREATE_ONLY", `${store.name} overwrites where it was told to create only`);',
            replace: "",
          },
        ],
        reports: /^free: was written to a store that overwrites$/m,
      },
    ],
  },
  {
    it: "an object that arrived and was archived",
    scenario: archived,
    controls: [
      {
        without: "the comparison with what stands, and the create-only put behind it",
        changes: [
          {
            module: "transfer/copy",
            find: "if (!standing)",
            replace: "if (true)",
          },
          { module: "store/s3/condition", find: `{ "if-none-match": "*" }`, replace: "{}" },
        ],
        reports: /^archived: 1 writes over an archived object$/m,
      },
    ],
  },
]);
