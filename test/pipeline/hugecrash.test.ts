/** A worker is killed at each boundary between two steps of a huge object; others finish it, and nothing is left over. */
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { FAILPOINTS } from "../../src/core/failpoint.ts";
import { type PocketS3, startPocketS3 } from "../../src/pocket/s3.ts";
import { addHuge, expectCompleted } from "./hugeworld.ts";
import { World } from "./world.ts";

const MIB = 1024 * 1024;
const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };

let world: World | undefined;
let s3: PocketS3 | undefined;
afterEach(async () => {
  await world?.close();
  await s3?.close();
  [world, s3] = [undefined, undefined];
});

async function killedAt(w: World, failpoint: string, sizes: readonly [number, number]): Promise<void> {
  const huge = [await addHuge(w, "huge/a", sizes[0]), await addHuge(w, "huge/b", sizes[1])];
  const mid = await w.start();
  w.work("list");
  const [victim] = w.work("copy", 1, { env: { SEALIFT_FAILPOINT: failpoint } });
  if (!victim) throw new Error("no worker");
  const [, signal] = (await once(victim, "exit")) as [number | null, string | null];
  expect(signal).toBe("SIGKILL");
  w.work("copy", 2);
  await expectCompleted(w, mid, huge);
}

const big = FAILPOINTS.filter((name) => name.startsWith("big."));

describe("a worker killed at", { timeout: 180_000 }, () => {
  it.each([...big, "done.committed"])("%s, to GCS", async (failpoint) => {
    world = await World.open({ objects: 4, options: { hugeBytes: "4M" } });
    await killedAt(world, failpoint, [8 * MIB, 4.5 * MIB]);
  });

  it.each(["big.part", "big.completed"])("%s, to S3", async (failpoint) => {
    s3 = await startPocketS3({ credentials: CREDENTIALS });
    s3.createBucket("far");
    process.env["HUGE_ID"] = CREDENTIALS.accessKeyId;
    process.env["HUGE_SECRET"] = CREDENTIALS.secretAccessKey;
    const credentials = { accessKeyId: "env:HUGE_ID", secretAccessKey: "env:HUGE_SECRET" };
    const destination = { url: "s3://far", endpoint: s3.url, region: "us-east-1", credentials };
    world = await World.open({ objects: 4, options: { hugeBytes: "6M" }, destination });
    await killedAt(world, failpoint, [14 * MIB, 7 * MIB]);
  });
});
