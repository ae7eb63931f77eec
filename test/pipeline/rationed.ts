/**
 * A migration whose key services ration: directories on both sides, so that nothing but keys takes time, a pocket AWS KMS with a quota
 * at the source that another client uses too, a pocket Google KMS at the destination, and worker processes of the built program.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseJob } from "../../src/config/job.ts";
import { DataKey, type KeyUri, keyUri } from "../../src/core/key.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { Ledger } from "../../src/ledger/ledger.ts";
import { newMigrationId, startMigration } from "../../src/pipeline/control.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { migrationStatus, type MigrationStatus } from "../../src/pipeline/status.ts";
import { type WorkerStatus, workerStatus } from "../../src/pipeline/workers.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import type { QuotaCounts } from "../../src/pocket/quota.ts";
import { openFileStore } from "../../src/store/file.ts";
import type { ObjectStore } from "../../src/store/store.ts";

const US = { accessKeyId: "us", secretAccessKey: "secret of ours" };
const THEM = { accessKeyId: "them", secretAccessKey: "secret of theirs" };
const REGION = "us-east-1";
const TIMEOUT_MS = 300_000;
const { signal } = new AbortController();
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export interface Ration {
  /** Cryptographic operations a second of the source's key service, for us and the other client together. */
  readonly quota: number;
  /** What the other client asks for. */
  readonly competitor: number;
  /** keys.sourceRequestsPerSecond. */
  readonly ceiling?: number;
  readonly workers: number;
}

export interface Rationed {
  readonly status: MigrationStatus;
  /** Between our first request and our last. */
  readonly seconds: number;
  readonly ours: QuotaCounts;
  readonly theirs: QuotaCounts;
  /** As the last heartbeats said. */
  readonly workers: readonly WorkerStatus[];
}

export class RationedWorld {
  readonly aws: PocketAwsKms;
  readonly gcp: PocketGcpKms;
  readonly #directory: string;
  readonly #redis: PrivateRedis;
  readonly #source: ObjectStore;
  readonly #key: KeyUri;
  readonly #wrapWith: KeyUri;
  #runs = 0;

  private constructor(parts: {
    readonly aws: PocketAwsKms;
    readonly gcp: PocketGcpKms;
    readonly directory: string;
    readonly redis: PrivateRedis;
    readonly source: ObjectStore;
  }) {
    this.aws = parts.aws;
    this.gcp = parts.gcp;
    this.#directory = parts.directory;
    this.#redis = parts.redis;
    this.#source = parts.source;
    this.#key = keyUri(`aws-kms://${this.aws.createKey()}`);
    this.#wrapWith = keyUri(`gcp-kms://${this.gcp.createKey("far")}`);
  }

  static async open(objects: number): Promise<RationedWorld> {
    const directory = await mkdtemp(join(tmpdir(), "sealift-rationed-"));
    for (const name of ["near", "ledger"]) await mkdir(join(directory, name));
    const aws = await startPocketAwsKms({ credentials: US, others: [THEM], region: REGION });
    const gcp = await startPocketGcpKms();
    const redis = await startPrivateRedis(join(directory, "state"));
    const source = await openFileStore({ root: join(directory, "near") });
    const world = new RationedWorld({ aws, gcp, directory, redis, source });
    for (const [name, value] of Object.entries(US)) await writeFile(join(directory, name), value, { mode: 0o600 });
    await world.#seed(objects);
    return world;
  }

  #kms(credentials: typeof US): Kms {
    return openAwsKms({ endpoint: this.aws.url, region: REGION, credentials });
  }

  async #seed(objects: number): Promise<void> {
    const kms = this.#kms(US);
    const waiting = [...Array(objects).keys()];
    const lane = async () => {
      for (let i = waiting.pop(); i !== undefined; i = waiting.pop()) await this.#put(kms, i);
    };
    await Promise.all(Array.from({ length: 8 }, lane));
    await kms.close();
  }

  async #put(kms: Kms, i: number): Promise<void> {
    const { seal, dataKey } = s3ecV2.fresh(new Map([["tenant", "a"]]), this.#key);
    const whole = withWrapped(seal, await kms.wrap(this.#key, dataKey, seal.context, signal));
    const chunks: Uint8Array[] = [];
    for await (const chunk of s3ecV2.seal(once(randomBytes(64)), whole, dataKey)) chunks.push(chunk);
    dataKey.wipe();
    const body = Buffer.concat(chunks);
    const attributes = { metadata: s3ecV2.write(whole).metadata };
    const put = { sizeBytes: body.length, attributes, condition: "absent" as const, signal };
    await this.#source.put(`o${String(i).padStart(6, "0")}`, once(body), put);
  }

  /** One migration of everything, into a directory of its own. */
  async run(ration: Ration): Promise<Rationed> {
    const far = join(this.#directory, `far-${++this.#runs}`);
    await mkdir(far);
    const redis = connectRedis(this.#redis.address);
    await redis.flushall();
    const ledger = new Ledger(await openFileStore({ root: join(this.#directory, "ledger") }));
    const control = { ledger, redis, log: silent, by: "test", now: () => new Date(), signal };
    const mid = newMigrationId(new Date());
    await startMigration(control, mid, parseJob(JSON.stringify(this.#job(far, ration)), "rationed"), "");
    this.aws.quota.set(ration.quota);
    const stop = new AbortController();
    const competitor = this.#compete(ration.competitor, stop.signal);
    const children = this.#work(ration.workers);
    try {
      const watched = await this.#watch(
        async () => (await migrationStatus({ ledger, redis, signal }, mid)).result !== undefined,
      );
      const workers = await workerStatus(redis);
      return { ...watched, workers, status: await migrationStatus({ ledger, redis, signal }, mid) };
    } finally {
      for (const child of children) child.kill("SIGKILL");
      stop.abort();
      await competitor;
      redis.disconnect();
      this.aws.quota.set(undefined);
    }
  }

  #job(far: string, { ceiling }: Ration): object {
    const reference = (name: string) => `file:${join(this.#directory, name)}`;
    const credentials = { accessKeyId: reference("accessKeyId"), secretAccessKey: reference("secretAccessKey") };
    return {
      apiVersion: "sealift/v1",
      kind: "Migration",
      source: {
        url: `file://${join(this.#directory, "near")}`,
        kms: { endpoint: this.aws.url, region: REGION, credentials },
      },
      destination: { url: `file://${far}`, kms: { endpoint: this.gcp.url, anonymous: true } },
      keys: {
        wrapWith: this.#wrapWith,
        allow: [this.#key],
        ...(ceiling === undefined ? {} : { sourceRequestsPerSecond: ceiling }),
      },
      options: { verify: "none", pageObjects: 50 },
      // One attempt: whatever a throttle used up would be missed.
      retry: { attempts: 1, delayMs: 10 },
    };
  }

  #work(copiers: number): ChildProcess[] {
    const kinds = ["list", ...Array.from({ length: copiers }, () => "copy")];
    const env = {
      ...process.env,
      SEALIFT_LEDGER: `file://${join(this.#directory, "ledger")}`,
      SEALIFT_REDIS: this.#redis.address,
      SEALIFT_STATE_DIR: join(this.#directory, "state"),
      SEALIFT_TRANSFERS: "24",
      SEALIFT_LOG_LEVEL: "warn",
    };
    return kinds.map((kind) => {
      const entry = new URL(`../../dist/workers/${kind}.js`, import.meta.url).pathname;
      return spawn(process.execPath, [entry], { env, stdio: ["ignore", "ignore", "inherit"] });
    });
  }

  /** A client that asks at its own rate, come what may, and does not ask twice. */
  async #compete(perSecond: number, until: AbortSignal): Promise<void> {
    const kms = this.#kms(THEM);
    const calls: Promise<unknown>[] = [];
    const dataKey = new DataKey(Buffer.alloc(32, 7));
    let dueMs = performance.now();
    while (!until.aborted) {
      calls.push(kms.wrap(this.#key, dataKey, new Map(), signal).catch(() => undefined));
      // A machine that stood still is no reason for a burst.
      dueMs = Math.max(dueMs, performance.now() - 100) + 1000 / perSecond;
      await sleep(Math.max(dueMs - performance.now(), 0));
    }
    await Promise.all(calls);
    dataKey.wipe();
    await kms.close();
  }

  /** Counts what the quota granted from our first request to our last. */
  async #watch(ended: () => Promise<boolean>): Promise<Omit<Rationed, "status" | "workers">> {
    const counts = (who: string): QuotaCounts => ({
      ...(this.aws.quota.callers.get(who) ?? { served: 0, throttled: 0 }),
    });
    const deadline = Date.now() + TIMEOUT_MS;
    let first: { readonly atMs: number; readonly theirs: QuotaCounts } | undefined;
    let last: Omit<Rationed, "status" | "workers"> | undefined;
    while (Date.now() < deadline) {
      const [ours, theirs, atMs] = [counts("us"), counts("them"), performance.now()];
      if (ours.served > 0) first ??= { atMs, theirs };
      if (first && ours.served > (last?.ours.served ?? 0)) {
        const served = theirs.served - first.theirs.served;
        const throttled = theirs.throttled - first.theirs.throttled;
        last = { seconds: (atMs - first.atMs) / 1000, ours, theirs: { served, throttled } };
      }
      if (last && (await ended())) return last;
      await sleep(50);
    }
    throw new Error(`the migration did not end: ${JSON.stringify(last)}`);
  }

  async close(): Promise<void> {
    await Promise.all([this.aws.close(), this.gcp.close(), this.#source.close(), this.#redis.stop()]);
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
