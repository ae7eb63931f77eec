import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { PocketAnswer } from "../../src/pocket/harm.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { aboutFar, type Happening, happening, putFar } from "./requests.ts";
import { inWorld, type LossWorld } from "./world.ts";

/** For what was held back to happen. */
const QUIET_MS = 300;

/** The service says that it has other bytes than it was sent: the put is withdrawn. */
const lie = (answer: PocketAnswer): PocketAnswer => {
  const resource = JSON.parse(answer.body.toString()) as object;
  return { ...answer, body: Buffer.from(JSON.stringify({ ...resource, crc32c: "AAAAAA==" })) };
};

const removals = (key: string) => (request: Parameters<ReturnType<typeof aboutFar>>[0]) =>
  request.method === "DELETE" && aboutFar(key)(request);

/** The migration from beginning to end, and only then what was held back. */
async function migrateFirst(world: LossWorld, then: Happening): Promise<string> {
  const mid = await world.migrate();
  then.happen();
  await sleep(QUIET_MS);
  return mid;
}

/** The removal of the first try's object is sent twice by a proxy, the second time after the second try has succeeded. */
const removedTwice: Scenario = (build) =>
  inWorld({ build }, async (world) => {
    await world.place("again");
    world.gcs.faults.add({ match: putFar("again"), change: lie });
    const end = happening();
    world.gcs.faults.add({ match: removals("again"), again: end.promise });
    return findings(world, await migrateFirst(world, end));
  });

/** The removal seems to have failed, and happens in the end. */
const removedLate: Scenario = (build) =>
  inWorld({ build }, async (world) => {
    await world.place("late");
    world.gcs.faults.add({ match: putFar("late"), change: lie });
    const end = happening();
    world.gcs.faults.add({ match: removals("late"), late: end.promise });
    return findings(world, await migrateFirst(world, end), { late: { outcome: "failed", code: "STORE_CHECKSUM" } });
  });

/** A part fails, the upload is aborted, the second try succeeds, and the abort comes once more. */
const abortedTwice: Scenario = (build) =>
  inWorld({ build, far: "s3" }, async (world) => {
    await world.place("parts", { plaintext: randomBytes(65 * 1024 * 1024), writer: null });
    const { faults } = world.clouds.s3;
    const isPart = (request: Parameters<ReturnType<typeof aboutFar>>[0]) => request.query.has("partNumber");
    faults.add({ match: isPart, skip: 1, answer: { status: 500 } });
    const end = happening();
    faults.add({ match: removals("parts"), again: end.promise });
    return findings(world, await migrateFirst(world, end));
  });

lossClass(3, "late cleanup deletes the retry's success", [
  {
    it: "an object withdrawn twice",
    scenario: removedTwice,
    controls: [
      {
        without: "the generation in the removal",
        changes: [
          {
            module: "store/gcs/api",
            find: "const path = this.object(key, { generation: version });",
            replace: "const path = this.object(key, {});",
          },
        ],
        reports: /^again: (rewrapped|already), and it is not there$/m,
      },
    ],
  },
  {
    it: "an object withdrawn late",
    scenario: removedLate,
    controls: [
      {
        without: "the end of the tries where a removal's fate is not known",
        changes: [{ module: "store/gcs/upload", find: `, cause, retry: "never" }`, replace: ", cause }" }],
        reports: /^late: already, and it is not there$/m,
      },
    ],
  },
  {
    it: "an upload aborted twice",
    scenario: abortedTwice,
    controls: [
      {
        without: "the upload's own id in the abort",
        changes: [
          {
            module: "store/s3/multipart",
            find: "const query = { uploadId: this.#uploadId };",
            replace: "const query = {};",
          },
        ],
        reports: /^parts: (resealed|already), and it is not there$/m,
      },
    ],
  },
]);
