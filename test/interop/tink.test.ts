/**
 * Tink's envelopes, moved: Tink opens them under the new key. And objects of the S3 Encryption Client that arrive as Tink's, their
 * bodies unchanged: Tink opens those too, and after the way back the S3 Encryption Client does.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bench, catComplaints, complaints, type Message, nothingOf, openBench } from "./bench.ts";
import { CLAIMS } from "./claims.ts";
import { type OpenClient, openClient } from "./client.ts";
import { OFFICIALS, wrapAfter } from "./clients.ts";
import { isRight, readRows, type Row, writeRow } from "./crossing.ts";
import { OFFERS } from "./messages.ts";
import { missing } from "./programs.ts";
import { checkTable, Seen } from "./table.ts";

const why = nothingOf("tink", "tink");
/** Of both. */
const seen = new Seen();

describe.skipIf(why !== undefined)(`Tink's envelopes (${why ?? "carried"})`, { timeout: 120_000 }, () => {
  let bench: Bench;

  beforeAll(async () => {
    bench = await openBench("tink", ["kms"], {}, seen);
    const { world } = bench;
    const key = `aws-kms://${world.keys.near}`;
    for (const template of OFFERS.tink.variants) {
      const folder = `tink/${template}/`;
      const more = { from: folder, to: folder, options: { tink: { template, key } } };
      await world.sealift("near", "beyond", more);
      await world.sealift("near", "far", more);
    }
    world.awsKms.disable(world.keys.near);
    // What sealift wrote has its sign.
    await world.sealift("far", "back");
  }, 120_000);
  afterAll(async () => bench?.close());

  it.each([
    ["beyond", "kms"],
    ["far", "gcp"],
    ["back", "kms"],
  ] as const)("are opened by Tink at %s", async (place, wrap) => {
    const { world, messages } = bench;
    expect(messages.length).toBeGreaterThan(0);
    for (const one of messages) {
      const as = { wrap, kmsKey: world.keys[place] };
      expect(await complaints(bench, place, one.sample.key, one, as)).toEqual([]);
    }
  });

  it("are opened by sealift under Google's key", async () => {
    for (const one of bench.messages) expect(await catComplaints(bench, one.sample.key, one)).toEqual([]);
  });
});

const writers = OFFICIALS.filter((one) => missing(one) === undefined);
const convertible = (official: (typeof OFFICIALS)[number]) =>
  official.writes.filter((written) => wrapAfter(written) === "V2 kms+context");

describe.skipIf(why !== undefined || writers.length === 0)(
  `S3 Encryption Client to Tink (${why ?? "carried"})`,
  { timeout: 120_000 },
  () => {
    let bench: Bench;
    const clients = new Map<string, OpenClient>();
    const rows: Row[] = [];

    beforeAll(async () => {
      // Nothing sealed by Tink itself: its clients only read.
      bench = await openBench("tink", [], {}, seen);
      const { world } = bench;
      await Promise.all(writers.map(async (one) => clients.set(one.id, await openClient(one.command(), world.clouds))));
      for (const one of writers) {
        for (const written of convertible(one)) rows.push(await writeRow(world, one, clientOf(one.id), written));
      }
      const toTink = { options: { envelope: "tink" }, keys: { sealContext: {} } };
      await world.sealift("near", "far", toTink);
      await world.sealift("near", "beyond", toTink);
      world.awsKms.disable(world.keys.near);
      await world.sealift("far", "back", { options: { envelope: "s3ec-v2" } });
    }, 120_000);
    afterAll(async () => {
      await Promise.all([...clients.values()].map((one) => one.close()));
      await bench?.close();
    });

    function clientOf(id: string): OpenClient {
      const client = clients.get(id);
      if (client === undefined) throw new Error(`${id} is not open`);
      return client;
    }

    it.each([
      ["far", "gcp"],
      ["beyond", "kms"],
    ] as const)("is opened by Tink at %s", async (place, wrap) => {
      const { world, libraries } = bench;
      expect(rows.length).toBeGreaterThan(0);
      for (const { by, sample } of rows.flatMap((row) => row.samples.map((sample) => ({ by: row.by, sample })))) {
        const [writer] = libraries;
        if (writer === undefined) throw new Error("no client of Tink is open");
        const called = {
          by: by?.official.id ?? "",
          wrap: by?.written.says.wrap ?? "",
          as: "S3EC V2 GCM, `envelope: tink`",
        };
        const message: Message = { writer, variant: "AES256_GCM", wrap: "kms", context: {}, sample, called };
        const as = { wrap, kmsKey: world.keys[place] };
        expect(await complaints(bench, place, sample.key, message, as)).toEqual([]);
        if (sample.sizeBytes !== 1) continue;
        // S3EC's bodies are bound to nothing, so Tink must be told of nothing.
        const bound = { ...message, called: null, context: { associatedData: "something" } };
        expect(await complaints(bench, place, sample.key, bound, as)).toHaveLength(libraries.length);
      }
    });

    it.each(writers)("is opened again by $id after the way back, as far as it opens that wrap", async (official) => {
      const readings = await readRows(bench.world, official, clientOf(official.id), "back", rows);
      const last = readings.filter(({ mode }) => mode === official.modes.at(-1));
      const wrong = last.filter(({ sample, answer }) => !isRight(sample, answer)).map(({ sample }) => sample.key);
      const opens = CLAIMS[official.id]?.["V2 kms+context"].reads !== undefined;
      expect(wrong).toEqual(opens ? [] : last.map(({ sample }) => sample.key));
    });
  },
);

const committing = (official: (typeof OFFICIALS)[number]) =>
  official.writes.filter((written) => written.says.format === "s3ec-v3");
/** The suite of V3. */
const ASSOCIATED = "\u0000s";

describe.skipIf(why !== undefined || writers.length === 0)(
  `S3 Encryption Client V3 to Tink, where it is asked for (${why ?? "carried"})`,
  { timeout: 120_000 },
  () => {
    let bench: Bench;
    const rows: Row[] = [];

    beforeAll(async () => {
      bench = await openBench("tink", [], {}, seen);
      const { world } = bench;
      for (const one of writers.filter((writer) => committing(writer).length > 0)) {
        const client = await openClient(one.command(), world.clouds);
        for (const written of committing(one)) rows.push(await writeRow(world, one, client, written));
        await client.close();
      }
      const toTink = { options: { envelope: "tink", tinkFromV3: true }, keys: { sealContext: {} } };
      await world.sealift("near", "far", toTink);
      await world.sealift("near", "beyond", toTink);
      world.awsKms.disable(world.keys.near);
    }, 120_000);
    afterAll(async () => bench?.close());

    it.each([
      ["far", "gcp"],
      ["beyond", "kms"],
    ] as const)(
      "is opened by Tink at %s with its suite as associated data, and with none by nobody",
      async (place, wrap) => {
        const { world, libraries } = bench;
        const [writer] = libraries;
        if (writer === undefined) throw new Error("no client of Tink is open");
        expect(rows.length).toBeGreaterThan(0);
        for (const { by, sample } of rows.flatMap((row) => row.samples.map((sample) => ({ by: row.by, sample })))) {
          const as = { wrap, kmsKey: world.keys[place] };
          const called = {
            by: by?.official.id ?? "",
            wrap: by?.written.says.wrap ?? "",
            as: "S3EC V3, `tinkFromV3: true`, with associated data `00 73`",
          };
          const context = { associatedData: ASSOCIATED };
          const message: Message = { writer, variant: "AES256_GCM", wrap: "kms", context, sample, called };
          expect(await complaints(bench, place, sample.key, message, as)).toEqual([]);
          const bare = { ...message, context: {}, called: null };
          if (sample.sizeBytes === 1)
            expect(await complaints(bench, place, sample.key, bare, as)).toHaveLength(libraries.length);
        }
      },
    );

    it("is what docs/formats.md has, with all that was seen before", () => checkTable("tink", seen, bench.versions));
  },
);
