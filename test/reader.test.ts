/** The reader library as an application uses it: by its name in the package, and its promises about what comes out when. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLocalKey } from "../src/compose.ts";
import { Budget } from "../src/core/budget.ts";
import { type KeyUri, keyUri } from "../src/core/key.ts";
import { type Envelope, withWrapped } from "../src/envelope/envelope.ts";
import { s3ecV2 } from "../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../src/envelope/s3ec/v3.ts";
import { openGcpKms } from "../src/kms/gcp/gcp.ts";
import type { Kms } from "../src/kms/kms.ts";
import { openLocalKms } from "../src/kms/local.ts";
import { startPocketGcpKms } from "../src/pocket/gcpkms.ts";
import { startPocketGcs } from "../src/pocket/gcs.ts";
import { open } from "../src/reader.ts";
import { openFileStore } from "../src/store/file.ts";
import { openGcsStore } from "../src/store/gcs/gcs.ts";
import type { ObjectStore } from "../src/store/store.ts";
import { collect, errorOf, once } from "./transfer/harness.ts";

const { signal } = new AbortController();
const PLAINTEXT = Buffer.from("what a reader should see\n".repeat(1000));

let home: string;
let local: { readonly store: ObjectStore; readonly kms: Kms; readonly key: KeyUri };
let google: { readonly store: ObjectStore; readonly kms: Kms; readonly key: KeyUri; readonly options: object };
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "sealift-reader-"));
  const key = await createLocalKey(join(home, "keys"), "k");
  const store = await openFileStore({ root: join(home, "bucket"), fsync: false });
  local = { store, kms: openLocalKms({ directory: join(home, "keys") }), key };
  const [gcs, gcpKms] = await Promise.all([startPocketGcs(), startPocketGcpKms()]);
  gcs.createBucket("far");
  google = {
    store: await openGcsStore({ bucket: "far", endpoint: gcs.url, anonymous: true, buffer: new Budget(1 << 24) }),
    kms: openGcpKms({ endpoint: gcpKms.url, anonymous: true }),
    key: keyUri(`gcp-kms://${gcpKms.createKey("k")}`),
    options: { endpoint: gcs.url, anonymous: true, kms: { endpoint: gcpKms.url, anonymous: true } },
  };
  closing.push(() => rm(home, { recursive: true }));
  for (const one of [local.store, local.kms, google.store, google.kms, gcs, gcpKms]) closing.push(() => one.close());
});
afterAll(async () => {
  for (const close of closing.toReversed()) await close();
});

interface Place {
  readonly store: ObjectStore;
  readonly kms: Kms;
  readonly key: KeyUri;
}

async function put(
  place: Place,
  name: string,
  envelope: Envelope,
  plaintext: Uint8Array,
  forge: (body: Buffer) => void = () => undefined,
) {
  const { seal, dataKey } = envelope.fresh(new Map([["tenant", "acme"]]), place.key);
  const wrapped = await place.kms.wrap(place.key, dataKey, seal.context, signal);
  const body = await collect(envelope.seal(once(plaintext), seal, dataKey));
  dataKey.wipe();
  forge(body);
  const attributes = { metadata: envelope.write(withWrapped(seal, wrapped)).metadata };
  await place.store.put(name, once(body), { sizeBytes: body.length, attributes, condition: "any", signal });
}

const here = () => ({ object: "a", keyDirectory: join(home, "keys") });
const url = () => `file://${join(home, "bucket")}`;

describe("the reader", () => {
  it("opens what sealift writes at Google, from a program of ten lines that knows the package by its name", async () => {
    await put(google, "dir/a b", s3ecV3, PLAINTEXT);
    const program = `
      import { open } from "sealift/reader";
      const text = await open("gs://far/dir/a b", ${JSON.stringify(google.options)});
      for await (const chunk of text) process.stdout.write(chunk);
    `;
    const root = fileURLToPath(new URL("..", import.meta.url));
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { cwd: root });
    expect((await run).stdout).toBe(PLAINTEXT.toString());
  });

  it("opens each format, and what has none", async () => {
    for (const envelope of [s3ecV2, s3ecV3]) {
      await put(local, "a", envelope, PLAINTEXT);
      expect((await collect(await open(url(), here()))).equals(PLAINTEXT)).toBe(true);
    }
    const bare = { sizeBytes: 3, attributes: { metadata: new Map() }, condition: "any" as const, signal };
    await local.store.put("a", once(Buffer.from("abc")), bare);
    expect((await collect(await open(url(), here()))).toString()).toBe("abc");
  });

  // Below and above what is held in memory.
  it.each([100_000, 33 * 1024 * 1024])(
    "lets nothing out of %i forged bytes, unless it is told to",
    async (sizeBytes) => {
      const flip = (body: Buffer) => body.writeUInt8(body.readUInt8(sizeBytes - 1) ^ 1, sizeBytes - 1);
      await put(local, "a", s3ecV2, randomBytes(sizeBytes), flip);
      let seen = 0;
      const read = async (unverified: boolean) => {
        seen = 0;
        for await (const chunk of await open(url(), { ...here(), unverified })) seen += (chunk as Buffer).length;
      };
      expect([(await errorOf(read(false))).code, seen]).toEqual(["SEAL_FORGED", 0]);
      expect((await errorOf(read(true))).code).toBe("SEAL_FORGED");
      expect(seen).toBeGreaterThan(0);
    },
  );

  it("says what is wrong before it gives a stream, and names the object", async () => {
    const missing = await errorOf(open(url(), { ...here(), object: "none" }));
    expect([missing.code, missing.object]).toEqual(["STORE_NOT_FOUND", "none"]);
    expect((await errorOf(open("gs://far"))).code).toBe("JOB_INVALID");
    expect((await errorOf(open(url(), { ...here(), region: "eu-west-1" }))).message).toContain("options.region");
    expect((await errorOf(open("ftp://x/y"))).code).toBe("JOB_INVALID");
  });

  it("closes what it opened: read to the end, left in the middle, or never begun", async () => {
    await put(google, "a", s3ecV2, PLAINTEXT);
    const program = `
      import { open } from "sealift/reader";
      const options = ${JSON.stringify(google.options)};
      (await open("gs://far/a", options)).destroy();
      for await (const chunk of await open("gs://far/a", options)) break;
      const stopped = await open("gs://far/a", { ...options, signal: AbortSignal.abort() }).catch((error) => error.code);
      console.log(stopped);
    `;
    const root = fileURLToPath(new URL("..", import.meta.url));
    // It ends by itself, long before an idle connection does.
    const options = { cwd: root, timeout: 15_000 };
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], options);
    expect(stdout.trim()).toBe("INTERRUPTED");
  });
});
