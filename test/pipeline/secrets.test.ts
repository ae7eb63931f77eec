/** After a run with harm in it: no data key, no plaintext anywhere it should not be, and jobs that carry ids only. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { PREFIX } from "../../src/pipeline/keys.ts";
import { World } from "./world.ts";

let world: World | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

/** A key may leak as bytes, hex or base64, aligned or not. */
const spellings = (bytes: Buffer): Buffer[] => [
  bytes,
  Buffer.from(bytes.toString("hex")),
  Buffer.from(bytes.toString("base64").slice(0, 40)),
  Buffer.from(JSON.stringify(bytes.toString("latin1")).slice(1, -1)),
];

describe("secrets", { timeout: 120_000 }, () => {
  it("no data key and no plaintext in Redis's files, the ledger, logs and the state directory; jobs carry ids only", async () => {
    world = await World.open({ objects: 60, options: { verify: "full" } });
    world.slowUploads(30);
    world.gcs.faults.add({
      match: ({ query }) => query.get("name")?.includes("00021") ?? false,
      times: 9,
      answer: { status: 403, body: "no" },
    });
    const mid = await world.start();
    world.work("list");
    const [victim] = world.work("copy", 2);
    await world.until(mid, ({ handled }) => handled >= 10);
    const jobs = await jobData(world);
    victim?.kill("SIGKILL");
    await world.finished(mid);
    await world.connection.bgrewriteaof().catch(() => undefined);
    await sleep(1500);
    const places = await world.onDisk();
    places.set("logs", Buffer.from(world.output.join("")));
    expect([...places.keys()].some((path) => path.includes("appendonly"))).toBe(true);
    expect([...places.keys()].some((path) => path.includes("done"))).toBe(true);
    const leaks: string[] = [];
    for (const [key, { dataKey, plaintext }] of world.seeded) {
      const needles = [
        ...(dataKey ? spellings(dataKey) : []),
        plaintext.subarray(0, 24),
        ...spellings(plaintext.subarray(20, 60)),
      ];
      for (const [path, bytes] of places)
        if (needles.some((needle) => bytes.includes(needle))) leaks.push(`${key} in ${path}`);
    }
    expect(leaks).toEqual([]);
    expect(jobs.length).toBeGreaterThan(0);
    for (const data of jobs)
      expect(
        Object.keys(data as object)
          .sort()
          .join(),
      ).toMatch(/^(epoch,mid,seq,sid,v|mid,sid,v|mid,v)$/);
  });

  it("the scan finds a key that is there", async () => {
    world = await World.open({ objects: 3 });
    const [first] = world.seeded.values();
    const key = first?.dataKey as Buffer;
    await world.connection.set("leak", key.toString("base64"));
    await sleep(1500);
    const places = await world.onDisk();
    expect([...places.values()].some((bytes) => spellings(key).some((needle) => bytes.includes(needle)))).toBe(true);
  });

  it("an injected job with a foreign payload harms nothing", async () => {
    world = await World.open({ objects: 30 });
    const mid = await world.start();
    const { openQueues, closeQueues } = await import("../../src/pipeline/job.ts");
    const queues = openQueues(world.connection);
    const evil = { v: 1, mid, sid: "s0001", seq: 1, epoch: 0, ledger: "s3://evil/" };
    for (const data of [evil, {}, { v: 1, mid: "../../x", sid: "s0001" }])
      await queues.copy.add("page", data, { attempts: 1 });
    await queues.list.add("shard", { v: 1, mid, sid: "s9999" }, { attempts: 1 });
    world.work("list");
    world.work("copy");
    const { result } = await world.until(mid, (status) => status.result !== undefined || status.state === "Failed");
    await closeQueues(queues);
    expect(result).toMatchObject({ state: "Completed", listed: 30 });
  });
});

/** What BullMQ's job hashes hold. */
async function jobData(w: World): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const key of await w.connection.keys(`${PREFIX}:copy:p.*`)) {
    if ((await w.connection.type(key)) === "hash")
      found.push(JSON.parse((await w.connection.hget(key, "data")) ?? "null"));
  }
  return found;
}
