import { randomBytes } from "node:crypto";
import { signal } from "../pipeline/world.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { getNear } from "./requests.ts";
import { inWorld, type LossWorld } from "./world.ts";

const CHANGED = { outcome: "failed", code: "STORE_CHANGED" } as const;
const GONE = { outcome: "failed", code: "STORE_NOT_FOUND" } as const;

/** Somebody writes other bytes of the same length under the key, with the same envelope beside them. */
async function replace(world: LossWorld, key: string): Promise<void> {
  const head = await world.source.head(key, signal);
  if (!head) throw new Error(`${key} is not there`);
  const metadata = [...head.attributes.metadata].map(([name, value]) => [`x-amz-meta-${name}`, value] as const);
  await world.putS3("near", key, randomBytes(head.sizeBytes), Object.fromEntries(metadata));
}

/** Between the listing and the reading; at a server that honours If-Match and at one that does not. */
const changing: Scenario = (build) =>
  inWorld({ build }, async (world) => {
    for (const key of ["replaced", "ignoring", "deleted", "kept"]) await world.place(key);
    const { faults } = world.clouds.s3;
    faults.add({ match: getNear("replaced"), first: () => replace(world, "replaced") });
    faults.add({ match: getNear("ignoring"), first: () => replace(world, "ignoring"), forgets: /^if-match$/ });
    faults.add({ match: getNear("deleted"), first: () => world.source.remove("deleted", signal) });
    for (const key of ["replaced", "ignoring", "deleted"]) world.gone.add(key);
    return findings(world, await world.migrate(), { replaced: CHANGED, ignoring: CHANGED, deleted: GONE });
  });

const AS_LISTED = [
  {
    module: "transfer/pinned",
    find: `throw new SealiftError("STORE_CHANGED", "it is no longer the object that was listed");`,
    replace: ";",
  },
  { module: "store/s3/reading", find: "throw changed(head.key);", replace: "return head;" },
];

lossClass(18, "object changes during the copy", [
  {
    it: "objects replaced and deleted between listing and reading",
    scenario: changing,
    controls: [
      {
        without: "the comparison of the answer with what was listed, in the driver and above it",
        changes: AS_LISTED,
        reports: /^ignoring: rewrapped, where it should have been failed$/m,
      },
      {
        without: "these and If-Match",
        changes: [
          ...AS_LISTED,
          {
            module: "store/s3/reading",
            find: 'headers: { "if-match": `"${pin.etag}"` },',
            replace: "headers: {},",
          },
        ],
        reports: /^replaced: rewrapped, where it should have been failed$/m,
      },
    ],
  },
]);
