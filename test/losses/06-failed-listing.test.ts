import { resumeMigration } from "../../src/pipeline/control.ts";
import type { Fault } from "../../src/pocket/http.ts";
import type { Change } from "./controls.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { type Expectations, findings } from "./oracle.ts";
import { listPage } from "./requests.ts";
import { inWorld, type LossWorld } from "./world.ts";

/** One harm a shard, to its second page: each lister's first try fails, its second does not. */
const HARMS: Readonly<Record<string, Omit<Fault, "match">>> = {
  a: { answer: { status: 500 } },
  b: { answer: { status: 504, headers: { "content-type": "text/html" }, body: "<html>Gateway Timeout</html>" } },
  c: { answer: { status: 200, headers: { "content-type": "text/html" }, body: "<html><p>Please log in.</p></html>" } },
  d: { change: (answer) => ({ ...answer, body: answer.body.subarray(0, answer.body.length - 60) }) },
  e: { answer: { status: 200 } },
  f: { answer: { status: 503, body: "<Error><Code>SlowDown</Code></Error>" } },
  g: { cutBodyAt: 300 },
};
const SHARDS = Object.keys(HARMS);
const PAGED = { pageObjects: 2, shardPrefixes: SHARDS.slice(1).map((shard) => `${shard}/`) };

async function placeFive(world: LossWorld, shards: readonly string[]): Promise<void> {
  for (const shard of shards) for (const n of [1, 2, 3, 4, 5]) await world.place(`${shard}/${n}`, { writer: null });
}

const sourceFails: Scenario = (build) =>
  inWorld({ build, s3: { rowsMax: 2 }, options: { ...PAGED, fallback: "copy" } }, async (world) => {
    await placeFive(world, SHARDS);
    for (const [shard, harm] of Object.entries(HARMS))
      world.clouds.s3.faults.add({ ...harm, match: listPage(`${shard}/`) });
    return findings(world, await world.migrate());
  });

/** A refusal that no retry mends halts the migration; resumed, it goes on where it was. */
const sourceRefuses: Scenario = (build) =>
  inWorld({ build, s3: { rowsMax: 2 }, options: { pageObjects: 2, fallback: "copy" } }, async (world) => {
    await placeFive(world, ["a"]);
    const body = "<Error><Code>AccessDenied</Code></Error>";
    const times = Number.POSITIVE_INFINITY;
    world.clouds.s3.faults.add({ match: listPage("a/"), times, answer: { status: 403, body } });
    const mid = await world.migrate();
    const halted = await world.status(mid);
    const early = halted.state === "Failed" && !halted.result ? [] : [`it is ${halted.state} without its second page`];
    world.calm();
    if (early.length === 0) await resumeMigration(world.control, mid);
    await world.settled(mid);
    return [...early, ...(await findings(world, mid))];
  });

/** The destination's listing fails: what stands there is no less there. */
const destinationFails: Scenario = (build) =>
  inWorld({ build }, async (world) => {
    const expected: Record<string, Expectations[string]> = {};
    for (const n of [1, 2, 3]) await world.place(`a/${n}`);
    for (const key of ["a/1", "a/3"]) {
      await world.stand(key);
      expected[key] = { outcome: "conflict", code: "CONFLICT" };
    }
    const match: Fault["match"] = ({ method, path }) => method === "GET" && path.endsWith("/b/far/o");
    world.gcs.faults.add({ match, answer: { status: 200, body: "<html>" }, times: Number.POSITIVE_INFINITY });
    return findings(world, await world.migrate(), expected);
  });

const EMPTY = "return { objects: [], nextToken: undefined };";
const STATUS: Change = {
  module: "store/s3/listing",
  find: `throw error.code === "STORE_NOT_FOUND" ? new SealiftError("PREFLIGHT_ACCESS", error.message) : error;`,
  replace: EMPTY,
};

lossClass(6, "failed listing taken for empty", [
  {
    it: "a source whose listing fails on a page behind the first",
    scenario: sourceFails,
    controls: [
      {
        without: "the refusal of pages that cannot be read",
        changes: [
          {
            module: "store/s3/listing",
            find: "throw broken(connection, asSealiftError(cause).message, cause);",
            replace: EMPTY,
          },
        ],
        reports: /^d\/5: never handled$/m,
      },
      {
        without: "the refusal of answers that are no success",
        changes: [STATUS],
        reports: /^a\/5: never handled$/m,
      },
    ],
  },
  {
    it: "a source that refuses to go on",
    scenario: sourceRefuses,
    controls: [
      {
        without: "the refusal of answers that are no success",
        changes: [STATUS],
        reports: /^it is Completed without its second page$/m,
      },
    ],
  },
  {
    it: "a destination whose listing fails",
    scenario: destinationFails,
    controls: [
      {
        without: "the doubt after a listing that failed, and the create-only put behind it",
        changes: [
          {
            module: "transfer/standing",
            find: "(standing.#whole = false)",
            replace: "(standing.#whole = true)",
          },
          { module: "store/gcs/upload", find: `return "0";`, replace: "return undefined;" },
        ],
        reports: /^a\/1: rewrapped, where it should have been conflict$/m,
      },
    ],
  },
]);
