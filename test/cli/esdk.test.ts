/** Messages of the AWS Encryption SDK from S3 to Google and back, through every driver, opened from the words of a job file. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openShores } from "../../src/compose.ts";
import { rulesOf } from "../../src/compose/work.ts";
import { parseJob } from "../../src/config/job.ts";
import { Budget } from "../../src/core/budget.ts";
import { keyUri } from "../../src/core/key.ts";
import type { ByteStream, ListedObject } from "../../src/core/object.ts";
import type { Receipt } from "../../src/core/receipt.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { esdk } from "../../src/envelope/esdk/esdk.ts";
import { startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { startPocketGcs } from "../../src/pocket/gcs.ts";
import { startPocketS3 } from "../../src/pocket/s3.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import { copyPage } from "../../src/transfer/page.ts";
import type { Shores } from "../../src/transfer/shores.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { file, KEYS, OWN, SMALL, UNDER_KMS, VECTORS } from "../envelope/esdk/vectors.ts";
import { collect } from "../envelope/material.ts";
import { perform } from "./stage.ts";

const { signal } = new AbortController();
const GCP_KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
/** Held under keys that the vectors bring, with no pair that is not in the message. */
const OPENED = VECTORS.filter(
  ({ edks, id }) => edks[0]?.providerId !== "aws-kms-hierarchy" && !/^(3bd505b0|a04b2551|c4e1d9e3|7dd0f3b0)/.test(id),
);
/** Their header is written anew; beside all others stands the key. */
const UNSIGNED_V1 = /^0[01]/;
const HIDING = VECTORS.filter(({ id }) => /^(3bd505b0|a04b2551|c4e1d9e3|7dd0f3b0)/.test(id));

let home = "";
const jobs = { there: "", back: "", pairs: "", inPlace: "", inPlaceBack: "" };
const closing: (() => Promise<void>)[] = [];
let awsKey = keyUri("aws-kms://none");

beforeAll(async () => {
  const clouds = await Promise.all([startPocketS3(), startPocketGcs(), startPocketAwsKms(), startPocketGcpKms()]);
  closing.push(...clouds.map((cloud) => () => cloud.close()));
  const [s3, gcs, awsKms, gcpKms] = clouds;
  for (const name of ["old", "home", "signed", "signed-home"]) s3.createBucket(`${name}-bucket`);
  for (const name of ["new", "signed-new"]) gcs.createBucket(`${name}-bucket`);
  gcpKms.createKey(GCP_KEY);
  awsKey = keyUri(`aws-kms://${awsKms.createKey()}`);
  home = await mkdtemp(join(tmpdir(), "sealift-esdk-"));
  await mkdir(join(home, "keys"), { mode: 0o700 });
  const put = (name: string, text: string) => writeFile(join(home, name), text, { mode: 0o600 });
  for (const name of ["aes-128", "aes-256"]) await put(`keys/${name}.key`, `${KEYS[name]?.material}\n`);
  await put("keys/own.key", `${Buffer.from(OWN[0]?.kekHex ?? "", "hex").toString("base64")}\n`);
  await put("keys/rsa.pem", KEYS["rsa-4096-private"]?.material ?? "");
  await put("id", "pocket\n");
  await put("secret", "pocket-secret\n");
  const credentials = { accessKeyId: `file:${join(home, "id")}`, secretAccessKey: `file:${join(home, "secret")}` };
  const aws = { endpoint: s3.url, pathStyle: true, region: "us-east-1", credentials, kms: { endpoint: awsKms.url } };
  const google = { endpoint: gcs.url, anonymous: true, kms: { endpoint: gcpKms.url } };
  const local = ["local://aes-128", "local://aes-256", "local://own", "local-rsa://rsa"];
  const write = async (name: string, source: object, destination: object, keys: object, more: object = {}) => {
    const options = { verify: "full", ...more };
    const job = { apiVersion: "sealift/v1", kind: "Migration", source, destination, keys, options };
    await put(`${name}.json`, JSON.stringify(job));
    return JSON.stringify(job);
  };
  const [old, gone] = [
    { ...aws, url: "s3://old-bucket" },
    { ...google, url: "gs://new-bucket" },
  ];
  const localDirectory = join(home, "keys");
  const wrapWith = `gcp-kms://${GCP_KEY}`;
  jobs.there = await write("there", old, gone, { wrapWith, allow: [awsKey, ...local], localDirectory });
  jobs.pairs = await write("pairs", old, gone, {
    wrapWith,
    allow: local,
    localDirectory,
    esdkContext: { a: "a", b: "b" },
  });
  const [signed, signedNew] = [
    { ...aws, url: "s3://signed-bucket" },
    { ...google, url: "gs://signed-new-bucket" },
  ];
  const inPlace = { esdk: "in-place" };
  jobs.inPlace = await write("inPlace", signed, signedNew, { wrapWith, allow: local, localDirectory }, inPlace);
  const signedHome = { ...aws, url: "s3://signed-home-bucket" };
  jobs.inPlaceBack = await write(
    "inPlaceBack",
    signedNew,
    signedHome,
    { wrapWith: awsKey, allow: [wrapWith] },
    inPlace,
  );
  jobs.back = await write("back", gone, { ...aws, url: "s3://home-bucket" }, { wrapWith: awsKey, allow: [wrapWith] });
});

afterAll(async () => {
  await Promise.all(closing.map((close) => close()));
  await rm(home, { recursive: true });
});

async function* once(bytes: Uint8Array): ByteStream {
  yield bytes;
}

const write = (store: ObjectStore, name: string, bytes: Buffer) =>
  store.put(name, once(bytes), {
    sizeBytes: bytes.length,
    attributes: { metadata: new Map([["owner", "app"]]) },
    condition: "any",
    signal,
  });

async function bytesOf(store: ObjectStore, name: string): Promise<Buffer> {
  return collect((await store.open(name, { signal })).body);
}

async function listed(store: ObjectStore): Promise<ListedObject[]> {
  const objects: ListedObject[] = [];
  for await (const page of store.list("", {}, signal)) objects.push(...page.objects);
  return objects;
}

async function carried(job: string): Promise<readonly Receipt[]> {
  const parsed = parseJob(job, "job.json");
  const shores = await openShores(parsed);
  try {
    const objects = await listed(shores.source);
    const rules = rulesOf(parsed, "m-1", Date.now());
    return await copyPage(objects, {}, shores, rules, { objects: new Budget(4), signal, random: () => 0 });
  } finally {
    await shores.close();
  }
}

async function within<T>(job: string, use: (shores: Shores) => Promise<T>): Promise<T> {
  const shores = await openShores(parseJob(job, "job.json"));
  try {
    return await use(shores);
  } finally {
    await shores.close();
  }
}

/** As an application writes it whose data keys are under AWS KMS. */
async function putUnderAws(shores: Shores, name: string, plaintext: Buffer): Promise<void> {
  const { seal, dataKey } = esdk.fresh(new Map([["tenant", "zürich"]]), awsKey);
  const kms = shores.sourceKms.find(({ scheme }) => scheme === "aws-kms");
  const wrapped = await kms?.wrap(awsKey, dataKey, seal.context, signal);
  if (!wrapped) throw new Error("AWS KMS was not opened");
  const start = esdk.start?.(withWrapped(seal, wrapped), dataKey) ?? Buffer.alloc(0);
  const body = await collect(esdk.seal(once(plaintext), seal, dataKey));
  await write(shores.source, name, Buffer.concat([start, body]));
}

describe("there and back", () => {
  test("every message arrives, its body untouched, is found again, and comes home", async () => {
    await within(jobs.there, async (shores) => {
      for (const vector of OPENED) await write(shores.source, vector.id, file(vector.file));
      for (const [i, { messageHex }] of OWN.entries())
        await write(shores.source, `own-${i}`, Buffer.from(messageHex, "hex"));
      await putUnderAws(shores, "under-aws", SMALL);
    });
    const count = OPENED.length + OWN.length + 1;
    for (const [job, outcome] of [
      [jobs.there, "rewrapped"],
      [jobs.there, "already"],
      [jobs.back, "rewrapped"],
      [jobs.back, "already"],
    ] as const) {
      const receipts = await carried(job);
      expect(receipts.filter((receipt) => receipt.outcome !== outcome || !receipt.verified)).toEqual([]);
      expect(receipts.length).toBe(count);
    }
    await within(jobs.back, async ({ destination, source }) => {
      for (const vector of OPENED) {
        const message = file(vector.file);
        for (const store of [source, destination]) {
          const arrived = await bytesOf(store, vector.id);
          const body = message.subarray(vector.offsets.headerEnd);
          expect(arrived.subarray(-body.length).equals(body)).toBe(true);
          expect(arrived.equals(message), vector.suite).toBe(!UNSIGNED_V1.test(vector.suite));
          const metadata = (await store.head(vector.id, signal))?.attributes.metadata;
          expect(metadata?.has("sealift-esdk-key"), vector.suite).toBe(!UNSIGNED_V1.test(vector.suite));
        }
      }
      const head = await destination.head("under-aws", signal);
      expect(head?.attributes.metadata.get("owner")).toBe("app");
      expect(head?.attributes.metadata.get("sealift-esdk-wrap")).toBe("aws-kms");
      expect(head?.attributes.metadata.get("sealift-esdk-uri")).toBe(awsKey);
    });
  });

  test("verify --full reads them on both sides", async () => {
    const parsed = parseJob(jobs.there, "job.json");
    await within(jobs.there, async (shores) => {
      for (const object of await listed(shores.source)) {
        const rules = rulesOf(parsed, "m-1", Date.now());
        const verdict = await verifyObject(object, shores, rules, { full: true, signal });
        expect(verdict, object.key).toMatchObject({ verdict: "same", opened: true });
      }
    });
  });

  test("inspect says how one is held, and cat prints it, in any of the three places", async () => {
    for (const [url, job, format] of [
      ["s3://old-bucket/under-aws", "there", "esdk"],
      ["gs://new-bucket/under-aws", "there", "esdk-sidecar"],
      ["s3://home-bucket/under-aws", "back", "esdk-sidecar"],
    ] as const) {
      const given = ["--job", join(home, `${job}.json`)];
      const inspected = await perform(["inspect", url, ...given, "--json"]);
      expect(JSON.parse(inspected.stdout)).toMatchObject({
        format,
        content: "esdk-0478",
        plainBytes: SMALL.length,
        context: { tenant: "zürich" },
      });
      const read = await perform(["cat", url, ...given]);
      expect([read.code, read.stderr]).toEqual([0, ""]);
      expect(read.stdoutBytes.equals(SMALL)).toBe(true);
    }
    const signed = VECTORS.find(({ suite, edks }) => suite === "0578" && edks[0]?.providerId.includes("aes-128"));
    const read = await perform(["cat", `gs://new-bucket/${signed?.id}`, "--job", join(home, "there.json")]);
    expect(read.stdoutBytes.equals(SMALL)).toBe(true);
  });
});

describe("what is refused, with nothing written", () => {
  test("pairs that are kept elsewhere, other holders, strange KMS keys, and a message that is cut", async () => {
    const cut = file(OPENED[0]?.file ?? "");
    await within(jobs.there, async ({ source }) => {
      for (const vector of HIDING) await write(source, `hiding-${vector.id}`, file(vector.file));
      for (const vector of VECTORS.filter(({ edks }) => edks[0]?.providerId === "aws-kms-hierarchy")) {
        await write(source, `branch-${vector.id}`, file(vector.file));
      }
      for (const { file: name } of UNDER_KMS) await write(source, `kms-${name.split("/")[1]}`, file(name));
      await write(source, "cut", cut.subarray(0, 60));
    });
    const receipts = (await carried(jobs.there)).filter(({ key }) => /^(hiding|branch|kms|cut)/.test(key));
    const codesOf = (kind: string) => [
      ...new Set(receipts.filter(({ key }) => key.startsWith(kind)).map(({ code }) => code)),
    ];
    expect(codesOf("hiding")).toEqual(["KMS_CANNOT_OPEN"]);
    expect(codesOf("branch")).toEqual(["SEAL_UNSUPPORTED"]);
    expect(codesOf("cut")).toEqual(["SEAL_MALFORMED"]);
    expect(codesOf("kms")).toEqual(["KMS_CANNOT_OPEN"]);
    await within(jobs.there, async ({ destination }) => {
      for (const { key } of receipts) expect(await destination.head(key, signal)).toBeUndefined();
    });
  });
});

describe("pairs that writers kept out of their messages", () => {
  test("are bound where the job says them: the message moves, is found again, and cat prints it with that job only", async () => {
    for (const outcome of ["rewrapped", "already"]) {
      const receipts = (await carried(jobs.pairs)).filter(({ key }) => key.startsWith("hiding"));
      expect(receipts.filter((receipt) => receipt.outcome !== outcome || !receipt.verified)).toEqual([]);
      expect(receipts.length).toBe(HIDING.length);
    }
    const url = `gs://new-bucket/hiding-${HIDING[0]?.id}`;
    const read = await perform(["cat", url, "--job", join(home, "pairs.json")]);
    expect(read.stdoutBytes.equals(SMALL)).toBe(true);
    const without = await perform(["cat", url, "--job", join(home, "there.json")]);
    expect([without.code === 0, without.stdoutBytes.length]).toEqual([false, 0]);
  });
});

describe("signed messages in place", () => {
  const signed = OPENED.filter(({ suite }) => /^0[235]/.test(suite));

  test("are signed anew, found again, read on both sides, and come home", async () => {
    await within(jobs.inPlace, async ({ source }) => {
      for (const vector of signed) await write(source, vector.id, file(vector.file));
      for (const [i, { messageHex, suite }] of OWN.entries()) {
        if (/^0[235]/.test(suite)) await write(source, `own-${i}`, Buffer.from(messageHex, "hex"));
      }
    });
    for (const [job, outcome] of [
      [jobs.inPlace, "rewrapped"],
      [jobs.inPlace, "already"],
      [jobs.inPlaceBack, "rewrapped"],
      [jobs.inPlaceBack, "already"],
    ] as const) {
      const receipts = await carried(job);
      expect(receipts.filter((receipt) => receipt.outcome !== outcome || !receipt.verified)).toEqual([]);
      expect(receipts.length).toBeGreaterThan(signed.length);
    }
    const parsed = parseJob(jobs.inPlaceBack, "job.json");
    await within(jobs.inPlaceBack, async (shores) => {
      for (const object of await listed(shores.source)) {
        const rules = rulesOf(parsed, "m-1", Date.now());
        expect(await verifyObject(object, shores, rules, { full: true, signal })).toMatchObject({
          verdict: "same",
          opened: true,
        });
      }
      for (const vector of signed) {
        const arrived = await bytesOf(shores.destination, vector.id);
        const bodyBytes = vector.offsets.bodyEnd - vector.offsets.headerEnd;
        const footerBytes = vector.offsets.total - vector.offsets.bodyEnd;
        const body = arrived.subarray(-bodyBytes - footerBytes, -footerBytes);
        expect(body.equals(file(vector.file).subarray(vector.offsets.headerEnd, vector.offsets.bodyEnd))).toBe(true);
        const read = await perform([
          "cat",
          `s3://signed-home-bucket/${vector.id}`,
          "--job",
          join(home, "inPlaceBack.json"),
        ]);
        expect(read.stdoutBytes.equals(SMALL)).toBe(true);
      }
    });
  });

  test("whose signature or body does not hold are withdrawn before they can be seen, in either cloud", async () => {
    const broken = async (job: string) =>
      within(job, async ({ source }) => {
        for (const vector of signed) {
          const bytes = await bytesOf(source, vector.id);
          for (const [what, at] of [
            ["signature", bytes.length - 3],
            ["body", bytes.length - 4096],
          ] as const) {
            const changed = Buffer.from(bytes);
            changed[at] = (changed[at] ?? 0) ^ 1;
            await write(source, `broken-${what}-${vector.id}`, changed);
          }
        }
      });
    for (const job of [jobs.inPlace, jobs.inPlaceBack]) {
      await broken(job);
      const receipts = (await carried(job)).filter(({ key }) => key.startsWith("broken"));
      expect(receipts.length).toBe(2 * signed.length);
      expect(new Set(receipts.map(({ outcome, code }) => `${outcome} ${code}`))).toEqual(
        new Set(["refused SEAL_FORGED"]),
      );
      await within(job, async ({ destination }) => {
        for (const { key } of receipts) expect(await destination.head(key, signal)).toBeUndefined();
      });
    }
  });
});
