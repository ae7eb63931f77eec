import { randomBytes } from "node:crypto";
import { DataKey, keyName, keyUri } from "../../src/core/key.ts";
import { signal } from "../pipeline/world.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { putFar } from "./requests.ts";
import { inWorld, type LossWorld } from "./world.ts";

const MISMATCH = { outcome: "failed", code: "VERIFY_MISMATCH", leavesSomething: true } as const;

/** A destination that keeps the bytes and forgets what was to stand beside them. */
const strippedByS3: Scenario = (build) =>
  inWorld({ build, far: "s3", options: { verify: "full" } }, async (world) => {
    for (const key of ["stripped", "whole"]) await world.place(key);
    world.clouds.s3.faults.add({ match: putFar("stripped"), forgets: /^x-amz-meta-/ });
    return findings(world, await world.migrate(), { stripped: MISMATCH });
  });

/** The same where nothing is read back: Cloud Storage says at once what it has. */
const strippedByGcs: Scenario = (build) =>
  inWorld({ build, options: { verify: "none" } }, async (world) => {
    for (const key of ["stripped", "whole"]) await world.place(key);
    world.gcs.faults.add({ match: putFar("stripped"), forgets: /^metadata$/ });
    return findings(world, await world.migrate(), { stripped: MISMATCH });
  });

/** A data key wrapped for somebody else, under the same key and context, as a mixed-up answer would bring it. */
async function anotherWrapped({ job, farKms, clouds }: LossWorld): Promise<string> {
  using other = new DataKey(randomBytes(32));
  const wrapWith = keyUri(job.keys.wrapWith);
  const context = new Map([
    ["tenant", "acme"],
    ["aws:x-amz-cek-alg", "AES/GCM/NoPadding"],
  ]);
  const { bytes } = await farKms.wrap(wrapWith, other, context, signal);
  const KeyId = keyName(wrapWith);
  return JSON.stringify({
    CiphertextBlob: Buffer.from(bytes).toString("base64"),
    KeyId,
    SourceKeyId: clouds.sourceArn,
  });
}

const swapped: Scenario = (build) =>
  inWorld({ build, far: "s3", options: { verify: "full" } }, async (world) => {
    await world.place("swapped");
    const match = ({ headers }: { headers: Record<string, unknown> }) =>
      headers["x-amz-target"] === "TrentService.ReEncrypt";
    world.clouds.awsKms.faults.add({ match, answer: { status: 200, body: await anotherWrapped(world) } });
    return findings(world, await world.migrate(), { swapped: MISMATCH });
  });

lossClass(8, "a new data key beside old ciphertext, or the envelope stripped", [
  {
    it: "S3 keeps the bytes and drops the metadata",
    scenario: strippedByS3,
    controls: [
      {
        without: "the reading back of what was written",
        changes: [
          {
            module: "transfer/copy",
            find: "const verified = verify ? await attest(sent, put.head, task) : false;",
            replace: "const verified = verify;",
          },
        ],
        reports: /^stripped: rewrapped, and its plaintext is another$/m,
      },
    ],
  },
  {
    it: "Cloud Storage keeps the bytes and drops the metadata",
    scenario: strippedByGcs,
    controls: [
      {
        without: "the comparison with what the put's answer says",
        changes: [
          {
            module: "transfer/copy",
            find: "const lost = lostOnTheWay(attributes, put.head.attributes);",
            replace: "const lost = undefined;",
          },
        ],
        reports: /^stripped: rewrapped, and its plaintext is another$/m,
      },
    ],
  },
  {
    it: "a KMS that answers with another data key's wrapping",
    scenario: swapped,
    controls: [
      {
        without: "the comparison of the two data keys",
        changes: [{ module: "transfer/attest", find: `throw mismatch("its data key is another one");`, replace: ";" }],
        reports: /^swapped: rewrapped, and it does not open/m,
      },
    ],
  },
]);
