/** What the official clients wrote, sealift moved, and the official clients were asked to read. */
import { createHash, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ByteStream } from "../../src/core/object.ts";
import type { Seal } from "../../src/envelope/envelope.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { readSeal } from "../../src/transfer/sealed.ts";
import type { Answer, Mode, OpenClient, ReadRequest } from "./client.ts";
import { type Official, rowId, type Written } from "./clients.ts";
import type { Place, World } from "./world.ts";

/** One style of one writer, in all sizes. */
export interface Row {
  readonly id: string;
  /** Absent: objects that nobody sealed but sealift. */
  readonly by?: { readonly official: Official; readonly written: Written };
  readonly samples: readonly Sample[];
}

/** One object. */
export interface Sample {
  readonly key: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** The one size that is asked for in every mode. */
export const USUAL_BYTES = 4097;
const SMALL = [0, 1, USUAL_BYTES];
/** Past the point where the Go client goes by way of a file, and no multiple of anything. */
const LARGE = 3 * 1024 * 1024 + 1;
const CONTEXT = { tenant: "acme", purpose: "interop" };

/** Large objects only where the envelope stands in the metadata. Throws where the writer refuses, with its words. */
export async function writeRow(world: World, official: Official, client: OpenClient, written: Written): Promise<Row> {
  const id = rowId(official, written);
  const { says: _, ...style } = written;
  const samples: Sample[] = [];
  for (const sizeBytes of written.place === "file" ? SMALL : [...SMALL, LARGE]) {
    const plaintext = randomBytes(sizeBytes);
    const file = join(world.directory, `${official.id}.plaintext`);
    await writeFile(file, plaintext, { mode: 0o600 });
    const key = `${id}/${sizeBytes}`;
    const request = { op: "write", bucket: "near", key, file, kmsKey: world.keys.near, context: CONTEXT } as const;
    const { error } = await client.ask({ ...request, ...style });
    if (error !== undefined) throw new Error(`${key}: ${error}`);
    samples.push({ key, sizeBytes, sha256: sha256(plaintext) });
  }
  return { id, by: { official, written }, samples };
}

export async function writePlain(world: World): Promise<Row> {
  const samples: Sample[] = [];
  for (const sizeBytes of [...SMALL, LARGE]) {
    const plaintext = randomBytes(sizeBytes);
    const key = `plain/${sizeBytes}`;
    await put(world, "near", key, plaintext, new Map());
    samples.push({ key, sizeBytes, sha256: sha256(plaintext) });
  }
  return { id: "plain", samples };
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const signal = (): AbortSignal => new AbortController().signal;

export async function put(
  world: World,
  place: Place,
  key: string,
  bytes: Uint8Array,
  metadata: ReadonlyMap<string, string>,
): Promise<void> {
  const body = (async function* () {
    yield bytes;
  })();
  const how = { sizeBytes: bytes.length, attributes: { metadata }, condition: "absent", signal: signal() } as const;
  await world.stores[place].put(key, body, how);
}

/** As stored. */
export async function get(world: World, place: Place, key: string) {
  const { head, body } = await world.stores[place].open(key, { signal: signal() });
  return { metadata: head.attributes.metadata, bytes: await whole(body) };
}

async function whole(stream: ByteStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

/** How an object stands at a place, by its own envelope. */
export const sealAt = ({ stores, envelopes }: World, place: Place, key: string) =>
  readSeal(stores[place], key, envelopes, signal());

/** On Google's side only sealift reads, in general: as `sealift cat` does. */
export async function catOne(world: World, key: string): Promise<Answer> {
  const { head, body } = await world.stores.far.open(key, { signal: signal() });
  const plaintext = await whole(await openPlaintext(head, body, world.envelopes, [world.gcpKms], signal()));
  return { sizeBytes: plaintext.length, sha256: sha256(plaintext) };
}

export const isRight = (sample: Sample, answer: Answer): boolean =>
  answer.error === undefined && answer.sizeBytes === sample.sizeBytes && answer.sha256 === sample.sha256;

export interface Reading {
  readonly row: Row;
  readonly sample: Sample;
  readonly mode: Mode;
  readonly answer: Answer;
}

type AwsPlace = Exclude<Place, "far">;

/** Everything in the mode that allows most, and one size in the others: switches do not look at sizes. */
export async function readRows(
  world: World,
  { modes }: Official,
  client: OpenClient,
  place: AwsPlace,
  rows: readonly Row[],
): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (const row of rows) {
    for (const sample of row.samples) {
      const { seal } = await sealAt(world, place, sample.key);
      for (const mode of sample.sizeBytes === USUAL_BYTES ? modes : modes.slice(-1)) {
        const answer = await client.ask(readRequest(world, place, sample.key, seal, mode));
        readings.push({ row, sample, mode, answer });
      }
    }
  }
  return readings;
}

/**
 * The `kms` wrap is bound to a context too, but its readers take that from the object: most refuse an application that names one.
 */
export function readRequest(world: World, place: AwsPlace, key: string, seal: Seal, mode: Mode): ReadRequest {
  const pairs = [...seal.context].filter(([name]) => !name.startsWith("aws:") && name !== "kms_cmk_id");
  const description = Object.fromEntries(pairs);
  const context = seal.wrap === "kms" ? {} : description;
  return { op: "read", bucket: place, key, kmsKey: world.keys[place], mode, context, description };
}
