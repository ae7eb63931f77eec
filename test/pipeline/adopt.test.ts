/** The ledger is gone, and Redis with it: what stands on the two shores is enough to go on where it was. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { openWorkAt } from "../../src/compose/work.ts";
import { OwnCeiling } from "../../src/core/pace.ts";
import { sumCounts } from "../../src/core/plan.ts";
import type { Attributes } from "../../src/core/object.ts";
import { type Adopted, adoptPages, beginAdoption } from "../../src/pipeline/adopt.ts";
import { resumeMigration } from "../../src/pipeline/control.ts";
import { signal, World } from "./world.ts";

let world: World;
afterEach(() => world.close());

const OBJECTS = 120;
const uploads = () => world.gcs.counts.get("POST") ?? 0;

async function migrate(): Promise<string> {
  const mid = await world.start();
  world.work("list");
  world.work("copy", 2);
  expect((await world.finished(mid)).result).toMatchObject({ state: "Completed", listed: OBJECTS });
  return mid;
}

async function loseLedger(): Promise<void> {
  await rm(join(world.directory, "ledger"), { recursive: true });
}

async function adopt(mid: string, job = world.job, onPage?: (soFar: Adopted) => void): Promise<Adopted> {
  const { control } = world;
  const plan = await beginAdoption(control, mid, job, "");
  const work = await openWorkAt({ source: undefined, destination: undefined })(plan, new OwnCeiling());
  try {
    return await adoptPages({ control, work, atOnce: 8, ...(onPage ? { onPage } : {}) });
  } finally {
    await work.shores.close();
  }
}

async function putThere(store: World["source"], key: string, body: Buffer, attributes: Attributes): Promise<void> {
  async function* once() {
    yield body;
  }
  await store.put(key, once(), { sizeBytes: body.length, attributes, condition: "any", signal });
}

async function bodyOf(key: string): Promise<{ body: Buffer; attributes: Attributes }> {
  const opened = await world.destination.open(key, { signal });
  const chunks: Uint8Array[] = [];
  for await (const chunk of opened.body) chunks.push(chunk);
  return { body: Buffer.concat(chunks), attributes: opened.head.attributes };
}

async function versionsThere(): Promise<Map<string, string | undefined>> {
  const versions = new Map<string, string | undefined>();
  for await (const page of world.destination.list("", {}, signal))
    for (const { key, version } of page.objects) versions.set(key, version);
  return versions;
}

describe("adopt", { timeout: 180_000 }, () => {
  it("a whole migration: every page has its outcome again, resume ends it, and not one object is uploaded", async () => {
    world = await World.open({ objects: OBJECTS });
    const mid = await migrate();
    const before = uploads();
    world.killWorkers();
    await loseLedger();
    await world.connection.flushall();
    // As an operator does it, with the program; no Redis is named and none is started.
    await writeFile(join(world.directory, "job.json"), JSON.stringify(world.job));
    const args = ["adopt", join(world.directory, "job.json"), "--id", mid, "--json"];
    const env = { ...process.env, SEALIFT_STATE_DIR: join(world.directory, "elsewhere") };
    const ledger = ["--ledger", `file://${join(world.directory, "ledger")}`];
    const main = new URL("../../dist/src/main.js", import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(process.execPath, [main, ...args, ...ledger], { env });
    const pages = OBJECTS / 10;
    expect(JSON.parse(stdout)).toEqual({
      id: mid,
      pages: { adopted: pages, left: 0 },
      objects: { adopted: OBJECTS, left: 0 },
      doubts: {},
    });
    expect((await world.status(mid)).state).toBe("Paused");
    await resumeMigration(world.control, mid);
    world.work("list");
    world.work("copy");
    const { result, totals } = await world.finished(mid);
    expect(result).toMatchObject({ state: "Completed", listed: OBJECTS, pages });
    expect(totals.counts).toMatchObject({ already: OBJECTS });
    // As the job says (sample): the first of each page and one in a hundred.
    expect(totals.verified).toBeGreaterThanOrEqual(pages);
    expect(uploads()).toBe(before);
  });

  it("opens no data key where the job verifies none", async () => {
    world = await World.open({ objects: OBJECTS, options: { verify: "none" } });
    const mid = await migrate();
    world.killWorkers();
    await loseLedger();
    for (const name of ["old", "new"]) await rm(join(world.directory, "keys", `${name}.key`));
    expect(await adopt(mid)).toMatchObject({ objects: { adopted: OBJECTS, left: 0 } });
  });

  it("a migration half-way: pages that have arrived are adopted, the workers do the rest and nothing twice", async () => {
    world = await World.open({ objects: OBJECTS });
    world.slowUploads(40);
    const mid = await world.start();
    world.work("list");
    const copiers = world.work("copy", 2);
    await world.until(mid, ({ handled }) => handled >= 50);
    for (const child of copiers) child.kill("SIGKILL");
    world.killWorkers();
    for (const child of copiers) if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    world.gcs.faults.clear();
    await loseLedger();
    await world.connection.flushall();
    const before = await versionsThere();
    const { pages, objects, doubts } = await adopt(mid);
    expect(pages.adopted).toBeGreaterThanOrEqual(4);
    expect(objects.adopted + objects.left).toBe(OBJECTS);
    expect(doubts).toEqual({ missing: pages.left });
    await resumeMigration(world.control, mid);
    world.work("list");
    world.work("copy", 2);
    const { result, totals } = await world.finished(mid);
    expect(result).toMatchObject({ state: "Completed", listed: OBJECTS });
    expect(sumCounts(totals.counts)).toBe(OBJECTS);
    expect(totals.counts.already).toBeGreaterThanOrEqual(before.size);
    const after = await versionsThere();
    expect(after.size).toBe(OBJECTS);
    for (const [key, version] of before) expect(after.get(key)).toBe(version);
    expect((await world.farSide()).changed).toEqual([]);
  });

  it("a Redis that outlived the ledger does not speak for it", async () => {
    world = await World.open({ objects: OBJECTS });
    const mid = await migrate();
    await loseLedger();
    // The workers are there all the time, and so is the old window, which says: finished.
    expect((await adopt(mid)).pages).toEqual({ adopted: 12, left: 0 });
    await resumeMigration(world.control, mid);
    expect((await world.finished(mid)).result).toMatchObject({ state: "Completed", listed: OBJECTS, epoch: 0 });
  });

  it("what changed at the source since, what was forged, and what another migration wrote is not adopted", async () => {
    world = await World.open({ objects: OBJECTS });
    const mid = await migrate();
    world.killWorkers();
    const keys = [...world.seeded.keys()].sort();
    const [changed = "", gone = "", forged = "", strange = ""] = [keys[5], keys[17], keys[25], keys[35]];
    await putThere(world.source, changed, Buffer.from("newer"), { metadata: new Map() });
    await world.source.remove(gone, signal);
    await putThere(world.source, "c/new", Buffer.from("new"), { metadata: new Map() });
    // The stamp, the envelope and the size are right; the bytes are somebody else's.
    const { body, attributes } = await bodyOf(forged);
    await putThere(world.destination, forged, Buffer.alloc(body.length, 7), attributes);
    const other = await bodyOf(strange);
    const metadata = new Map([...other.attributes.metadata, ["sealift-mid", "20200101-000000-aaaaaa"]]);
    await putThere(world.destination, strange, other.body, { ...other.attributes, metadata });
    await loseLedger();
    await world.connection.flushall();
    const { pages, doubts } = await adopt(mid);
    expect(pages.left).toBe(4);
    expect(doubts).toEqual({ different: 3, missing: 1 });
    await resumeMigration(world.control, mid);
    world.work("list");
    world.work("copy", 2);
    const { result, totals } = await world.finished(mid);
    expect(result).toMatchObject({ state: "CompletedWithSkipped", listed: OBJECTS });
    expect(totals.codes).toEqual({ CONFLICT: 2 });
    expect(totals.counts).toMatchObject({ already: OBJECTS - 3, conflict: 2, resealed: 1 });
  });

  it("one that was killed goes on: what it wrote stands, and the end is the same", async () => {
    world = await World.open({ objects: OBJECTS });
    const mid = await migrate();
    world.killWorkers();
    await loseLedger();
    await world.connection.flushall();
    const killed = adopt(mid, world.job, ({ pages }) => {
      if (pages.adopted === 5) throw new Error("killed");
    });
    await expect(killed).rejects.toThrow("killed");
    const first = await world.ledger.page(mid, "s0001", 1, signal);
    expect(first).toBeDefined();
    expect(await world.ledger.page(mid, "s0001", 6, signal)).toBeUndefined();
    expect((await adopt(mid)).pages).toEqual({ adopted: 12, left: 0 });
    expect((await world.ledger.page(mid, "s0001", 1, signal))?.sha256).toBe(first?.sha256);
    expect((await world.ledger.audit(mid, "now", signal)).counts.already).toBe(OBJECTS);
  });

  it("never touches a migration that is in the ledger, nor one that has gone on", async () => {
    world = await World.open({ objects: OBJECTS });
    const mid = await migrate();
    world.killWorkers();
    await expect(adopt(mid)).rejects.toMatchObject({ code: "LEDGER_EXISTS" });
    await expect(adopt("Not An Id")).rejects.toMatchObject({ code: "USAGE" });
    await loseLedger();
    await adopt(mid);
    const another = { ...world.job, options: { ...world.job.options, overwrite: true } };
    await expect(adopt(mid, another)).rejects.toMatchObject({ code: "LEDGER_EXISTS" });
    await resumeMigration(world.control, mid);
    await expect(adopt(mid)).rejects.toMatchObject({ code: "LEDGER_EXISTS" });
  });
});
