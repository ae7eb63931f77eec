/**
 * Envelopes in instruction files through the whole house: listed on pages that separate bodies from files, copied by workers,
 * retried, compared, adopted, and opened with the destination's key alone.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ENVELOPES } from "../../src/compose/envelopes.ts";
import { openWorkAt } from "../../src/compose/work.ts";
import { OwnCeiling } from "../../src/core/pace.ts";
import { sumCounts } from "../../src/core/plan.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { adoptPages, beginAdoption } from "../../src/pipeline/adopt.ts";
import { retryMigration } from "../../src/pipeline/control.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { type Format, makeApart } from "../transfer/apart.ts";
import { collect, once } from "../transfer/harness.ts";
import { signal, World } from "./world.ts";

const FORMATS: readonly Format[] = ["V1", "V2", "V3"];
const OTHERS = 20;
const BODIES = 12;
const LISTED = OTHERS + 2 * BODIES;

let world: World;
afterEach(() => world.close());

/** The last two, of V2 and V3, are huge ones to this job. */
const textOf = (i: number) => Buffer.alloc(i < BODIES - 2 ? 40 : 3 * 1024 * 1024, `PLAINTEXT-OF-BODY-${i} `);
const keyOf = (i: number) => `c/${String(i).padStart(2, "0")}`;

async function put(key: string, bytes: Buffer, metadata: Record<string, string> = {}): Promise<void> {
  const attributes = { metadata: new Map(Object.entries(metadata)) };
  await world.source.put(key, once(bytes), { sizeBytes: bytes.length, attributes, condition: "absent", signal });
}

async function seedDivided(): Promise<void> {
  for (let i = 0; i < BODIES; i++) {
    const format = FORMATS[i % FORMATS.length] ?? "V2";
    const { body, metadata, file } = await makeApart({ directory: join(world.directory, "keys") }, format, textOf(i));
    await put(keyOf(i), body, metadata);
    await put(`${keyOf(i)}.instruction`, Buffer.from(JSON.stringify(file)));
  }
}

async function opened(key: string): Promise<string> {
  const directory = join(world.directory, "keys");
  // Bare keys are not named here: only what the job's key has wrapped opens.
  const kms = openLocalKms({ directory, raw: [] });
  const { head, body } = await world.destination.open(key, { signal });
  try {
    return (await collect(await openPlaintext(head, body, ENVELOPES, [kms], signal))).toString();
  } finally {
    await kms.close();
  }
}

describe("a migration of objects with instruction files", { timeout: 120_000 }, () => {
  it("ends with each body whole under the new key, each file left out, and every sum right, a retry included", async () => {
    world = await World.open({ objects: OTHERS, pageObjects: 3, options: { verify: "full", hugeBytes: "1M" } });
    await seedDivided();
    const late = [keyOf(3), keyOf(7)];
    world.gcs.faults.add({
      match: ({ method, query }) => method === "POST" && late.includes(query.get("name") ?? ""),
      times: Number.POSITIVE_INFINITY,
      answer: { status: 503, body: "no" },
    });
    const mid = await world.start();
    world.work("list");
    world.work("copy", 2);
    const first = await world.finished(mid);
    expect(first.result).toMatchObject({ state: "CompletedWithErrors", listed: LISTED });
    expect(first.totals.counts).toMatchObject({ failed: late.length, filtered: BODIES, refused: 0 });
    world.gcs.faults.clear();
    expect(await retryMigration(world.control, mid, undefined)).toBe(late.length);
    const { result, totals } = await world.until(mid, ({ epoch, result: end }) => epoch === 1 && end !== undefined);
    expect(result).toMatchObject({ state: "Completed", listed: LISTED });
    expect([sumCounts(totals.counts), totals.counts.filtered]).toEqual([LISTED, BODIES]);

    const { keys, changed } = await world.farSide();
    const bodies = Array.from({ length: BODIES }, (_, i) => keyOf(i));
    expect(keys.toSorted()).toEqual([...world.seeded.keys(), ...bodies].toSorted());
    expect(changed).toEqual([]);
    for (let i = 0; i < BODIES; i++) expect(await opened(keyOf(i))).toBe(textOf(i).toString());
    expect(world.output.join("")).toMatch(/group copied/);
    await compareAndAdopt(mid);
  });
});

/** What was moved is found the same without its ledger. */
async function compareAndAdopt(mid: string): Promise<void> {
  world.killWorkers();
  await rm(join(world.directory, "ledger"), { recursive: true });
  await world.connection.flushall();
  const { control } = world;
  const plan = await beginAdoption(control, mid, world.job, "");
  const work = await openWorkAt({ source: undefined, destination: undefined })(plan, new OwnCeiling());
  try {
    const verdicts = new Map<string, number>();
    for await (const page of world.source.list("", {}, signal)) {
      for (const object of page.objects) {
        const { verdict } = await verifyObject(object, work.shores, work.rules, { full: true, signal });
        verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
      }
    }
    expect(Object.fromEntries(verdicts)).toEqual({ same: LISTED - BODIES, filtered: BODIES });
    const adopted = await adoptPages({ control, work, atOnce: 4 });
    expect(adopted.objects).toEqual({ adopted: LISTED, left: 0 });
  } finally {
    await work.shores.close();
  }
}
