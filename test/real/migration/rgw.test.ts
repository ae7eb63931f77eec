/**
 * The main job from a real S3 server (Ceph's gateway), by the built program, with rclone as the witness of what was moved: it knows
 * nothing of envelopes and compares the bytes on both shores.
 */
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ENVELOPES } from "../../../src/compose/envelopes.ts";
import { Budget } from "../../../src/core/budget.ts";
import { DataKey, keyUri } from "../../../src/core/key.ts";
import { openAwsKms } from "../../../src/kms/aws.ts";
import { openGcpKms } from "../../../src/kms/gcp/gcp.ts";
import { legacyCbc, legacyGcm, type WrapKey, writeV2, type Writer, writeV3 } from "../../../src/pocket/application.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../../src/pocket/awskms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../../src/pocket/gcpkms.ts";
import { type PocketGcs, startPocketGcs } from "../../../src/pocket/gcs.ts";
import { openGcsStore } from "../../../src/store/gcs/gcs.ts";
import { openPlaintext } from "../../../src/transfer/read.ts";
import { type Rgw, rgwMissing, startRgw } from "../rgw.ts";

const MAIN = new URL("../../../dist/src/main.js", import.meta.url).pathname;
const never = new AbortController().signal;
const missing = await rgwMissing();
if (missing !== undefined && process.env["CI"]) throw new Error(`Ceph's gateway is needed here: ${missing}`);

let directory: string;
let rgw: Rgw;
let gcs: PocketGcs;
let awsKms: PocketAwsKms;
let gcpKms: PocketGcpKms;
let arn: string;
const seeded = new Map<string, Buffer>();
const customerKey = randomBytes(32);

const NAMES = ["plus+and space", "percent%20", "double//slash", "ünï/日本語", "emoji 🔑", "fullwidth ～", "trailing/"];

beforeAll(async () => {
  if (missing !== undefined) return;
  directory = await mkdtemp(join(tmpdir(), "sealift-rgw-run-"));
  [rgw, gcs, awsKms, gcpKms] = await Promise.all([
    startRgw(),
    startPocketGcs(),
    startPocketAwsKms(),
    startPocketGcpKms(),
  ]);
  gcs.createBucket("far");
  arn = awsKms.createKey();
  await seed();
  await writeSecrets();
}, 180_000);

afterAll(async () => {
  await Promise.all([rgw?.close(), gcs?.close(), awsKms?.close(), gcpKms?.close()]);
  if (directory) await rm(directory, { recursive: true, force: true });
});

async function seed(): Promise<void> {
  const options = { endpoint: rgw.url, region: "us-east-1", credentials: rgw.credentials, forcePathStyle: true };
  const client = new S3Client({ ...options, requestChecksumCalculation: "WHEN_REQUIRED" });
  for (const Bucket of ["near", "beyond"]) await client.send(new CreateBucketCommand({ Bucket }));
  const kms = openAwsKms({ endpoint: awsKms.url, region: "us-east-1", credentials: POCKET });
  const wrap: WrapKey = async (bytes, context) => {
    using key = new DataKey(bytes);
    return (await kms.wrap(keyUri(`aws-kms://${arn}`), key, context, never)).bytes;
  };
  const writers: Record<string, Writer> = { v2: writeV2, v3: writeV3, kms: legacyGcm(arn), cbc: legacyCbc(arn) };
  for (const [folder, writer] of Object.entries(writers)) {
    for (const [index, name] of [...NAMES, "empty", "megabytes"].entries()) {
      const plaintext = randomBytes(name === "empty" ? 0 : name === "megabytes" ? 3_000_000 : 500 + index);
      const { metadata, body } = await writer(plaintext, wrap, new Map([["tenant", `t${index}`]]));
      const Metadata = Object.fromEntries([...metadata, ["owner", "somebody"]]);
      await client.send(
        new PutObjectCommand({ Bucket: "near", Key: `sealed/${folder}/${name}`, Body: body, Metadata }),
      );
      seeded.set(`sealed/${folder}/${name}`, plaintext);
    }
  }
  const provider = [
    { ServerSideEncryption: "aws:kms" as const, SSEKMSKeyId: "testkey-1" },
    {
      SSECustomerAlgorithm: "AES256",
      SSECustomerKey: customerKey.toString("base64"),
      SSECustomerKeyMD5: md5(customerKey),
    },
    {},
  ];
  for (const [index, settings] of provider.entries()) {
    const plaintext = randomBytes(2000 + index);
    const raw = {
      ...settings,
      ...("SSECustomerKey" in settings ? { SSECustomerKey: customerKey.toString("base64") } : {}),
    };
    await client.send(new PutObjectCommand({ Bucket: "near", Key: `bare/${index}`, Body: plaintext, ...raw }));
    seeded.set(`bare/${index}`, plaintext);
  }
  client.destroy();
  await kms.close();
}

const POCKET = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("base64");
const secretFile = (name: string): string => `file:${join(directory, name)}`;

async function writeSecrets(): Promise<void> {
  const secrets = {
    rgwId: rgw.credentials.accessKeyId,
    rgwSecret: rgw.credentials.secretAccessKey,
    id: "pocket",
    secret: "pocket-secret",
    ssec: customerKey.toString("base64"),
  };
  for (const [name, value] of Object.entries(secrets)) await writeFile(join(directory, name), value, { mode: 0o600 });
  const s3 = [
    "type = s3",
    "provider = Ceph",
    `endpoint = ${rgw.url}`,
    `access_key_id = ${rgw.credentials.accessKeyId}`,
    `secret_access_key = ${rgw.credentials.secretAccessKey}`,
    "region = us-east-1",
  ];
  const g = [
    "type = google cloud storage",
    "anonymous = true",
    "bucket_policy_only = true",
    `endpoint = ${gcs.url}/storage/v1/`,
  ];
  await writeFile(join(directory, "rclone.conf"), ["[s]", ...s3, "[g]", ...g].join("\n"));
}

async function sealift(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    SEALIFT_STATE_DIR: join(directory, "state"),
    REDIS_URL: undefined,
    SEALIFT_STALL: "5000",
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env, maxBuffer: 1e8 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
    });
  });
}

/** Throws where rclone finds a difference. */
async function rcloneCheck(from: string, to: string): Promise<void> {
  const words = ["--config", join(directory, "rclone.conf"), "check", from, to, "--one-way", "--download"];
  await promisify(execFile)("rclone", words, { env: { PATH: process.env["PATH"], HOME: directory } });
}

async function jobFile(name: string, destination: object, wrapWith: string, extra: object = {}): Promise<string> {
  const s3 = {
    endpoint: rgw.url,
    region: "us-east-1",
    pathStyle: true,
    credentials: { accessKeyId: secretFile("rgwId"), secretAccessKey: secretFile("rgwSecret") },
  };
  const kms = {
    endpoint: awsKms.url,
    region: "us-east-1",
    credentials: { accessKeyId: secretFile("id"), secretAccessKey: secretFile("secret") },
  };
  const job = {
    apiVersion: "sealift/v1",
    kind: "Migration",
    name,
    source: { url: "s3://near/", ...s3, customerKeys: [secretFile("ssec")], kms },
    destination: "url" in destination ? destination : { url: "s3://beyond/", ...s3, kms },
    keys: { wrapWith, allow: [`aws-kms://${arn}`] },
    options: { pageObjects: 8, verify: "full", ...extra },
  };
  const path = join(directory, `${name}.yaml`);
  await writeFile(path, JSON.stringify(job));
  return path;
}

describe.skipIf(missing !== undefined)(`from Ceph RGW (${missing ?? "installed"})`, { timeout: 180_000 }, () => {
  it("to Google: every object arrives, opens under the Google key, and rclone finds the ciphertext untouched", async () => {
    const key = gcpKms.createKey("archive");
    const far = {
      url: "gs://far/",
      endpoint: gcs.url,
      anonymous: true,
      kms: { endpoint: gcpKms.url, anonymous: true },
    };
    const job = await jobFile("to-google", far, `gcp-kms://${key}`);
    const { code, stdout, stderr } = await sealift("run", job, "--json");
    expect(stderr.includes("ERROR") ? stderr : code).toBe(0);
    const { totals } = JSON.parse(stdout.trim());
    expect(totals).toMatchObject({
      listed: seeded.size,
      verified: seeded.size,
      counts: { rewrapped: 36, resealed: 3 },
    });
    await rcloneCheck("s:near/sealed", "g:far/sealed");
    const store = await openGcsStore({
      bucket: "far",
      endpoint: gcs.url,
      anonymous: true,
      buffer: new Budget(2 ** 27),
    });
    const kms = openGcpKms({ endpoint: gcpKms.url, anonymous: true });
    for (const [name, plaintext] of seeded) {
      const { head, body } = await store.open(name, { signal: never });
      const chunks: Uint8Array[] = [];
      for await (const chunk of await openPlaintext(head, body, ENVELOPES, [kms], never)) chunks.push(chunk);
      expect([name, Buffer.concat(chunks).equals(plaintext)]).toEqual([name, true]);
    }
    await Promise.all([store.close(), kms.close()]);
  });

  it("to another bucket of the same server: AWS to AWS, rewrapped by the KMS itself; the witness agrees, and so does verify", async () => {
    const other = awsKms.createKey();
    const job = await jobFile("to-aws", {}, `aws-kms://${other}`, { verify: "none" });
    const decrypts = awsKms.counts.get("POST Decrypt") ?? 0;
    const { code, stdout } = await sealift("run", job, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout.trim()).totals.counts).toMatchObject({ rewrapped: 36, resealed: 3 });
    expect(awsKms.counts.get("POST ReEncrypt")).toBe(36);
    // One for the preflight's check; no data key of an object came here.
    expect((awsKms.counts.get("POST Decrypt") ?? 0) - decrypts).toBeLessThanOrEqual(1);
    await rcloneCheck("s:near/sealed", "s:beyond/sealed");
    const verified = JSON.parse((await sealift("verify", job, "--full", "--json")).stdout);
    expect(verified).toMatchObject({ objects: seeded.size, same: seeded.size, opened: seeded.size });
  });
});
