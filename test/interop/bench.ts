/** Messages of official clients that know no store, put into a bucket, moved, and opened by their own kind wherever they lie. */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type OpenClient, openClient, type OpenRequest, type SealRequest } from "./client.ts";
import { catOne, get, isRight, put, type Sample } from "./crossing.ts";
import { LIBRARIES, type Library, OFFERS } from "./messages.ts";
import { missing } from "./programs.ts";
import { Seen } from "./table.ts";
import { openWorld, type Place, type World } from "./world.ts";

type Format = Library["format"];
type Wrap = SealRequest["wrap"];

/** A message in `near`, at `<format>/<variant>/<writer>/<wrap>/<size>`. */
export interface Message {
  readonly writer: Library;
  readonly variant: string;
  readonly wrap: Wrap;
  readonly context: Readonly<Record<string, string>>;
  readonly sample: Sample;
  /** How the table calls it, where it does not go by its own writer and variant; null: it is not in the table. */
  readonly called?: { readonly by?: string; readonly as: string; readonly wrap?: string } | null;
}

export interface Bench {
  readonly world: World;
  readonly libraries: readonly Library[];
  readonly versions: ReadonlyMap<string, string>;
  readonly messages: readonly Message[];
  /** What was seen so far, for the table. */
  readonly seen: Seen;
  ask: (library: Library, request: SealRequest | OpenRequest) => ReturnType<OpenClient["ask"]>;
  close(): Promise<void>;
}

const schema = readFileSync(new URL("../../config/migration.schema.json", import.meta.url), "utf8");

/** Why there is nothing to see of a format; undefined: there is. Some formats are of no use without their field of the job. */
export function nothingOf(format: Format, field?: string): string | undefined {
  if (!existsSync(new URL(`../../src/envelope/${format}`, import.meta.url))) return "this version does not carry it";
  if (field !== undefined && !schema.includes(`"${field}"`)) return `this version has no field ${field}`;
  const reasons = LIBRARIES.filter((one) => one.format === format).map(missing);
  return reasons.includes(undefined) ? undefined : `no client is installed: ${reasons.join("; ")}`;
}

const SIZES = [0, 1, 4097];
/** Many frames of the AWS Encryption SDK, and two regions of Azure. Under the first wrap only: bodies do not depend on it. */
const LARGE = 5 * 1024 * 1024 + 1;

/** Every installed library of the format has sealed in every way that it offers, under the wraps given. */
export async function openBench(
  format: Format,
  wraps: readonly Wrap[],
  context: Readonly<Record<string, string>>,
  seen = new Seen(),
): Promise<Bench> {
  const libraries = LIBRARIES.filter((one) => one.format === format && missing(one) === undefined);
  const world = await openWorld();
  const clients = new Map<string, OpenClient>();
  const open = async (one: Library) => clients.set(one.id, await openClient(one.command(), world.clouds));
  await Promise.all(libraries.map(open));
  const ask: Bench["ask"] = ({ id }, request) => {
    const client = clients.get(id);
    if (client === undefined) throw new Error(`${id} is not open`);
    return client.ask(request);
  };
  const close = async () => {
    await Promise.all([...clients.values()].map((one) => one.close()));
    await world.close();
  };
  const versions = new Map([...clients].map(([id, { version }]) => [id, version]));
  const bench = { world, libraries, versions, messages: [] as Message[], seen, ask, close };
  for (const writer of libraries) {
    for (const variant of OFFERS[format].variants) {
      for (const wrap of wraps) {
        const sizes = wrap === wraps[0] ? [...SIZES, LARGE] : SIZES;
        for (const sizeBytes of sizes)
          bench.messages.push(await seal(bench, { writer, variant, wrap, context }, sizeBytes));
      }
    }
  }
  return bench;
}

async function seal(bench: Bench, way: Omit<Message, "sample" | "called">, sizeBytes: number): Promise<Message> {
  const { world, ask } = bench;
  const { writer, variant, wrap, context } = way;
  const plaintext = randomBytes(sizeBytes);
  const [file, out] = [join(world.directory, "plaintext"), join(world.directory, "message")];
  await writeFile(file, plaintext, { mode: 0o600 });
  const { error, metadata = {} } = await ask(writer, { op: "seal", file, out, kmsKey: world.keys.near, ...way });
  const key = `${writer.format}/${variant}/${writer.id}/${wrap}/${sizeBytes}`;
  if (error !== undefined) throw new Error(`${key}: ${error}`);
  await put(world, "near", key, await readFile(out), new Map(Object.entries(metadata)));
  const sha256 = createHash("sha256").update(plaintext).digest("hex");
  return { writer, variant, wrap, context, sample: { key, sizeBytes, sha256 } };
}

/** What is wrong where each library opens a message as it lies at a place; no lines: nothing. */
export async function complaints(
  bench: Bench,
  place: Place,
  key: string,
  message: Message,
  as: Pick<OpenRequest, "wrap" | "kmsKey">,
): Promise<string[]> {
  const { world, libraries, ask } = bench;
  const { variant, context, sample } = message;
  const stored = await get(world, place, key);
  const file = join(world.directory, "stored");
  await writeFile(file, stored.bytes);
  const metadata = Object.fromEntries(stored.metadata);
  const wrong: string[] = [];
  for (const library of libraries) {
    const answer = await ask(library, { op: "open", file, metadata, variant, context, ...as });
    const reads = isRight(sample, answer);
    if (message.called !== null) bench.seen.add({ ...wayOf(message), place }, library, reads);
    if (!reads) wrong.push(`${library.id}, ${key}: ${answer.error ?? "another plaintext"}`);
  }
  return wrong;
}

const wayOf = ({ called, writer, variant, wrap }: Message) => ({
  by: writer.id,
  as: `\`${variant}\``,
  wrap,
  ...called,
});

/** The same for the code of `sealift cat`, on Google's side. */
export async function catComplaints({ world }: Bench, key: string, { sample }: Message): Promise<string[]> {
  return isRight(sample, await catOne(world, key)) ? [] : [`sealift, ${key}: another plaintext`];
}
