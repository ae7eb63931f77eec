/** Redis at its memory limit in the middle of a run: nobody dies, nobody spins, nothing is lost, and with room it goes on by itself. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { sumCounts } from "../../src/core/plan.ts";
import { cancelMigration, pauseMigration, resumeMigration } from "../../src/pipeline/control.ts";
import { orFull } from "../../src/pipeline/room.ts";
import { signal, World } from "./world.ts";

let world: World;
afterEach(() => world.close());

async function used(): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await world.connection.info("memory"))?.[1]);
}

/** Somebody else's data, and a limit of which so much is used then. */
async function fill(part: number): Promise<void> {
  await world.connection.rpush("somebody-elses-data", ...Array.from({ length: 160 }, () => "x".repeat(100_000)));
  await world.connection.config("SET", "maxmemory", String(Math.floor((await used()) / part)));
}

async function makeRoom(): Promise<void> {
  await world.connection.config("SET", "maxmemory", "512mb");
}

async function commands(): Promise<number> {
  return Number(/^total_commands_processed:(\d+)/m.exec(await world.connection.info("stats"))?.[1]);
}

describe("a full Redis", { timeout: 180_000 }, () => {
  it("in the middle of a run: workers rest, status says why, and with room the run ends whole", async () => {
    world = await World.open({ objects: 160 });
    world.slowUploads(500);
    const mid = await world.start();
    const workers = [...world.work("list"), ...world.work("copy", 2)];
    await world.until(mid, ({ handled }) => handled >= 10);
    await fill(1.05);
    const { trouble, result } = await world.status(mid);
    expect(result).toBeUndefined();
    expect(trouble).toMatch(/^Redis is 10\d % full: workers rest/);
    workers.push(...world.work("copy"));
    await sleep(3000);
    const before = { lines: world.output.join("").split("\n").length, commands: await commands() };
    await sleep(6000);
    // Three processes and their queues, each asking once a second or less; a spinning worker alone makes thousands.
    expect((await commands()) - before.commands).toBeLessThan(600);
    expect(world.output.join("").split("\n").length - before.lines).toBeLessThan(60);
    expect(workers.map(({ exitCode, signalCode }) => exitCode ?? signalCode)).toEqual([null, null, null, null]);
    const held = await world.status(mid);
    expect(held.result).toBeUndefined();
    expect(held.handled).toBeLessThan(160);

    await makeRoom();
    const end = await world.finished(mid);
    expect(end.result).toMatchObject({ state: "Completed", listed: 160 });
    expect(sumCounts(end.totals.counts)).toBe(160);
    const far = await world.farSide();
    expect(far.keys.sort()).toEqual([...world.seeded.keys()].sort());
    expect(far.changed).toEqual([]);
    expect(workers.map(({ exitCode, signalCode }) => exitCode ?? signalCode)).toEqual([null, null, null, null]);
  });

  it("from the start: the operator is told, workers wait, and resume begins it when there is room", async () => {
    world = await World.open({ objects: 30 });
    const workers = [...world.work("list"), ...world.work("copy")];
    await sleep(1500);
    await fill(1.05);
    await expect(world.start()).rejects.toMatchObject({ code: "REDIS_FULL" });
    const mid = (await world.ledger.migrations(signal).next()).value as string;
    await makeRoom();
    await resumeMigration(world.control, mid);
    expect((await world.finished(mid)).result).toMatchObject({ state: "Completed", listed: 30 });
    expect(workers.every(({ exitCode }) => exitCode === null)).toBe(true);
  });

  it("is told by single commands, by scripts and by transactions alike", async () => {
    world = await World.open({ objects: 1 });
    await fill(1.05);
    const { connection } = world;
    const refused = [
      connection.set("a", "b"),
      connection.eval("return redis.call('SET', KEYS[1], 'b')", 1, "a"),
      connection.multi().set("a", "b").pexpire("a", 1000).exec(),
    ];
    for (const one of refused) await expect(orFull<unknown>(one)).rejects.toMatchObject({ code: "REDIS_FULL" });
    await makeRoom();
    await expect(orFull(connection.call("NO-SUCH"))).rejects.toThrow(/unknown command/);
  });

  it("what it was too full to be told can be told again: pause, and cancel", async () => {
    world = await World.open({ objects: 60 });
    const mid = await world.start();
    await fill(1.05);
    await expect(pauseMigration(world.control, mid)).rejects.toMatchObject({ code: "REDIS_FULL" });
    await makeRoom();
    await pauseMigration(world.control, mid);
    expect((await world.status(mid)).state).toBe("Paused");
    await fill(1.05);
    await expect(cancelMigration(world.control, mid)).rejects.toMatchObject({ code: "REDIS_FULL" });
    await makeRoom();
    await cancelMigration(world.control, mid);
    expect((await world.status(mid)).state).toBe("Cancelled");
  });

  it("at 60 % nothing more is listed, status says so, and listing goes on when there is room", async () => {
    world = await World.open({ objects: 60 });
    await fill(0.65);
    const mid = await world.start();
    world.work("list");
    world.work("copy");
    const { trouble } = await world.until(mid, (status) => status.trouble !== undefined);
    expect(trouble).toMatch(/^Redis is \d\d % full: listing waits/);
    await sleep(3000);
    const waiting = await world.status(mid);
    expect(waiting.totals).toMatchObject({ pages: 0, listed: 0 });
    await makeRoom();
    const end = await world.finished(mid);
    expect(end.result).toMatchObject({ state: "Completed", listed: 60 });
    expect(end.trouble).toBeUndefined();
  });
});
