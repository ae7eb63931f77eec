import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { sumCounts } from "../../src/core/plan.ts";
import { cancelMigration, pauseMigration, resumeMigration, retryMigration } from "../../src/pipeline/control.ts";
import { World } from "./world.ts";

let world: World | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

async function open(objects: number, options: object = {}): Promise<World> {
  world = await World.open({ objects, ...options });
  return world;
}

describe("steering", { timeout: 120_000 }, () => {
  it("pause stops taking pages, resume goes on, also after Redis was lost in between", async () => {
    const w = await open(240);
    w.slowUploads(100);
    const mid = await w.start();
    w.work("list");
    w.work("copy");
    await w.until(mid, ({ handled }) => handled >= 20);
    await pauseMigration(w.control, mid);
    await w.until(mid, ({ state }) => state === "Paused");
    await sleep(2500);
    const held = (await w.status(mid)).handled;
    await sleep(1500);
    expect((await w.status(mid)).handled).toBe(held);
    expect(held).toBeLessThan(240);
    await w.connection.flushall();
    await w.until(mid, ({ state }) => state === "Paused");
    await resumeMigration(w.control, mid);
    const { result } = await w.finished(mid);
    expect(result).toMatchObject({ state: "Completed", listed: 240 });
  });

  it("cancel is the end: what was copied stays, nothing more is copied, and it cannot be resumed", async () => {
    const w = await open(240);
    w.slowUploads(100);
    const mid = await w.start();
    w.work("list");
    w.work("copy");
    await w.until(mid, ({ handled }) => handled >= 20);
    await cancelMigration(w.control, mid);
    await w.until(mid, ({ state }) => state === "Cancelled");
    await sleep(1500);
    const { keys } = await w.farSide();
    expect(keys.length).toBeLessThan(240);
    expect(keys.length).toBeGreaterThanOrEqual(20);
    await sleep(1500);
    expect((await w.farSide()).keys.length).toBe(keys.length);
    await expect(resumeMigration(w.control, mid)).rejects.toMatchObject({ code: "CANCELLED" });
  });

  it("SIGTERM gives the pages in hand back and ends with 0; another worker goes on at once", async () => {
    const w = await open(100);
    w.slowUploads(60);
    const mid = await w.start();
    w.work("list");
    const [first] = w.work("copy");
    await w.until(mid, ({ handled }) => handled >= 20);
    first?.kill("SIGTERM");
    const [code] = await once(first as NonNullable<typeof first>, "exit");
    expect(code).toBe(0);
    w.work("copy");
    expect((await w.finished(mid)).result).toMatchObject({ state: "Completed", listed: 100 });
  });

  it("resume failed goes over the failed objects only, and the sums stay right", async () => {
    const w = await open(90);
    const refused = ["00011", "00042", "00077"];
    w.gcs.faults.add({
      match: ({ method, query }) => method === "POST" && refused.some((n) => query.get("name")?.includes(n)),
      times: Number.POSITIVE_INFINITY,
      answer: { status: 503, body: "no" },
    });
    const mid = await w.start();
    w.work("list");
    w.work("copy", 2);
    const first = await w.finished(mid);
    expect(first.result).toMatchObject({ state: "CompletedWithErrors", listed: 90, epoch: 0 });
    expect(first.totals.counts.failed).toBe(3);
    expect(first.totals.codes).toEqual({ PROVIDER_ERROR: 3 });
    w.gcs.faults.clear();
    const uploads = w.gcs.counts.get("POST") ?? 0;
    expect(await retryMigration(w.control, mid, "NET_TIMEOUT")).toBe(0);
    expect(await retryMigration(w.control, mid, undefined)).toBe(3);
    const second = await w.until(mid, ({ epoch, result }) => epoch === 1 && result !== undefined);
    expect(second.result).toMatchObject({ state: "Completed", listed: 90, epoch: 1, codes: {} });
    expect(sumCounts(second.totals.counts)).toBe(90);
    expect((w.gcs.counts.get("POST") ?? 0) - uploads).toBe(3);
    expect(await retryMigration(w.control, mid, undefined)).toBe(0);
    expect((await w.farSide()).keys.length).toBe(90);
  });

  it("a retry survives the loss of Redis half-way", async () => {
    const w = await open(90);
    w.gcs.faults.add({
      match: ({ method }) => method === "POST",
      times: Number.POSITIVE_INFINITY,
      answer: { status: 503, body: "no" },
    });
    const mid = await w.start();
    w.work("list");
    w.work("copy", 2);
    expect((await w.finished(mid)).totals.counts.failed).toBe(90);
    w.gcs.faults.clear();
    w.slowUploads(60);
    // Nine pages of ten; one more where a shard that split cut a page short.
    expect(await retryMigration(w.control, mid, undefined)).toBeGreaterThanOrEqual(9);
    await w.until(mid, ({ totals }) => totals.counts.failed <= 60);
    await w.connection.flushall();
    const end = await w.until(mid, ({ epoch, result }) => epoch === 1 && result !== undefined);
    expect(end.result).toMatchObject({ state: "Completed", listed: 90 });
    expect((await w.farSide()).keys.length).toBe(90);
  });

  it("a second migration finds everything there and writes nothing", async () => {
    const w = await open(60);
    const mid = await w.start();
    w.work("list");
    w.work("copy");
    await w.finished(mid);
    const uploads = w.gcs.counts.get("POST") ?? 0;
    const again = await w.start();
    const { totals } = await w.finished(again);
    expect(totals.counts).toMatchObject({ already: 60, rewrapped: 0, resealed: 0 });
    expect(w.gcs.counts.get("POST")).toBe(uploads);
  });
});
