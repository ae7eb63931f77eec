/**
 * A whole migration with `envelope: tink`, the program against pocket clouds: from S3 and AWS KMS to Cloud Storage and Cloud KMS, read
 * there as Tink's own clients read; and back.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openShores } from "../../src/compose.ts";
import { parseJob } from "../../src/config/job.ts";
import { type KeyUri, keyUri } from "../../src/core/key.ts";
import type { Envelope } from "../../src/envelope/envelope.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { startPocketGcs } from "../../src/pocket/gcs.ts";
import { startPocketS3 } from "../../src/pocket/s3.ts";
import type { Shores } from "../../src/transfer/shores.ts";
import { openTinkEnvelope, wrappedKeyIn } from "../envelope/tinkreader.ts";

const MAIN = new URL("../../dist/src/main.js", import.meta.url).pathname;
const { signal } = new AbortController();
const OBJECTS = 12;

let home = "";
let there: Shores;
let awsKey: KeyUri;
let gcpKey: KeyUri;
let jobs: { readonly there: string; readonly back: string };
const closing: (() => Promise<void>)[] = [];
const plaintexts = new Map<string, Buffer>();
const bodies = new Map<string, Buffer>();

async function sealift(...args: string[]): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  const env = { ...process.env, SEALIFT_STATE_DIR: join(home, "state"), REDIS_URL: undefined };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env, maxBuffer: 1e8, encoding: "buffer" }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr: stderr.toString() }),
    );
  });
}
const json = async (...args: string[]) => JSON.parse((await sealift(...args, "--json")).stdout.toString());

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* once(bytes: Uint8Array) {
  yield bytes;
}

/** As a client of S3EC wrote it, under the AWS key. */
async function seed(key: string, envelope: Envelope, context: ReadonlyMap<string, string>): Promise<void> {
  const plaintext = randomBytes(10_000);
  const { seal, dataKey } = envelope.fresh(context, awsKey);
  const [kms] = there.sourceKms;
  if (!kms) throw new Error("no key service was opened");
  const whole = withWrapped(seal, await kms.wrap(awsKey, dataKey, seal.context, signal));
  const body = await collect(envelope.seal(once(plaintext), whole, dataKey));
  const attributes = { metadata: new Map([...envelope.write(whole).metadata, ["owner", "app"]]) };
  await there.source.put(key, once(body), { sizeBytes: body.length, attributes, condition: "absent", signal });
  plaintexts.set(key, plaintext);
  bodies.set(key, body);
}

beforeAll(async () => {
  const clouds = await Promise.all([startPocketS3(), startPocketGcs(), startPocketAwsKms(), startPocketGcpKms()]);
  const [s3, gcs, awsKms, gcpKms] = clouds;
  s3.createBucket("old");
  s3.createBucket("home");
  gcs.createBucket("new");
  awsKey = keyUri(`aws-kms://${awsKms.createKey()}`);
  gcpKey = keyUri(`gcp-kms://${gcpKms.createKey("k")}`);
  home = await mkdtemp(join(tmpdir(), "sealift-tink-"));
  const secretFile = async (name: string, text: string) => {
    await writeFile(join(home, name), text, { mode: 0o600 });
    return `file:${join(home, name)}`;
  };
  const credentials = {
    accessKeyId: await secretFile("id", "pocket\n"),
    secretAccessKey: await secretFile("secret", "pocket-secret\n"),
  };
  const aws = (bucket: string) => ({
    url: `s3://${bucket}/`,
    endpoint: s3.url,
    pathStyle: true,
    region: "us-east-1",
    credentials,
    kms: { endpoint: awsKms.url },
  });
  const google = { url: "gs://new", endpoint: gcs.url, anonymous: true, kms: { endpoint: gcpKms.url } };
  const write = async (name: string, job: object): Promise<string> => {
    const text = JSON.stringify({ apiVersion: "sealift/v1", kind: "Migration", ...job });
    await writeFile(join(home, name), text);
    return join(home, name);
  };
  const options = { verify: "full", pageObjects: 5 };
  const toTink = {
    source: aws("old"),
    destination: google,
    keys: { wrapWith: gcpKey, allow: [awsKey] },
    options: { ...options, envelope: "tink" },
  };
  jobs = {
    there: await write("there.json", toTink),
    back: await write("back.json", {
      source: google,
      destination: aws("home"),
      keys: { wrapWith: awsKey, allow: [gcpKey] },
      options: { ...options, envelope: "s3ec-v2" },
    }),
  };
  there = await openShores(
    parseJob(JSON.stringify({ apiVersion: "sealift/v1", kind: "Migration", ...toTink }), "there"),
  );
  closing.push(() => there.close(), ...clouds.map((cloud) => () => cloud.close()));
  for (let i = 0; i < OBJECTS; i++) await seed(`v2/${i}`, s3ecV2, new Map([["tenant", String(i)]]));
  await seed("v3", s3ecV3, new Map());
  const bare = Buffer.from("sealed by nobody yet");
  const put = { sizeBytes: bare.length, attributes: { metadata: new Map() }, condition: "absent" as const, signal };
  await there.source.put("bare", once(bare), put);
  plaintexts.set("bare", bare);
});

afterAll(async () => {
  for (const close of closing) await close();
  await rm(home, { recursive: true, force: true });
});

/** What stands in the other cloud, and what its key service says to the wrapped key alone, as Tink asks it. */
async function asTinkReads(
  key: string,
): Promise<{ object: Buffer; plaintext: Buffer; metadata: ReadonlyMap<string, string> }> {
  const opened = await there.destination.open(key, { signal });
  const object = await collect(opened.body);
  const [kms] = there.destinationKms;
  const wrapped = { scheme: "gcp-kms", uri: gcpKey, bytes: wrappedKeyIn(object) } as const;
  const unwrapped = await kms?.unwrap(wrapped, new Map(), signal, "none");
  if (!unwrapped) throw new Error("the key service does not know it");
  const plaintext = openTinkEnvelope(object, unwrapped.dataKey.reveal());
  unwrapped.dataKey.wipe();
  return { object, plaintext, metadata: opened.head.attributes.metadata };
}

describe("envelope: tink", { timeout: 120_000 }, () => {
  let mid = "";

  it("plan says what becomes of each, and what is lost", async () => {
    const { classes } = await json("plan", jobs.there);
    const seen = classes.map(
      ({ action, envelope, code, objects }: Record<string, string>) => `${action} ${envelope} ${code ?? ""} ${objects}`,
    );
    expect(seen.sort()).toEqual(["refuse s3ec-v3 SEAL_UNSUPPORTED 1", "reseal plain  1", `rewrap s3ec-v2  ${OBJECTS}`]);
    expect((await sealift("plan", jobs.there)).stdout.toString()).toContain('Tink binds none: "tenant"');
  });

  it("run moves what can be moved; Tink's own reading opens it, and the bodies are untouched", async () => {
    const ended = await json("run", jobs.there);
    mid = ended.id;
    expect(ended.totals.counts).toMatchObject({ rewrapped: OBJECTS, resealed: 1, refused: 1 });
    expect((await asTinkReads("bare")).plaintext.toString()).toBe("sealed by nobody yet");
    for (let i = 0; i < OBJECTS; i++) {
      const key = `v2/${i}`;
      const { object, plaintext, metadata } = await asTinkReads(key);
      expect(plaintext.equals(plaintexts.get(key) ?? Buffer.alloc(0))).toBe(true);
      const body = bodies.get(key) ?? Buffer.alloc(0);
      expect(object.subarray(-body.length).equals(body)).toBe(true);
      expect(metadata.get("owner")).toBe("app");
      expect(metadata.get("sealift-tink-key")).toBe(gcpKey);
      expect([...metadata.keys()].filter((name) => name.startsWith("x-amz-"))).toEqual([]);
    }
  });

  it("a second run finds them there; verify --full agrees", async () => {
    expect((await json("run", jobs.there)).totals.counts).toMatchObject({
      already: OBJECTS + 1,
      refused: 1,
      rewrapped: 0,
    });
    expect(await json("verify", jobs.there, "--full")).toMatchObject({
      same: OBJECTS + 1,
      opened: OBJECTS + 1,
      different: 0,
    });
  });

  it("inspect and cat know it by its mark", async () => {
    expect(await json("inspect", "gs://new/v2/3", "--job", jobs.there)).toMatchObject({
      format: "tink",
      content: "AES_GCM",
      wrap: "gcp-kms",
      key: gcpKey,
      plainBytes: 10_000,
    });
    const read = await sealift("cat", "gs://new/v2/3", "--job", jobs.there);
    expect([read.code, read.stderr]).toEqual([0, ""]);
    expect(read.stdout.equals(plaintexts.get("v2/3") ?? Buffer.alloc(0))).toBe(true);
  });

  it("a lost ledger is written again from what stands there", async () => {
    await rm(join(home, "state"), { recursive: true, force: true });
    const found = await json("adopt", jobs.there, "--id", mid);
    expect(found.objects.adopted + found.objects.left).toBe(OBJECTS + 2);
    expect(found.objects.adopted).toBeGreaterThan(0);
    expect(found.doubts).toEqual({ missing: 1 });
  });

  it("the way back: envelope: s3ec-v2, every body as it was", async () => {
    const ended = await json("run", jobs.back);
    expect(ended.totals.counts).toMatchObject({ rewrapped: OBJECTS + 1 });
    expect(await json("verify", jobs.back, "--full")).toMatchObject({ same: OBJECTS + 1, opened: OBJECTS + 1 });
    const back = await openShores(parseJob(await readFile(jobs.back, "utf8"), "back"));
    try {
      for (const [key, body] of bodies) {
        if (key === "v3") continue;
        const opened = await back.destination.open(key, { signal });
        expect((await collect(opened.body)).equals(body)).toBe(true);
        const { metadata } = opened.head.attributes;
        expect(metadata.get("x-amz-wrap-alg")).toBe("kms+context");
        expect([...metadata.keys()].filter((name) => name.startsWith("sealift-tink"))).toEqual([]);
      }
    } finally {
      await back.close();
    }
    const read = await sealift("cat", "s3://home/v2/3", "--job", jobs.back);
    expect(read.stdout.equals(plaintexts.get("v2/3") ?? Buffer.alloc(0))).toBe(true);
  });
});
