/** The clouds of one chaos run, in the runner's own process: what they are, and the bad weather they can be given. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { startPocketGcs } from "../../src/pocket/gcs.ts";
import type { Fault, PocketRequest, PocketServer } from "../../src/pocket/http.ts";
import { startPocketS3 } from "../../src/pocket/s3.ts";

const REGION = "us-east-1";
export const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
export const SOURCE = "near";
export const DESTINATION = "far";
export const LEDGER = "ledger";

/** One server's faults, each for a while; the delay of uploads, which keeps a run long enough to be harmed, comes last. */
export class Weather {
  readonly #server: PocketServer;
  #storms: { readonly fault: Fault; readonly untilMs: number }[] = [];
  #slow: Fault | undefined;

  constructor(server: PocketServer) {
    this.#server = server;
  }

  storm(fault: Omit<Fault, "times" | "match">, match: (request: PocketRequest) => boolean, ms: number): void {
    const untilMs = Date.now() + ms;
    const during = (request: PocketRequest) => Date.now() < untilMs && match(request);
    this.#storms.push({ fault: { ...fault, match: during, times: Number.POSITIVE_INFINITY }, untilMs });
    this.#apply();
  }

  slow(delayMs: number, match: (request: PocketRequest) => boolean): void {
    this.#slow = { match, delayMs, times: Number.POSITIVE_INFINITY };
    this.#apply();
  }

  calm(): void {
    this.#storms = [];
    this.#slow = undefined;
    this.#apply();
  }

  #apply(): void {
    this.#storms = this.#storms.filter(({ untilMs }) => untilMs > Date.now());
    this.#server.faults.clear();
    for (const { fault } of this.#storms) this.#server.faults.add(fault);
    if (this.#slow) this.#server.faults.add(this.#slow);
  }
}

export interface Clouds {
  readonly sourceKey: string;
  /** Whoever wrote objects under it, the job does not allow it to be opened. */
  readonly foreignKey: string;
  readonly destinationKey: string;
  readonly awsKms: PocketAwsKms;
  readonly source: PocketServer;
  readonly destination: PocketServer;
  readonly weather: Readonly<Record<"source" | "destination" | "ledger" | "sourceKms" | "destinationKms", Weather>>;
  /** As in a job file. */
  readonly shores: { readonly source: object; readonly destination: object };
  readonly keys: { readonly wrapWith: string; readonly allow: readonly string[] };
  readonly ledger: { readonly url: string; readonly endpoint: string; readonly region: string } | undefined;
  readonly to: "gs" | "s3";
  /** Multipart uploads at the destination that are neither completed nor aborted. */
  uploadsLeft(): Promise<number>;
  close(): Promise<void>;
}

export interface CloudOptions {
  readonly to: "gs" | "s3";
  readonly cloudLedger: boolean;
}

export async function openClouds(directory: string, { to, cloudLedger }: CloudOptions): Promise<Clouds> {
  const near = await startPocketS3({ credentials: CREDENTIALS, region: REGION });
  const records = await startPocketS3({ credentials: CREDENTIALS, region: REGION });
  const gcs = await startPocketGcs();
  const s3 = await startPocketS3({ credentials: CREDENTIALS, region: REGION });
  const awsKms = await startPocketAwsKms({ credentials: CREDENTIALS, region: REGION });
  const gcpKms = await startPocketGcpKms();
  const servers = [near, records, gcs, s3, awsKms, gcpKms];
  near.createBucket(SOURCE);
  records.createBucket(LEDGER);
  gcs.createBucket(DESTINATION);
  s3.createBucket(DESTINATION);
  const [sourceKey, otherKey, foreignKey, newKey] = [1, 2, 3, 4].map(() => awsKms.createKey()) as [
    string,
    string,
    string,
    string,
  ];
  const credentials = await writeCredentials(join(directory, "secrets"));
  const aws = { region: REGION, credentials };
  const kms = { endpoint: awsKms.url, ...aws };
  const destinationKey = to === "gs" ? `gcp-kms://${gcpKms.createKey("archive")}` : `aws-kms://${newKey}`;
  const destination =
    to === "gs"
      ? {
          url: `gs://${DESTINATION}`,
          endpoint: gcs.url,
          anonymous: true,
          kms: { endpoint: gcpKms.url, anonymous: true },
        }
      : { url: `s3://${DESTINATION}`, endpoint: s3.url, pathStyle: true, ...aws, kms };
  const sourceKms = new Weather(awsKms);
  return {
    sourceKey,
    foreignKey,
    destinationKey,
    awsKms,
    source: near,
    destination: to === "gs" ? gcs : s3,
    weather: {
      source: new Weather(near),
      destination: new Weather(to === "gs" ? gcs : s3),
      ledger: new Weather(records),
      sourceKms,
      destinationKms: to === "gs" ? new Weather(gcpKms) : sourceKms,
    },
    shores: { source: { url: `s3://${SOURCE}`, endpoint: near.url, pathStyle: true, ...aws, kms }, destination },
    // Two keys may be opened: with one, AWS is told which and refuses a foreign key itself.
    keys: { wrapWith: destinationKey, allow: [`aws-kms://${sourceKey}`, `aws-kms://${otherKey}`] },
    ledger: cloudLedger ? { url: `s3://${LEDGER}/records`, endpoint: records.url, region: REGION } : undefined,
    to,
    uploadsLeft: async () => (to === "gs" ? 0 : uploadsIn(s3.url)),
    close: async () => void (await Promise.all(servers.map((server) => server.close()))),
  };
}

/** Asked with the official client (which writes into the credentials that it is given); Cloud Storage lists no sessions, and composes of objects, which a listing shows. */
async function uploadsIn(endpoint: string): Promise<number> {
  const client = new S3Client({ endpoint, region: REGION, forcePathStyle: true, credentials: { ...CREDENTIALS } });
  try {
    return (await client.send(new ListMultipartUploadsCommand({ Bucket: DESTINATION }))).Uploads?.length ?? 0;
  } finally {
    client.destroy();
  }
}

/** By reference, as in any job. */
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

export const isUpload = ({ method }: PocketRequest): boolean => method === "POST" || method === "PUT";
export const isRead = ({ method, path, query }: PocketRequest): boolean =>
  method === "GET" && !isListing({ method, path, query });
export const isListing = ({ method, query }: Pick<PocketRequest, "method" | "path" | "query">): boolean =>
  method === "GET" && (query.has("list-type") || query.has("maxResults"));
