/** Pocket clouds, the keys of the writers, and `sealift run` between them, as anybody would run it. */
import { execFile } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openShores } from "../../src/compose.ts";
import { parseJob } from "../../src/config/job.ts";
import { Budget } from "../../src/core/budget.ts";
import type { Envelope } from "../../src/envelope/envelope.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { startPocketGcs } from "../../src/pocket/gcs.ts";
import { startPocketS3 } from "../../src/pocket/s3.ts";
import { openGcsStore } from "../../src/store/gcs/gcs.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import type { Clouds } from "./client.ts";

const MAIN = new URL("../../dist/src/main.js", import.meta.url).pathname;
const REGION = "us-east-1";
const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };

/** Where the writers write; where the first migration goes; the other cloud; where the way back ends. */
export type Place = "near" | "beyond" | "far" | "back";

export interface World {
  readonly clouds: Clouds;
  readonly awsKms: PocketAwsKms;
  /** For plaintexts, private. */
  readonly directory: string;
  readonly stores: Readonly<Record<Place, ObjectStore>>;
  /** The key under which things stand at each place, as its KMS names it. */
  readonly keys: Readonly<Record<Place, string>>;
  readonly gcpKms: Kms;
  /** The formats that a migration knows. */
  readonly envelopes: readonly Envelope[];
  /** Moves everything from one place to another, to be wrapped under its key. Throws with the program's words where it fails. */
  sealift(from: Place, to: Place, more?: More): Promise<Totals>;
  close(): Promise<void>;
}

/** What one migration has beside its ends. */
export interface More {
  /** Folders of the two places, with their slash. */
  readonly from?: string;
  readonly to?: string;
  /** Fields of the job, beside its own or in their stead. */
  readonly keys?: object;
  readonly options?: object;
}

export interface Totals {
  readonly listed: number;
  readonly verified: number;
  readonly counts: Readonly<Record<string, number>>;
}

export async function openWorld(): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), "sealift-interop-"));
  const s3 = await startPocketS3({ credentials: CREDENTIALS, region: REGION });
  const gcs = await startPocketGcs();
  const awsKms = await startPocketAwsKms({ credentials: CREDENTIALS, region: REGION });
  const gcp = await startPocketGcpKms();
  for (const bucket of ["near", "beyond", "back"]) s3.createBucket(bucket);
  gcs.createBucket("far");
  const urls = { s3: s3.url, kms: awsKms.url, gcpKms: gcp.url };
  const clouds = { ...urls, region: REGION, ...CREDENTIALS, ...(await makeBareKeys(directory)) };
  for (const [name, value] of Object.entries(CREDENTIALS)) {
    await writeFile(join(directory, name), value, { mode: 0o600 });
  }
  const keys = {
    near: awsKms.createKey(),
    beyond: awsKms.createKey(),
    far: gcp.createKey("archive"),
    back: awsKms.createKey(),
  };
  const stores = await openStores(s3.url, gcs.url);
  const gcpKms = openGcpKms({ endpoint: gcp.url, anonymous: true });
  const ends = { gcsUrl: gcs.url, keys };
  const shores = await openShores(
    parseJob(JSON.stringify(jobOf(clouds, directory, ends, "near", "far", {})), "interop"),
  );
  return {
    clouds,
    awsKms,
    directory,
    stores,
    keys,
    gcpKms,
    envelopes: shores.envelopes,
    sealift: async (from, to, more = {}) => run(directory, jobOf(clouds, directory, ends, from, to, more)),
    close: async () => {
      await Promise.all([gcpKms, shores, ...Object.values(stores)].map((one) => one.close()));
      await Promise.all([s3, gcs, awsKms, gcp].map((one) => one.close()));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function openStores(s3: string, gcs: string): Promise<Record<Place, ObjectStore>> {
  const buffer = new Budget(2 ** 27);
  const s3Store = (bucket: string) =>
    openS3Store({ bucket, endpoint: s3, region: REGION, pathStyle: true, credentials: CREDENTIALS, buffer });
  return {
    near: await s3Store("near"),
    beyond: await s3Store("beyond"),
    back: await s3Store("back"),
    far: await openGcsStore({ bucket: "far", endpoint: gcs, anonymous: true, buffer }),
  };
}

/** For clients without a KMS, and the same as sealift's key files, `local://bare` and `local-rsa://bare`. */
async function makeBareKeys(directory: string): Promise<Pick<Clouds, "aes" | "rsa" | "rsaPublic">> {
  const aes = randomBytes(32).toString("base64");
  const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await mkdir(join(directory, "keys"), { mode: 0o700 });
  await writeFile(join(directory, "keys", "bare.key"), `${aes}\n`, { mode: 0o600 });
  const pem = pair.privateKey.export({ type: "pkcs8", format: "pem" });
  await writeFile(join(directory, "keys", "bare.pem"), pem, { mode: 0o600 });
  return {
    aes,
    rsa: pair.privateKey.export({ type: "pkcs8", format: "der" }).toString("base64"),
    rsaPublic: pair.publicKey.export({ type: "spki", format: "der" }).toString("base64"),
  };
}

/** The pairs that bind what sealift seals itself. */
export const SEAL_CONTEXT = { application: "interop" };

interface Ends {
  readonly gcsUrl: string;
  readonly keys: Readonly<Record<Place, string>>;
}

function jobOf(clouds: Clouds, directory: string, { gcsUrl, keys }: Ends, from: Place, to: Place, more: More): object {
  const secretFile = (name: string) => `file:${join(directory, name)}`;
  const credentials = { accessKeyId: secretFile("accessKeyId"), secretAccessKey: secretFile("secretAccessKey") };
  const shore = (place: Place, folder = ""): object =>
    place === "far"
      ? {
          url: `gs://far/${folder}`,
          endpoint: gcsUrl,
          anonymous: true,
          kms: { endpoint: clouds.gcpKms, anonymous: true },
        }
      : {
          url: `s3://${place}/${folder}`,
          endpoint: clouds.s3,
          region: REGION,
          pathStyle: true,
          credentials,
          kms: { endpoint: clouds.kms, region: REGION, credentials },
        };
  const uri = (place: Place) => `${place === "far" ? "gcp" : "aws"}-kms://${keys[place]}`;
  const bare = from === "near" ? ["local://bare", "local-rsa://bare"] : [];
  return {
    apiVersion: "sealift/v1",
    kind: "Migration",
    name: `${from}-${to}`,
    source: shore(from, more.from),
    destination: shore(to, more.to),
    keys: {
      wrapWith: uri(to),
      allow: [uri(from), ...bare],
      sealContext: SEAL_CONTEXT,
      ...(bare.length > 0 ? { localDirectory: join(directory, "keys") } : {}),
      ...more.keys,
    },
    options: { fallback: "seal", verify: "full", ...more.options },
  };
}

async function run(directory: string, job: object & { name?: string }): Promise<Totals> {
  const path = join(directory, `${job.name}.json`);
  await writeFile(path, JSON.stringify(job));
  const env = { ...process.env, SEALIFT_STATE_DIR: join(directory, "state"), REDIS_URL: undefined };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [MAIN, "run", path, "--json"], { env, maxBuffer: 1e8 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`sealift run ended with ${error.code}: ${stdout}${stderr}`));
      else resolve((JSON.parse(stdout.trim()) as { totals: Totals }).totals);
    });
  });
}
