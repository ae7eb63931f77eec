/**
 * A small world for the pipeline: a directory as source, a pocket GCS as destination, local keys, a private Redis that can be
 * killed and wiped, a ledger on disk, and worker processes of the built program.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { openStore } from "../../src/compose.ts";
import { parseJob } from "../../src/config/job.ts";
import type { Job } from "../../src/core/job.ts";
import { keyUri } from "../../src/core/key.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { createLocalKey, openLocalKms } from "../../src/kms/local.ts";
import { Ledger } from "../../src/ledger/ledger.ts";
import { type Control, newMigrationId, startMigration } from "../../src/pipeline/control.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { migrationStatus, type MigrationStatus } from "../../src/pipeline/status.ts";
import { type PocketGcs, startPocketGcs } from "../../src/pocket/gcs.ts";
import { openFileStore } from "../../src/store/file.ts";
import type { ObjectStore } from "../../src/store/store.ts";

export const signal = new AbortController().signal;
const OLD = keyUri("local://old");
const NEW = keyUri("local://new");
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export interface WorldOptions {
  readonly objects: number;
  readonly pageObjects?: number;
  readonly options?: object;
  readonly retry?: object;
  /** In place of the pocket GCS. */
  readonly destination?: object;
}

interface Seeded {
  readonly sealed: boolean;
  readonly bodySha256: string;
  readonly plaintext: Buffer;
  readonly dataKey: Buffer | undefined;
}

export type WorldParts = Pick<
  World,
  "directory" | "job" | "gcs" | "source" | "destination" | "ledger" | "seeded" | "redis"
>;

export class World {
  readonly directory: string;
  readonly job: Job;
  readonly gcs: PocketGcs;
  readonly source: ObjectStore;
  readonly destination: ObjectStore;
  readonly ledger: Ledger;
  readonly seeded: Map<string, Seeded>;
  readonly output: string[] = [];
  redis: PrivateRedis;
  connection: Redis;
  #workers: ChildProcess[] = [];

  protected constructor(parts: WorldParts) {
    this.directory = parts.directory;
    this.job = parts.job;
    this.gcs = parts.gcs;
    this.source = parts.source;
    this.destination = parts.destination;
    this.ledger = parts.ledger;
    this.seeded = parts.seeded;
    this.redis = parts.redis;
    this.connection = connectRedis(parts.redis.address);
  }

  static async open(options: WorldOptions): Promise<World> {
    if (!existsSync(new URL("../../dist/workers/copy.js", import.meta.url)))
      throw new Error("run `npm run build` first");
    const directory = await mkdtemp(join(tmpdir(), "sealift-world-"));
    const gcs = await startPocketGcs();
    gcs.createBucket("far");
    const job = jobOf(directory, gcs.url, options);
    await mkdir(join(directory, "keys"), { mode: 0o700 });
    for (const name of ["old", "new"]) await createLocalKey(join(directory, "keys"), name);
    const { store: source } = await openStore(job.source);
    const { store: destination } = await openStore(job.destination);
    const seeded = await seed(source, join(directory, "keys"), options.objects);
    const ledger = new Ledger(await openFileStore({ root: join(directory, "ledger") }));
    const redis = await startPrivateRedis(join(directory, "state"));
    return new World({ directory, job, gcs, source, destination, ledger, seeded, redis });
  }

  get control(): Control {
    return { ledger: this.ledger, redis: this.connection, log: silent, by: "test", now: () => new Date(), signal };
  }

  /** `since`: an earlier migration that went the same way. */
  async start(since?: string): Promise<string> {
    const mid = newMigrationId(new Date());
    await startMigration(this.control, mid, this.job, "", since);
    return mid;
  }

  /** Uploads take this long each, so that there is a middle to do harm in. */
  slowUploads(delayMs: number): void {
    this.gcs.faults.add({ match: ({ method }) => method === "POST", times: Number.POSITIVE_INFINITY, delayMs });
  }

  /** `build`: another build of the program, as a URL of its folder; `entry`: of the process; `env`: more of its environment. */
  work(
    kind: "list" | "copy",
    count = 1,
    more: { readonly build?: URL; readonly entry?: string; readonly env?: NodeJS.ProcessEnv } = {},
  ): ChildProcess[] {
    const build = more.build ?? new URL("../../dist/", import.meta.url);
    const entry = more.entry ?? new URL(`workers/${kind}.js`, build).pathname;
    const env = {
      ...process.env,
      SEALIFT_LEDGER: `file://${join(this.directory, "ledger")}`,
      SEALIFT_REDIS: this.redis.address,
      SEALIFT_STATE_DIR: join(this.directory, "state"),
      SEALIFT_STALL: "2000",
      SEALIFT_TRANSFERS: "4",
      SEALIFT_LOG_FORMAT: "json",
      SEALIFT_LOG_LEVEL: "debug",
      ...more.env,
    };
    const children = Array.from({ length: count }, () =>
      spawn(process.execPath, [entry], { env, stdio: ["ignore", "pipe", "pipe"] }),
    );
    for (const child of children) {
      child.stdout.on("data", (chunk: Buffer) => this.output.push(chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => this.output.push(chunk.toString()));
    }
    this.#workers.push(...children);
    return children;
  }

  killWorkers(): void {
    for (const child of this.#workers) child.kill("SIGKILL");
  }

  status(mid: string): Promise<MigrationStatus> {
    return migrationStatus({ ledger: this.ledger, redis: this.connection, signal }, mid);
  }

  async until(mid: string, wanted: (status: MigrationStatus) => boolean, timeoutMs = 90_000): Promise<MigrationStatus> {
    const deadline = Date.now() + timeoutMs;
    let last: MigrationStatus | undefined;
    while (Date.now() < deadline) {
      last = await this.status(mid).catch(() => last);
      if (last && wanted(last)) return last;
      await sleep(50);
    }
    throw new Error(`did not happen: ${JSON.stringify(last)}\n${this.output.slice(-30).join("")}`);
  }

  finished(mid: string): Promise<MigrationStatus> {
    return this.until(mid, ({ result }) => result !== undefined);
  }

  /** SIGKILL of the server; with `wipe`, its disk goes too. Comes back empty or from its append-only file. */
  async killRedis({ wipe }: { wipe: boolean }): Promise<void> {
    process.kill(this.redis.pid as number, "SIGKILL");
    await sleep(300);
    if (wipe) await rm(this.redis.directory, { recursive: true, force: true });
    this.redis = await startPrivateRedis(join(this.directory, "state"));
  }

  /** Keys at the destination, and for sealed objects that the bytes are those of the source. */
  async farSide(): Promise<{ keys: string[]; changed: string[] }> {
    const keys: string[] = [];
    const changed: string[] = [];
    for await (const page of this.destination.list("", {}, signal)) {
      for (const { key } of page.objects) {
        keys.push(key);
        const seeded = this.seeded.get(key);
        if (!seeded?.sealed) continue;
        const { body } = await this.destination.open(key, { signal });
        const hash = createHash("sha256");
        for await (const chunk of body) hash.update(chunk);
        if (hash.digest("hex") !== seeded.bodySha256) changed.push(key);
      }
    }
    return { keys, changed };
  }

  /** Every byte that is on disk under the state directory and in the ledger, by path. */
  async onDisk(): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>();
    for (const place of ["state", "ledger"]) {
      const entries = await readdir(join(this.directory, place), { recursive: true, withFileTypes: true });
      for (const entry of entries) {
        if (!entry.isFile()) continue;
        const path = join(entry.parentPath, entry.name);
        found.set(path, await readFile(path));
      }
    }
    return found;
  }

  async close(): Promise<void> {
    for (const child of this.#workers) child.kill("SIGKILL");
    this.connection.disconnect();
    if (this.redis.pid !== undefined) {
      try {
        process.kill(this.redis.pid, "SIGKILL");
      } catch {
        // It is gone already.
      }
    }
    await Promise.all([this.source.close(), this.destination.close(), this.gcs.close()]);
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function jobOf(directory: string, gcsUrl: string, wanted: WorldOptions): Job {
  const { pageObjects = 10, options = {}, retry = {}, destination } = wanted;
  const job = {
    apiVersion: "sealift/v1",
    kind: "Migration",
    name: "world",
    source: { url: `file://${join(directory, "near")}` },
    destination: destination ?? { url: "gs://far", endpoint: gcsUrl, anonymous: true },
    keys: { wrapWith: NEW, allow: [OLD], localDirectory: join(directory, "keys") },
    options: { pageObjects, transfers: 4, ...options },
    retry: { attempts: 2, delayMs: 10, ...retry },
  };
  return parseJob(JSON.stringify(job), "the world's job");
}

async function seed(store: ObjectStore, keys: string, objects: number): Promise<Map<string, Seeded>> {
  const kms = openLocalKms({ directory: keys });
  const seeded = new Map<string, Seeded>();
  for (let i = 0; i < objects; i++) {
    const key = `${i % 3 === 0 ? "ä/" : "b/"}object ${String(i).padStart(5, "0")}`;
    const plaintext = Buffer.concat([Buffer.from(`PLAINTEXT-OF-${i}-`), randomBytes(200)]);
    const sealed = i % 10 !== 9;
    let body: Buffer = plaintext;
    let metadata = new Map<string, string>([["owner", "test"]]);
    let dataKeyBytes: Buffer | undefined;
    if (sealed) {
      const envelope = i % 2 === 0 ? s3ecV2 : s3ecV3;
      const { seal, dataKey } = envelope.fresh(new Map([["tenant", "a"]]), OLD);
      const whole = withWrapped(seal, await kms.wrap(OLD, dataKey, seal.context, signal));
      metadata = new Map([...metadata, ...envelope.write(whole).metadata]);
      const chunks: Uint8Array[] = [];
      for await (const chunk of envelope.seal(once(plaintext), whole, dataKey)) chunks.push(chunk);
      body = Buffer.concat(chunks);
      dataKeyBytes = Buffer.from(dataKey.reveal());
    }
    const put = { sizeBytes: body.length, attributes: { metadata }, condition: "absent" as const, signal };
    await store.put(key, once(body), put);
    const bodySha256 = createHash("sha256").update(body).digest("hex");
    seeded.set(key, { sealed, bodySha256, plaintext, dataKey: dataKeyBytes });
  }
  return seeded;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
