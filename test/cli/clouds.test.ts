/** compose, inspect and cat against pocket clouds: every driver opened from the words of a job file. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openShores } from "../../src/compose.ts";
import { parseJob } from "../../src/config/job.ts";
import type { Job } from "../../src/core/job.ts";
import { type KeyUri, keyUri } from "../../src/core/key.ts";
import type { ByteStream } from "../../src/core/object.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { startPocketGcs } from "../../src/pocket/gcs.ts";
import { startPocketS3 } from "../../src/pocket/s3.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import { perform } from "./stage.ts";

const { signal } = new AbortController();
const GCP_KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k";

let home = "";
let jobPath = "";
let job: Job;
let awsKey: KeyUri;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  const clouds = await Promise.all([startPocketS3(), startPocketGcs(), startPocketAwsKms(), startPocketGcpKms()]);
  closing.push(...clouds.map((cloud) => () => cloud.close()));
  const [s3, gcs, awsKms, gcpKms] = clouds;
  s3.createBucket("old-bucket");
  gcs.createBucket("new-bucket");
  gcpKms.createKey(GCP_KEY);
  awsKey = keyUri(`aws-kms://${awsKms.createKey()}`);
  home = await mkdtemp(join(tmpdir(), "sealift-clouds-"));
  const secretFile = async (name: string, text: string) => {
    await writeFile(join(home, name), text, { mode: 0o600 });
    return `file:${join(home, name)}`;
  };
  const credentials = {
    accessKeyId: await secretFile("id", "pocket\n"),
    secretAccessKey: await secretFile("secret", "pocket-secret\n"),
  };
  const region = "us-east-1";
  const written = {
    apiVersion: "sealift/v1",
    kind: "Migration",
    source: {
      url: "s3://old-bucket/in/",
      endpoint: s3.url,
      pathStyle: true,
      region,
      credentials,
      kms: { endpoint: awsKms.url },
    },
    destination: { url: "gs://new-bucket", endpoint: gcs.url, anonymous: true, kms: { endpoint: gcpKms.url } },
    keys: { wrapWith: `gcp-kms://${GCP_KEY}`, allow: [awsKey] },
  };
  jobPath = join(home, "job.json");
  await writeFile(jobPath, JSON.stringify(written));
  job = parseJob(JSON.stringify(written), "job.json");
});

afterAll(async () => {
  await Promise.all(closing.map((close) => close()));
  await rm(home, { recursive: true });
});

async function* once(bytes: Uint8Array): ByteStream {
  yield bytes;
}

async function putSealed(store: ObjectStore, name: string, plaintext: Uint8Array, kms: Kms | undefined, key: KeyUri) {
  const { seal, dataKey } = s3ecV3.fresh(new Map([["tenant", "acme"]]), key);
  const wrapped = await kms?.wrap(key, dataKey, seal.context, signal);
  if (wrapped === undefined) throw new Error("no key service was opened");
  const { metadata } = s3ecV3.write(withWrapped(seal, wrapped));
  const body = s3ecV3.seal(once(plaintext), seal, dataKey);
  const sizeBytes = s3ecV3.sealedSize(plaintext.length, seal);
  await store.put(name, body, { sizeBytes, attributes: { metadata }, condition: "absent", signal });
  dataKey.wipe();
}

test("a job's four services are opened from its words, and one object of each side is inspected and read", async () => {
  const plaintext = randomBytes(50_000);
  const shores = await openShores(job);
  try {
    expect([shores.sourcePrefix, shores.destinationPrefix]).toEqual(["in/", ""]);
    await putSealed(shores.source, "in/a b.bin", plaintext, shores.sourceKms[0], awsKey);
    await putSealed(shores.destination, "a b.bin", plaintext, shores.destinationKms[0], keyUri(job.keys.wrapWith));
  } finally {
    await shores.close();
  }
  for (const [url, wrap] of [
    ["s3://old-bucket/in/a b.bin", "12"],
    ["gs://new-bucket/a b.bin", "gcp-kms+context"],
  ] as const) {
    const inspected = await perform(["inspect", url, "--job", jobPath, "--json"]);
    expect(inspected.stderr).toBe("");
    expect(JSON.parse(inspected.stdout)).toMatchObject({
      format: "s3ec-v3",
      wrap,
      plainBytes: 50_000,
      context: { tenant: "acme" },
    });
    const read = await perform(["cat", url, "--job", jobPath]);
    expect([read.code, read.stderr]).toEqual([0, ""]);
    expect(read.stdoutBytes.equals(plaintext)).toBe(true);
  }
});

test("wrong credentials end with 3, and are not repeated", async () => {
  await writeFile(join(home, "secret"), "hunter2-hunter2\n", { mode: 0o600 });
  const { code, stdout, stderr } = await perform(["inspect", "s3://old-bucket/in/x", "--job", jobPath]);
  expect([code, stdout]).toEqual([3, ""]);
  expect(stderr).not.toContain("hunter2");
});
