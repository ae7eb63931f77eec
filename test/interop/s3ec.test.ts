/**
 * The S3 Encryption Client's formats between official clients: each writes in every style it has, sealift moves what they wrote to
 * another bucket, and by way of Google Cloud and back, and each of them reads all of it. What a client refuses, it refuses in the
 * words that claims.ts expects, and of objects under the KMS it reads as much as it read before they were moved.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Claim, type Claims, CLAIMS } from "./claims.ts";
import { type OpenClient, openClient } from "./client.ts";
import { type Official, OFFICIALS, rowId, wrapAfter } from "./clients.ts";
import {
  catOne,
  get,
  isRight,
  put,
  readRequest,
  type Reading,
  readRows,
  type Row,
  type Sample,
  sealAt,
  USUAL_BYTES,
  writePlain,
  writeRow,
} from "./crossing.ts";
import { cellOf, keptMatrix, keepMatrix, matrix } from "./matrix.ts";
import { missing } from "./programs.ts";
import { openWorld, SEAL_CONTEXT, type Totals, type World } from "./world.ts";

const here = OFFICIALS.filter((official) => missing(official) === undefined);
const PLACES = ["near", "beyond", "back"] as const;

let world: World;
const clients = new Map<string, OpenClient>();
const rows = new Map<string, Row>();
const moved = new Map<string, Totals>();
/** By client and place. */
const readings = new Map<string, readonly Reading[]>();

beforeAll(async () => {
  world = await openWorld();
  await Promise.all(here.map(async (one) => clients.set(one.id, await openClient(one.command(), world.clouds))));
  for (const row of (await Promise.all(here.map(writeAll))).flat()) rows.set(row.id, row);
  rows.set("plain", await writePlain(world));
  // With the KMS alone; bare keys are no reader's here.
  await readAll("near", (row) => row.by?.written.wrap === "kms");
  await move("near", "beyond");
  await move("near", "far");
  // Whoever still needed the key of the source would fail from here on.
  world.awsKms.disable(world.keys.near);
  await Promise.all([readAll("beyond"), move("far", "back")]);
  await readAll("back");
}, 300_000);

afterAll(async () => {
  await Promise.all([...clients.values()].map((one) => one.close()));
  await world?.close();
});

async function writeAll(official: Official): Promise<Row[]> {
  const written: Row[] = [];
  for (const style of official.writes) written.push(await writeRow(world, official, clientOf(official), style));
  return written;
}

async function readAll(place: (typeof PLACES)[number], only: (row: Row) => boolean = () => true): Promise<void> {
  const some = [...rows.values()].filter(only);
  await Promise.all(
    here.map(async (one) => {
      readings.set(`${one.id} ${place}`, await readRows(world, one, clientOf(one), place, some));
    }),
  );
}

const move = async (from: "near" | "far", to: "beyond" | "far" | "back") =>
  moved.set(`${from}-${to}`, await world.sealift(from, to));

const clientOf = ({ id }: Official): OpenClient => {
  const client = clients.get(id);
  if (client === undefined) throw new Error(`${id} is not open`);
  return client;
};

const rowOf = (id: string): Row => {
  const row = rows.get(id);
  if (row === undefined) throw new Error(`nobody wrote ${id}`);
  return row;
};

const readingsOf = (official: Official, place: string, row: string): Reading[] =>
  (readings.get(`${official.id} ${place}`) ?? []).filter((reading) => reading.row.id === row);

function claimsOf({ id }: Official): Claims {
  const claims = CLAIMS[id];
  if (claims === undefined) throw new Error(`claims.ts does not know ${id}`);
  return claims;
}

/** Before they are moved, some envelopes stand in files. */
function claimOf(official: Official, { by }: Row, place: (typeof PLACES)[number]): Claim {
  const { inFile, ...claims } = claimsOf(official);
  const wrap = wrapAfter(by?.written);
  const refusal = inFile?.[wrap.startsWith("V3") ? "V3" : "V2"];
  return place === "near" && by?.written.place === "file" && refusal ? { refusal } : claims[wrap];
}

/** What is wrong with a reading, by the claim; undefined: nothing. */
function complaint({ reads, refusal }: Claim, { sample, mode, answer }: Reading): string | undefined {
  if (reads === mode || reads === "default") {
    return isRight(sample, answer) ? undefined : (answer.error ?? "another plaintext");
  }
  if (refusal === undefined) return answer.error ?? (answer.sha256 === sample.sha256 ? "it was opened" : undefined);
  if (answer.error === undefined) return "it was opened, against the claim";
  return refusal.test(answer.error) ? undefined : `refused in other words: ${answer.error}`;
}

describe.each(OFFICIALS)("$name ($id)", (official) => {
  const why = missing(official);
  if (why !== undefined) {
    it("is installed", (context) => context.skip(why));
    return;
  }

  it.each(official.writes.map((written) => ({ written, id: rowId(official, written) })))(
    "writes $id as it should",
    async ({ written, id }) => {
      for (const { key } of rowOf(id).samples) {
        const { seal, file } = await sealAt(world, "near", key);
        expect({ format: seal.format, content: seal.content, wrap: seal.wrap }).toEqual(written.says);
        expect(file?.key).toBe(written.place === "file" ? `${key}.instruction` : undefined);
      }
    },
  );

  const ids = [...here.flatMap((one) => one.writes.map((written) => rowId(one, written))), "plain"];
  it.each(ids)("of %s: reads what it can and refuses the rest in known words, moved or not", (id) => {
    const row = rowOf(id);
    for (const place of PLACES) {
      const list = readingsOf(official, place, id);
      const unread = place === "near" && row.by?.written.wrap !== "kms";
      expect(list).toHaveLength(unread ? 0 : row.samples.length + official.modes.length - 1);
      const claim = claimOf(official, row, place);
      const seen = list.map((reading) => [place, reading.sample.key, reading.mode, complaint(claim, reading)]);
      expect(seen.filter(([, , , wrong]) => wrong !== undefined)).toEqual([]);
    }
  });
});

describe("sealift", () => {
  it("moved every object and kept the files back", () => {
    const all = [...rows.values()];
    const count = (some: readonly Row[]) => some.reduce((sum, { samples }) => sum + samples.length, 0);
    const objects = count(all);
    const files = count(all.filter(({ by }) => by?.written.place === "file"));
    const plain = count(all.filter(({ by }) => by === undefined));
    const first = { rewrapped: objects - plain, resealed: plain, filtered: files, refused: 0, failed: 0, conflict: 0 };
    for (const way of ["near-beyond", "near-far"]) {
      expect(moved.get(way)).toMatchObject({ listed: objects + files, verified: objects, counts: first });
    }
    const second = { rewrapped: objects, resealed: 0, filtered: 0, refused: 0, failed: 0, conflict: 0 };
    expect(moved.get("far-back")).toMatchObject({ listed: objects, verified: objects, counts: second });
  });

  it("wrapped everything as claims.ts has it, in the metadata", async () => {
    for (const row of rows.values()) {
      const wrap = wrapAfter(row.by?.written);
      for (const [place, expected] of [
        ["beyond", wrap],
        ["far", wrap.replace(/ .*/, " gcp-kms+context")],
        ["back", wrap],
      ] as const) {
        for (const { key } of row.samples) {
          const { seal, file } = await sealAt(world, place, key);
          const stands = `${seal.format.slice(5).toUpperCase()} ${seal.wrap}`;
          expect([place, key, stands, file]).toEqual([place, key, expected, undefined]);
        }
      }
    }
  });

  it("sealed plain objects under the context of the job", async () => {
    for (const { key } of rowOf("plain").samples) {
      const { seal } = await sealAt(world, "back", key);
      expect(Object.fromEntries(seal.context)).toMatchObject(SEAL_CONTEXT);
    }
  });

  it("opens everything under Google's key", async () => {
    for (const { samples } of rows.values()) {
      for (const sample of samples) {
        expect([sample.key, isRight(sample, await catOne(world, sample.key))]).toEqual([sample.key, true]);
      }
    }
  });
});

describe.each(here)("$name ($id), given what it must not open", (official) => {
  const mode = official.modes.at(-1) ?? "default";
  /** One row for each wrap. */
  const examples = () => new Map([...rows.values()].map((row) => [wrapAfter(row.by?.written), row] as const));
  /** Those that it opens. */
  const opened = () => [...examples()].filter(([wrap]) => claimsOf(official)[wrap].reads !== undefined);
  const usual = (row: Row): Sample => {
    const sample = row.samples.find(({ sizeBytes }) => sizeBytes === USUAL_BYTES);
    if (sample === undefined) throw new Error(`${row.id} has no object of ${USUAL_BYTES} bytes`);
    return sample;
  };

  /** Puts a variant of an object there, and lets the client read it. */
  async function readVariant(row: Row, name: string, change: (one: Stored, other: Stored) => Stored) {
    const sample = usual(row);
    const other = row.samples.find((one) => one !== sample) ?? sample;
    const variant = change(await get(world, "beyond", sample.key), await get(world, "beyond", other.key));
    const key = `${name}/${official.id}/${sample.key}`;
    await put(world, "beyond", key, variant.bytes, variant.metadata);
    const { seal } = await sealAt(world, "beyond", key);
    return { sample, answer: await clientOf(official).ask(readRequest(world, "beyond", key, seal, mode)) };
  }

  it("reads the copies that the next tests are made of", async () => {
    expect(opened().length).toBeGreaterThan(0);
    for (const [, row] of opened()) {
      const { sample, answer } = await readVariant(row, "copy", (one) => one);
      expect([row.id, isRight(sample, answer)]).toEqual([row.id, true]);
    }
  });

  it("fails on an object that has another's wrapped key", async () => {
    for (const [, row] of opened()) {
      const { sample, answer } = await readVariant(row, "swapped", (one, other) => ({
        ...one,
        metadata: new Map(
          [...one.metadata].map(([name, value]) => [
            name,
            name === "x-amz-key-v2" || name === "x-amz-3" ? (other.metadata.get(name) ?? "") : value,
          ]),
        ),
      }));
      expect([row.id, isRight(sample, answer)]).toEqual([row.id, false]);
    }
  });

  it("fails on a body with one bit turned, where the body is authenticated", async () => {
    for (const [wrap, row] of opened().filter(([, { by }]) => by?.written.body !== "cbc")) {
      const { answer } = await readVariant(row, "turned", (one) => {
        const bytes = Buffer.from(one.bytes);
        bytes[USUAL_BYTES >> 1] = (bytes[USUAL_BYTES >> 1] ?? 0) ^ 1;
        return { ...one, bytes };
      });
      expect([wrap, row.id, answer.error]).toEqual([wrap, row.id, expect.any(String)]);
    }
  });

  it.for(["V3 12", "V2 kms+context", "V2 kms"] as const)(
    "refuses what was %s, under Google's key",
    async (wrap, context) => {
      const row = examples().get(wrap);
      if (row === undefined) return context.skip(`nobody here writes anything that becomes ${wrap}`);
      const sample = usual(row);
      const stored = await get(world, "far", sample.key);
      const key = `google/${official.id}/${sample.key}`;
      await put(world, "beyond", key, stored.bytes, stored.metadata);
      const { seal } = await sealAt(world, "beyond", key);
      const { google, ...claims } = claimsOf(official);
      const refusal = wrap === "V3 12" ? google.V3 : google.V2;
      const decrypts = world.awsKms.counts.get("POST Decrypt");
      for (const each of official.modes) {
        const answer = await clientOf(official).ask(readRequest(world, "beyond", key, seal, each));
        // The default mode may refuse for what it refuses anyhow.
        const early = each !== mode && answer.error !== undefined && claims[wrap].refusal?.test(answer.error);
        const wrong = early ? undefined : complaint(refusal ? { refusal } : {}, { row, sample, mode: each, answer });
        expect([each, wrong]).toEqual([each, undefined]);
      }
      expect(world.awsKms.counts.get("POST Decrypt")).toBe(decrypts);
    },
  );
});

type Stored = Awaited<ReturnType<typeof get>>;

describe("the matrix", () => {
  const absent = OFFICIALS.filter((official) => !here.includes(official));

  it("is what docs/formats.md has", (context) => {
    const text = matrix(
      OFFICIALS.map((official) => ({
        official,
        version: clients.get(official.id)?.version,
        missing: missing(official),
      })),
      [...rows.values()],
      (official, row, place) => cellOf(official, readingsOf(official, place, row.id)),
    );
    console.log(text);
    if (process.env["SEALIFT_INTEROP_KEEP"]) keepMatrix(text);
    if (absent.length > 0) context.skip(`not installed: ${absent.map(({ name }) => name).join(", ")}`);
    // Versions are this machine's.
    const comparable = (some: string) => some.replaceAll(/\d+(\.\d+)+/g, "");
    expect(comparable(keptMatrix())).toBe(comparable(text));
  });
});
