/**
 * A world to lose objects in: a pocket S3 with AWS keys as source, a pocket Cloud Storage or a second bucket as destination, all of
 * which can be made to misbehave, and the pipeline as it is: ledger on disk, private Redis, worker processes of a build.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openKms, openStore } from "../../src/compose.ts";
import { parseJob } from "../../src/config/job.ts";
import { crc32c, crc32cText } from "../../src/core/crc32c.ts";
import type { Job } from "../../src/core/job.ts";
import { DataKey, keyScheme, keyUri } from "../../src/core/key.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { Ledger } from "../../src/ledger/ledger.ts";
import { startPrivateRedis } from "../../src/pipeline/private.ts";
import type { MigrationStatus } from "../../src/pipeline/status.ts";
import { type WrapKey, type Writer, writeV2 } from "../../src/pocket/application.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { type PocketGcsOptions, startPocketGcs } from "../../src/pocket/gcs.ts";
import { type PocketS3, type PocketS3Options, startPocketS3 } from "../../src/pocket/s3.ts";
import { openFileStore } from "../../src/store/file.ts";
import { attributeHeaders } from "../../src/store/s3/head.ts";
import { HttpClient } from "../../src/wire/http.ts";
import { encodeKeyPath, sha256Hex, signRequest } from "../../src/wire/sigv4.ts";
import { signal, World, type WorldParts } from "../pipeline/world.ts";

const REGION = "us-east-1";
/** Silence after which a page is given to another worker: long enough for a busy machine not to do it by mistake. */
const STALL_MS = "15000";
/** Migrations here take seconds; a machine with other things to do may need minutes. */
const SETTLED_MS = 120_000;
/** For scenarios that kill workers, or give several migrations to the same ones. */
export const IMPATIENT = { env: { SEALIFT_STALL: "2000" } };

export interface LossOptions {
  /** The build whose workers do the work; absent: the program as it is. */
  readonly build?: URL | undefined;
  readonly far?: "gcs" | "s3";
  readonly near?: "gcs" | "s3";
  readonly s3?: PocketS3Options;
  readonly gcs?: PocketGcsOptions;
  readonly filter?: object;
  readonly keys?: object;
  readonly options?: object;
  readonly retry?: object;
}

/** An object as its application left it. */
export interface Placed {
  /** As stored. */
  readonly body: Buffer;
  readonly plaintext: Buffer;
  readonly sealed: boolean;
  readonly metadata: ReadonlyMap<string, string>;
}

export interface Placing {
  readonly plaintext?: Buffer;
  /** Absent: `writeV2`; null: nobody seals it. */
  readonly writer?: Writer | null;
  readonly context?: ReadonlyMap<string, string>;
  readonly metadata?: ReadonlyMap<string, string>;
  /** Its CRC32C is stored with it, as newer clients do. */
  readonly checksum?: boolean;
  /** More of the request's headers. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The AWS key that the application uses; absent: the one that the job allows. */
  readonly wrappedBy?: string;
  /** The application's clock; the server's must agree. */
  readonly now?: Date;
}

export interface Clouds {
  readonly s3: PocketS3;
  readonly awsKms: PocketAwsKms;
  readonly gcpKms: PocketGcpKms;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly sourceArn: string;
}

export class LossWorld extends World {
  readonly clouds: Clouds;
  readonly placed = new Map<string, Placed>();
  /** What stood at the destination before. */
  readonly standing = new Map<string, Buffer>();
  /** Keys that the scenario itself has changed or removed at the source. */
  readonly gone = new Set<string>();
  readonly farKms: Kms;
  readonly #nearKms: Kms;
  readonly #http: HttpClient;
  readonly #build: URL | undefined;

  private constructor(
    parts: WorldParts,
    clouds: Clouds,
    build: URL | undefined,
    kms: { readonly near: Kms; readonly far: Kms },
  ) {
    super(parts);
    this.clouds = clouds;
    this.#build = build;
    this.#nearKms = kms.near;
    this.farKms = kms.far;
    this.#http = new HttpClient({ origin: clouds.s3.url });
  }

  static async begin(options: LossOptions = {}): Promise<LossWorld> {
    const directory = await mkdtemp(join(tmpdir(), "sealift-loss-"));
    const credentials = { accessKeyId: `AK${hex(9)}`, secretAccessKey: `SK${hex(20)}` };
    for (const [name, value] of Object.entries(credentials))
      await writeFile(join(directory, name), value, { mode: 0o600 });
    const s3 = await startPocketS3({ credentials, region: REGION, ...options.s3 });
    const awsKms = await startPocketAwsKms({ credentials, region: REGION });
    const [gcs, gcpKms] = [await startPocketGcs(options.gcs), await startPocketGcpKms()];
    for (const bucket of ["near", "far"]) s3.createBucket(bucket);
    for (const bucket of ["near", "far"]) gcs.createBucket(bucket);
    const clouds = { s3, awsKms, gcpKms, credentials, sourceArn: awsKms.createKey() };
    const job = jobOf(directory, { ...clouds, gcsUrl: gcs.url }, options);
    const { store: source } = await openStore(job.source);
    const { store: destination } = await openStore(job.destination);
    const ledger = new Ledger(await openFileStore({ root: join(directory, "ledger") }));
    const redis = await startPrivateRedis(join(directory, "state"));
    const kms = {
      near: await openKms("aws-kms", { access: job.source.kms ?? {} }),
      far: await openKms(keyScheme(keyUri(job.keys.wrapWith)), { access: job.destination.kms ?? {} }),
    };
    const parts = { directory, job, gcs, source, destination, ledger, seeded: new Map(), redis };
    return new LossWorld(parts, clouds, options.build, kms);
  }

  /** Puts an object at the source as an application of its time would: sealed, without a checksum, by a client of its own. */
  async place(key: string, placing: Placing = {}): Promise<Placed> {
    const { plaintext = randomBytes(200), writer = writeV2, context = new Map([["tenant", "acme"]]) } = placing;
    const own = placing.metadata ?? new Map([["owner", "somebody"]]);
    const sealed = writer === null ? undefined : await writer(plaintext, this.#wrap(placing.wrappedBy), context);
    const placed = { body: sealed?.body ?? plaintext, plaintext, sealed: sealed !== undefined, metadata: own };
    const metadata = new Map([...own, ...(sealed?.metadata ?? [])]);
    if (this.source.traits.scheme === "gs") await this.#putGcs(key, placed.body, metadata, placing.headers);
    else {
      const sum = placing.checksum ? { "x-amz-checksum-crc32c": crc32cText(crc32c(placed.body)) } : {};
      const headers = { ...attributeHeaders(key, { metadata }), ...sum, ...placing.headers };
      await this.putS3("near", key, placed.body, headers, placing.now);
    }
    this.placed.set(key, placed);
    return placed;
  }

  #wrap(arn = this.clouds.sourceArn): WrapKey {
    return async (bytes, context) => {
      using key = new DataKey(bytes);
      return (await this.#nearKms.wrap(keyUri(`aws-kms://${arn}`), key, context, signal)).bytes;
    };
  }

  async #putGcs(key: string, body: Buffer, metadata: Map<string, string>, headers: Placing["headers"]): Promise<void> {
    const contentEncoding = headers?.["content-encoding"];
    const attributes = { metadata, ...(contentEncoding === undefined ? {} : { contentEncoding }) };
    const put = { sizeBytes: body.length, attributes, condition: "any" as const, signal };
    await this.source.put(key, once(body), put);
  }

  /** A stranger's object at the destination. */
  async stand(key: string, body = Buffer.from(`it stood here before: ${key}`)): Promise<void> {
    const attributes = { metadata: new Map<string, string>() };
    await this.destination.put(key, once(body), { sizeBytes: body.length, attributes, condition: "any", signal });
    this.standing.set(key, body);
  }

  async putS3(
    bucket: string,
    key: string,
    body: Buffer,
    more: Record<string, string> = {},
    now = new Date(),
  ): Promise<void> {
    const path = `/${bucket}/${encodeKeyPath(key)}`;
    const host = new URL(this.clouds.s3.url).host;
    const headers = { ...more, host, "content-length": String(body.length) };
    const { credentials } = this.clouds;
    const about = { method: "PUT", path, headers, payloadHash: sha256Hex(body), credentials, now };
    const signed = signRequest({ ...about, region: REGION, service: "s3" });
    const response = await this.#http.send({ method: "PUT", path, headers: signed, body, signal });
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    await response.dismiss();
  }

  override work(
    kind: "list" | "copy",
    count = 1,
    more: { readonly entry?: string; readonly env?: NodeJS.ProcessEnv } = {},
  ) {
    const env = { SEALIFT_STALL: STALL_MS, ...more.env };
    return super.work(kind, count, { ...(this.#build ? { build: this.#build } : {}), ...more, env });
  }

  /** A lister and a copier in one process: what `workers/` starts, where none of them is to be killed (half of a run is starting them). */
  async workTogether(more: { readonly env?: NodeJS.ProcessEnv } = {}): Promise<void> {
    const entry = join(this.directory, "together.mjs");
    const program = new URL("src/cli/entrance.js", this.#build ?? new URL("../../dist/", import.meta.url));
    const start = (kind: string) => `runAsProcess(["worker", "--kind", "${kind}"])`;
    await writeFile(
      entry,
      `import { runAsProcess } from "${program.href}";\nawait Promise.all([${start("list")}, ${start("copy")}]);\n`,
    );
    this.work("copy", 1, { ...more, entry });
  }

  /** From beginning to end, or until enough was seen. */
  async migrate(enough: (status: MigrationStatus) => boolean = () => false): Promise<string> {
    const mid = await this.start();
    await this.workTogether();
    await this.settled(mid, enough);
    return mid;
  }

  /** Ended, or halted, or neither within the time. */
  async settled(
    mid: string,
    enough: (status: MigrationStatus) => boolean = () => false,
  ): Promise<MigrationStatus | undefined> {
    const over = (status: MigrationStatus) =>
      status.result !== undefined || status.state === "Failed" || enough(status);
    return this.until(mid, over, SETTLED_MS).catch(() => undefined);
  }

  /** The job as a file that a verb can be given. */
  async jobFile(job: object = this.job): Promise<string> {
    const path = join(this.directory, "job.json");
    await writeFile(path, JSON.stringify(job));
    return path;
  }

  /** The program itself, with the world's ledger and a Redis of its own. */
  sealift(
    args: readonly string[],
    more: NodeJS.ProcessEnv = {},
  ): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
    const main = fileURLToPath(new URL("src/main.js", this.#build ?? new URL("../../dist/", import.meta.url)));
    const env = {
      ...process.env,
      SEALIFT_LEDGER: `file://${join(this.directory, "ledger")}`,
      SEALIFT_STATE_DIR: join(this.directory, "own"),
      SEALIFT_REDIS: undefined,
      REDIS_URL: undefined,
      ...more,
    };
    return new Promise((resolve) => {
      execFile(process.execPath, [main, ...args], { env, maxBuffer: 1e8 }, (error, stdout, stderr) => {
        resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
      });
    });
  }

  /** From now on all clouds behave. */
  calm(): void {
    for (const cloud of [this.clouds.s3, this.gcs, this.clouds.awsKms, this.clouds.gcpKms]) cloud.faults.clear();
  }

  override async close(): Promise<void> {
    await Promise.all([this.#http.close(), this.#nearKms.close(), this.farKms.close()]);
    await super.close();
    await Promise.all([this.clouds.s3, this.clouds.awsKms, this.clouds.gcpKms].map((cloud) => cloud.close()));
  }
}

/** In a world of its own, which ends whatever happens in it. */
export async function inWorld(
  options: LossOptions,
  scenario: (world: LossWorld) => Promise<string[]>,
): Promise<string[]> {
  const world = await LossWorld.begin(options);
  try {
    return await scenario(world);
  } finally {
    await world.close();
  }
}

const hex = (bytes: number): string => randomBytes(bytes).toString("hex");

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

interface Addresses extends Clouds {
  readonly gcsUrl: string;
}

function jobOf(directory: string, clouds: Addresses, { far = "gcs", near = "s3", ...more }: LossOptions): Job {
  const { s3, awsKms, gcpKms, gcsUrl, sourceArn } = clouds;
  const credentials = {
    accessKeyId: `file:${join(directory, "accessKeyId")}`,
    secretAccessKey: `file:${join(directory, "secretAccessKey")}`,
  };
  const aws = { endpoint: awsKms.url, region: REGION, credentials };
  const google = { endpoint: gcpKms.url, anonymous: true };
  const bucket = (kind: "gcs" | "s3", name: string, kms: object) =>
    kind === "s3"
      ? { url: `s3://${name}/`, endpoint: s3.url, region: REGION, pathStyle: true, credentials, kms }
      : { url: `gs://${name}/`, endpoint: gcsUrl, anonymous: true, kms };
  const wrapWith = far === "s3" ? `aws-kms://${awsKms.createKey()}` : `gcp-kms://${gcpKms.createKey("far")}`;
  const job = {
    apiVersion: "sealift/v1",
    kind: "Migration",
    name: "losses",
    source: bucket(near, "near", aws),
    destination: bucket(far, "far", far === "s3" ? aws : google),
    keys: { wrapWith, allow: [`aws-kms://${sourceArn}`], ...more.keys },
    filter: more.filter ?? {},
    options: { pageObjects: 10, transfers: 4, verify: "none", ...more.options },
    retry: { attempts: 2, delayMs: 10, ...more.retry },
  };
  return parseJob(JSON.stringify(job), "the job");
}
