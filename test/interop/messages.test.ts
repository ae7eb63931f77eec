/** Official clients of formats that know no store, among themselves: each seals, and each of the same format opens it. */
import { createHash, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type OpenClient, openClient, type SealRequest } from "./client.ts";
import { LIBRARIES, type Library, OFFERS } from "./messages.ts";
import { missing } from "./programs.ts";
import { openWorld, type World } from "./world.ts";

const SIZES = [0, 1, 4097];
/** Many frames of the AWS Encryption SDK, and two regions of Azure. Under the first wrap of a format: bodies do not depend on it. */
const LARGE = 5 * 1024 * 1024 + 1;
const here = LIBRARIES.filter((library) => missing(library) === undefined);

let world: World;
const clients = new Map<string, OpenClient>();

beforeAll(async () => {
  world = await openWorld();
  await Promise.all(here.map(async (one) => clients.set(one.id, await openClient(one.command(), world.clouds))));
}, 120_000);

afterAll(async () => {
  await Promise.all([...clients.values()].map((one) => one.close()));
  await world?.close();
});

const ask = (library: Library, request: Parameters<OpenClient["ask"]>[0]): Promise<Answer> => {
  const client = clients.get(library.id);
  if (client === undefined) throw new Error(`${library.id} is not open`);
  return client.ask(request);
};

/** One message of each size, and what they were made of. */
async function seal(writer: Library, variant: string, wrap: SealRequest["wrap"], sizeBytes: number) {
  const plaintext = randomBytes(sizeBytes);
  const [file, out] = [join(world.directory, `${writer.id}.in`), join(world.directory, `${writer.id}.out`)];
  await writeFile(file, plaintext);
  const kmsKey = wrap === "gcp" ? world.keys.far : world.keys.near;
  // Tink binds text, the AWS Encryption SDK pairs, Azure nothing.
  const context = writer.format === "azure" ? {} : { associatedData: "tenant acme" };
  const common = { wrap, kmsKey, context, variant };
  const { error, metadata = {} } = await ask(writer, { op: "seal", file, out, ...common });
  expect(error).toBeUndefined();
  const sha256 = createHash("sha256").update(plaintext).digest("hex");
  return { open: { op: "open", file: out, metadata, ...common } as const, expected: { sizeBytes, sha256 } };
}

describe.each(LIBRARIES)("$name ($id)", (writer) => {
  const why = missing(writer);
  if (why !== undefined) {
    it("is installed", (context) => context.skip(why));
    return;
  }
  const { variants, wraps } = OFFERS[writer.format];
  const ways = variants.flatMap((variant) => wraps.map((wrap) => ({ variant, wrap })));

  it.each(ways)("seals $variant under $wrap, and every client of the format opens it", async ({ variant, wrap }) => {
    for (const sizeBytes of wrap === wraps[0] ? [...SIZES, LARGE] : SIZES) {
      const { open, expected } = await seal(writer, variant, wrap, sizeBytes);
      for (const reader of here.filter(({ format }) => format === writer.format)) {
        expect([reader.id, sizeBytes, await ask(reader, open)]).toEqual([reader.id, sizeBytes, expected]);
      }
    }
  });

  it("opens nothing of which a bit was turned, where the format has a tag", async () => {
    for (const { variant, wrap } of ways.filter((way) => way.variant !== "1.0")) {
      const { open } = await seal(writer, variant, wrap, 4097);
      const message = await readFile(open.file);
      const at = message.length >> 1;
      message[at] = (message[at] ?? 0) ^ 1;
      await writeFile(open.file, message);
      expect([variant, wrap, (await ask(writer, open)).error]).toEqual([variant, wrap, expect.any(String)]);
    }
  });
});
