/** A second migration over the same way: what both listings show as the first one left it is not asked about again. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { checkSince, findSince } from "../../src/pipeline/since.ts";
import { signal, World } from "./world.ts";

const OBJECTS = 120;
let world: World;
let first: string;

beforeAll(async () => {
  world = await World.open({ objects: OBJECTS, pageObjects: 20 });
  world.work("list");
  world.work("copy", 2);
  first = await world.start();
  await world.finished(first);
}, 120_000);
afterAll(() => world?.close());

/** Requests at the destination while it runs to its end. */
async function second(since: string | undefined) {
  world.gcs.counts.clear();
  const mid = await world.start(since);
  const { result } = await world.finished(mid);
  return { mid, counts: result?.counts, requests: Object.fromEntries(world.gcs.counts) };
}

describe("a second migration over the same way", () => {
  it("asks for listings only, where nothing has changed", async () => {
    const found = await findSince(world.ledger, world.job, signal);
    expect(found).toBe(first);
    const { counts, requests, mid } = await second(found);
    expect(counts).toMatchObject({ already: OBJECTS, conflict: 0, failed: 0 });
    // A shard that splits cuts pages short.
    const pages = Math.ceil(OBJECTS / 20) + 4;
    const { GET = 0, "GET list": lists = 0, "GET get": heads = 0, ...rest } = requests;
    expect([rest, GET]).toEqual([{}, lists + heads]);
    expect(lists).toBeLessThanOrEqual(pages);
    // A plain object that is the last of its page could have an envelope in a file behind it.
    expect(heads).toBeLessThanOrEqual(pages);
    // The third goes by what the second has seen.
    const third = await second(await findSince(world.ledger, world.job, signal));
    expect(third.counts).toMatchObject({ already: OBJECTS });
    expect(third.requests["GET"]).toBeLessThanOrEqual(2 * pages);
    expect(Object.keys(third.requests).every((kind) => kind in requests || kind === "GET get")).toBe(true);
    // Ids tell seconds apart: within one, either is the newest.
    expect([mid, third.mid]).toContain(await findSince(world.ledger, world.job, signal));
  }, 120_000);

  it("sees what was deleted, overwritten, or only given other metadata", async () => {
    const [gone, other, renamed] = [...world.seeded.keys()].sort();
    const { destination } = world;
    await destination.remove(gone ?? "", signal);
    for (const key of [other, renamed]) {
      const { body, head } = await destination.open(key ?? "", { signal });
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      if (key === other) bytes.writeUInt8(bytes.readUInt8(0) ^ 1);
      const metadata = key === renamed ? new Map([["owner", "else"]]) : head.attributes.metadata;
      const put = { sizeBytes: bytes.length, attributes: { metadata }, condition: "any" as const, signal };
      await destination.put(
        key ?? "",
        (async function* () {
          yield bytes;
        })(),
        put,
      );
    }
    const { counts } = await second(first);
    expect(counts).toMatchObject({ already: OBJECTS - 3, conflict: 2 });
    expect((counts?.rewrapped ?? 0) + (counts?.resealed ?? 0)).toBe(1);
  }, 120_000);

  it("goes on without a ledger that it cannot read", async () => {
    const { counts } = await second("20200101-000000-abcdef");
    expect(counts).toMatchObject({ already: OBJECTS - 2, conflict: 2 });
    expect(world.output.join("")).toContain("every object is asked about");
  }, 120_000);

  it("is not one that writes other things, or elsewhere", async () => {
    const { job, ledger } = world;
    const elsewhere = { ...job, destination: { ...job.destination, url: "gs://far/else" } };
    const otherKey = { ...job, keys: { ...job.keys, wrapWith: "local://other" } };
    const otherWay = { ...job, options: { ...job.options, fallback: "copy" as const } };
    for (const changed of [elsewhere, otherKey, otherWay]) {
      expect(await findSince(ledger, changed, signal)).toBeUndefined();
      const error: unknown = await checkSince(ledger, changed, first, signal).catch((thrown: unknown) => thrown);
      expect(asSealiftError(error).code).toBe("USAGE");
    }
    const slower = { ...job, name: "again", options: { ...job.options, transfers: 2, verify: "none" as const } };
    await checkSince(ledger, slower, first, signal);
  });
});
