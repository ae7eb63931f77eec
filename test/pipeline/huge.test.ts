/** Objects that several workers copy together, with real workers and a real Redis: spread, flushed, tampered with, retried. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { cancelMigration, retryMigration } from "../../src/pipeline/control.ts";
import { closeQueues, openQueues, PAYLOAD_VERSION } from "../../src/pipeline/job.ts";
import { addHuge, expectCompleted, expectWhole, type Huge } from "./hugeworld.ts";
import { World } from "./world.ts";

const MIB = 1024 * 1024;
const FOREVER = Number.POSITIVE_INFINITY;

let world: World | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

async function openWorld(sizes: readonly number[], options: object = {}): Promise<{ w: World; huge: Huge[] }> {
  const w = await World.open({ objects: 6, options: { hugeBytes: "4M", verify: "full", ...options } });
  world = w;
  const huge: Huge[] = [];
  for (const [i, size] of sizes.entries()) huge.push(await addHuge(w, `huge/${i}`, size));
  return { w, huge };
}

/** What the workers said of the groups they copied. */
const groupsOf = (w: World): { object: string; parts: number; worker: string }[] =>
  w.output
    .join("")
    .split("\n")
    .filter((line) => line.includes("group copied"))
    .map((line) => JSON.parse(line) as { object: string; parts: number; worker: string });

describe("huge objects", { timeout: 180_000 }, () => {
  it("are copied by several workers at once, and verified as all others", async () => {
    const { w, huge } = await openWorld([24 * MIB, 12 * MIB + 1, 7 * MIB]);
    w.slowUploads(200);
    const mid = await w.start();
    w.work("list");
    w.work("copy", 3);
    const seen = await w.until(mid, ({ huge: { open, partsHeld } }) => open > 0 && partsHeld > 0);
    expect(seen.huge.parts).toBeGreaterThanOrEqual(seen.huge.partsHeld);
    await expectCompleted(w, mid, huge);
    const { result } = await w.finished(mid);
    expect(result?.verified).toBe(w.seeded.size + huge.length);
    const groups = groupsOf(w).filter(({ parts }) => parts > 0);
    for (const object of new Set(groups.map((group) => group.object))) {
      const workers = new Set(groups.filter((group) => group.object === object).map(({ worker }) => worker));
      expect(workers.size, `workers of ${object}`).toBeGreaterThanOrEqual(2);
    }
    // A group that runs twice looks first what is there already.
    const [objects, parts] = [new Set(groups.map(({ object }) => object)), groups.map((group) => group.parts)];
    expect(objects.size).toBe(3);
    expect(parts.reduce((sum, count) => sum + count, 0)).toBeLessThan(2 * (25 + 25 + 28));
  });

  it("arrive when Redis is flushed in the middle of them", async () => {
    const { w, huge } = await openWorld([16 * MIB, 9 * MIB]);
    w.slowUploads(400);
    const mid = await w.start();
    w.work("list");
    w.work("copy", 2);
    await w.until(mid, ({ huge: { partsHeld } }) => partsHeld > 0);
    await w.connection.flushall();
    await expectCompleted(w, mid, huge);
  });

  it("arrive when every worker is killed in the middle of them, and when one is told to end", async () => {
    const { w, huge } = await openWorld([16 * MIB, 9 * MIB]);
    w.slowUploads(400);
    const mid = await w.start();
    w.work("list");
    w.work("copy", 2);
    await w.until(mid, ({ huge: { partsHeld } }) => partsHeld > 0);
    w.killWorkers();
    w.work("list");
    const [ended] = w.work("copy", 2);
    await sleep(3000);
    ended?.kill("SIGTERM");
    await expectCompleted(w, mid, huge);
  });

  it("take no harm from jobs and names that somebody put into Redis", async () => {
    const { w, huge } = await openWorld([12 * MIB]);
    w.slowUploads(400);
    const mid = await w.start();
    w.work("list");
    w.work("copy", 2);
    await w.until(mid, ({ huge: { partsHeld } }) => partsHeld > 0);
    const bigs = `{sealift}:m:${mid}:big`;
    const [bid = ""] = await w.connection.smembers(bigs);
    const queues = openQueues(w.connection);
    const v = PAYLOAD_VERSION;
    const bad: [string, object][] = [
      ["big", { v, mid, bid: "s0001.1.999.e0" }],
      ["big", { v, mid, bid: "../../plan" }],
      ["big", { v, mid, bid, key: "huge/0" }],
      ["big", { v: v + 1, mid, bid }],
      ["group", { v, mid, bid, turn: 1, group: 4096 }],
      ["group", { v, mid, bid, turn: 9, group: 0 }],
      ["group", { v, mid, bid, turn: 0, group: -1 }],
      ["group", { v: v + 1, mid, bid, turn: 1, group: 0, more: true }],
      ["evil", { v, mid, bid }],
      ["__proto__", { v, mid, bid }],
    ];
    for (const [i, [name, data]] of bad.entries()) await queues.copy.add(name, data, { jobId: `tampered-${i}` });
    await w.connection.sadd(bigs, "s0001.1.999.e0", "s0001.77.1.e0", "nonsense");
    await closeQueues(queues);
    await expectCompleted(w, mid, huge);
  });

  it("that fail are an outcome with their code, leave no upload, and are gone over again by a retry", async () => {
    const { w, huge } = await openWorld([9 * MIB, 5 * MIB]);
    const refused = {
      status: 403,
      body: JSON.stringify({ error: { message: "no", errors: [{ reason: "forbidden" }] } }),
    };
    w.gcs.faults.add({
      match: ({ method, query }) => method === "POST" && /\/0000[37]-/.test(query.get("name") ?? ""),
      times: FOREVER,
      answer: refused,
    });
    const mid = await w.start();
    w.work("list");
    w.work("copy", 2);
    const { result } = await w.finished(mid);
    expect(result).toMatchObject({ state: "CompletedWithErrors", listed: 8, codes: { ACCESS_DENIED: 2 } });
    await expectWhole(w, []);
    w.gcs.faults.clear();
    expect(await retryMigration(w.control, mid, "NET_TIMEOUT")).toBe(0);
    expect(await retryMigration(w.control, mid, undefined)).toBe(1);
    await w.until(mid, (status) => status.result?.epoch === 1);
    await expectCompleted(w, mid, huge);
  });

  it("of a cancelled migration leave nothing behind", async () => {
    const { w, huge } = await openWorld([16 * MIB]);
    w.slowUploads(1500);
    const mid = await w.start();
    w.work("list");
    w.work("copy", 2);
    await w.until(mid, ({ huge: { partsHeld } }) => partsHeld > 0);
    await cancelMigration(w.control, mid);
    const left = async () => (await w.farSide()).keys.filter((key) => key.startsWith(".sealift"));
    // Parts that are under way arrive for a while yet: it has to stay clean.
    let clean = 0;
    for (let i = 0; i < 400 && clean < 30; i++) {
      clean = (await left()).length > 0 ? 0 : clean + 1;
      await sleep(100);
    }
    expect(await left()).toEqual([]);
    expect((await w.farSide()).keys).not.toContain(huge[0]?.key);
  });
});
