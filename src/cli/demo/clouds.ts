/** Four pocket clouds on 127.0.0.1 and the job that moves a bucket between them. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startPocketAwsKms } from "../../pocket/awskms.ts";
import { startPocketGcpKms } from "../../pocket/gcpkms.ts";
import { startPocketGcs } from "../../pocket/gcs.ts";
import type { PocketServer } from "../../pocket/http.ts";
import { startPocketS3 } from "../../pocket/s3.ts";

export const SOURCE_BUCKET = "tenant-archive";
export const DESTINATION_BUCKET = "tenant-archive-eu";
const REGION = "us-east-1";
const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };

export interface Clouds {
  readonly s3: PocketServer;
  readonly gcs: PocketServer;
  readonly awsKms: PocketServer;
  readonly gcpKms: PocketServer;
  readonly sourceKey: string;
  readonly destinationKey: string;
  /** As a job file would state it. */
  readonly job: object;
  close(): Promise<void>;
}

export async function openClouds(directory: string): Promise<Clouds> {
  const s3 = await startPocketS3({ credentials: CREDENTIALS, region: REGION });
  const gcs = await startPocketGcs();
  const awsKms = await startPocketAwsKms({ credentials: CREDENTIALS, region: REGION });
  const gcpKms = await startPocketGcpKms();
  s3.createBucket(SOURCE_BUCKET);
  gcs.createBucket(DESTINATION_BUCKET);
  const sourceKey = awsKms.createKey();
  const destinationKey = gcpKms.createKey("archive");
  const credentials = await writeCredentials(directory);
  const job = {
    apiVersion: "sealift/v1",
    kind: "Migration",
    name: "demo",
    source: {
      url: `s3://${SOURCE_BUCKET}/`,
      endpoint: s3.url,
      region: REGION,
      pathStyle: true,
      credentials,
      kms: { endpoint: awsKms.url, region: REGION, credentials },
    },
    destination: {
      url: `gs://${DESTINATION_BUCKET}/`,
      endpoint: gcs.url,
      anonymous: true,
      kms: { endpoint: gcpKms.url, anonymous: true },
    },
    keys: {
      wrapWith: `gcp-kms://${destinationKey}`,
      allow: [`aws-kms://${sourceKey}`],
      sealContext: { application: "demo" },
    },
    options: { fallback: "seal", verify: "full", pageObjects: 12, transfers: 4 },
  };
  const close = async () => void (await Promise.all([s3, gcs, awsKms, gcpKms].map((cloud) => cloud.close())));
  return { s3, gcs, awsKms, gcpKms, sourceKey, destinationKey, job, close };
}

/** By reference, as in any job: a job file holds no secret, not even a pretended one. */
async function writeCredentials(directory: string): Promise<Record<string, string>> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const references: Record<string, string> = {};
  for (const [name, value] of Object.entries(CREDENTIALS)) {
    const path = join(directory, name);
    await writeFile(path, value, { mode: 0o600 });
    references[name] = `file:${path}`;
  }
  return references;
}
