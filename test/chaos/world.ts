/** One chaos run's world: clouds, model, ledger, a private Redis, and worker processes of the built program. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { openShores, openStore } from "../../src/compose.ts";
import { type OpenedLedger, openLedger } from "../../src/compose/work.ts";
import { packageFile } from "../../src/cli/package.ts";
import { parseJob } from "../../src/config/job.ts";
import type { Job, Shore } from "../../src/core/job.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { type Control, newMigrationId, startMigration } from "../../src/pipeline/control.ts";
import { closeQueues, openQueues, type Queues } from "../../src/pipeline/job.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { migrationStatus, type MigrationStatus } from "../../src/pipeline/status.ts";
import { Window } from "../../src/pipeline/window.ts";
import type { Shores } from "../../src/transfer/shores.ts";
import { type Clouds, CREDENTIALS, openClouds } from "./clouds.ts";
import { BOUNDARIES, Model } from "./model.ts";
import type { Random } from "./random.ts";

export const signal = new AbortController().signal;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export type Kind = "list" | "copy";

export interface Worker {
  readonly kind: Kind;
  readonly child: ChildProcess;
  /** Milliseconds by which its clock is wrong, or will be. */
  readonly clockMs: number;
}

export interface WorldOptions {
  readonly objects: number;
  /** Objects of several parts, beside the others. */
  readonly huge?: number;
  readonly to: "gs" | "s3";
  readonly cloudLedger: boolean;
  readonly shards: boolean;
  readonly pageObjects: number;
  /** Folder of the built program, where it is not this one's. */
  readonly build?: string | undefined;
}

export interface WorkOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** As in WorldOptions, for this process. */
  readonly build?: string;
  /** The clock jumps by so much, so long after the start. */
  readonly clock?: { readonly byMs: number; readonly afterMs: number };
}

export class World {
  readonly directory: string;
  readonly clouds: Clouds;
  readonly model: Model;
  readonly job: Job;
  readonly shores: Shores;
  readonly output: string[] = [];
  readonly workers = new Set<Worker>();
  /** How each process ended that nobody here had ended. */
  readonly ownEnds: string[] = [];
  redis: PrivateRedis;
  connection: Redis;
  queues: Queues;
  mid = "";
  readonly #ledger: OpenedLedger;
  readonly #ledgerShore: Shore;
  readonly #build: string;
  readonly #ended = new WeakSet<ChildProcess>();

  private constructor(
    parts: Pick<World, "directory" | "clouds" | "model" | "job" | "shores" | "redis"> & {
      readonly opened: OpenedLedger;
      readonly ledgerShore: Shore;
      readonly build: string;
    },
  ) {
    this.directory = parts.directory;
    this.clouds = parts.clouds;
    this.model = parts.model;
    this.job = parts.job;
    this.shores = parts.shores;
    this.redis = parts.redis;
    this.#ledger = parts.opened;
    this.#ledgerShore = parts.ledgerShore;
    this.#build = parts.build;
    this.connection = connectRedis(parts.redis.address);
    this.queues = openQueues(this.connection);
  }

  static async open(options: WorldOptions, random: Random): Promise<World> {
    const build = options.build ?? builtProgram();
    const directory = await mkdtemp(join(tmpdir(), "sealift-chaos-"));
    const clouds = await openClouds(directory, options);
    const job = jobOf(clouds, options);
    const shores = await openShores(job);
    const stores = { source: shores.source, destination: shores.destination };
    const model = await Model.seed(job, clouds, stores, { huge: 0, ...options }, random.fork("model"));
    // The runner speaks to the ledger as the workers do, by credentials of the environment.
    Object.assign(process.env, ENVIRONMENT);
    const { ledger } = clouds;
    const ledgerShore = ledger ? { ...ledger, pathStyle: true } : { url: `file://${join(directory, "ledger")}` };
    const opened = await openLedger(ledgerShore);
    const redis = await startPrivateRedis(join(directory, "state"));
    return new World({ directory, clouds, model, job, shores, redis, opened, ledgerShore, build });
  }

  get ledger(): Ledger {
    return this.#ledger.ledger;
  }

  get window(): Window {
    return new Window(this.connection, this.mid);
  }

  get control(): Control {
    return { ledger: this.ledger, redis: this.connection, log: silent, by: "chaos", now: () => new Date(), signal };
  }

  async start(): Promise<string> {
    this.mid = newMigrationId(new Date());
    await startMigration(this.control, this.mid, this.job, "");
    return this.mid;
  }

  status(): Promise<MigrationStatus> {
    return migrationStatus({ ledger: this.ledger, redis: this.connection, signal }, this.mid);
  }

  async work(kind: Kind, options: WorkOptions = {}): Promise<Worker> {
    const { ledger } = this.clouds;
    const clock = options.clock ? await this.#clockFile(options.clock) : undefined;
    const env = {
      ...process.env,
      ...ENVIRONMENT,
      ...(ledger
        ? { SEALIFT_LEDGER: ledger.url, SEALIFT_LEDGER_ENDPOINT: ledger.endpoint, SEALIFT_LEDGER_REGION: ledger.region }
        : { SEALIFT_LEDGER: `file://${join(this.directory, "ledger")}` }),
      SEALIFT_REDIS: this.redis.address,
      SEALIFT_STATE_DIR: join(this.directory, "state"),
      SEALIFT_STALL: "2000",
      SEALIFT_TRANSFERS: "4",
      SEALIFT_LOG_FORMAT: "json",
      SEALIFT_LOG_LEVEL: "debug",
      ...(clock === undefined ? {} : { NODE_OPTIONS: `--import=${clock}` }),
      ...options.env,
    };
    const entry = join(options.build ?? this.#build, "workers", `${kind}.js`);
    const child = spawn(process.execPath, [entry], { env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => this.output.push(chunk.toString()));
    const worker = { kind, child, clockMs: options.clock?.byMs ?? 0 };
    this.workers.add(worker);
    child.once("exit", (code, killedBy) => {
      this.workers.delete(worker);
      if (!this.#ended.has(child)) this.ownEnds.push(`${kind} ${killedBy ?? code}`);
    });
    return worker;
  }

  /** It will end by itself, and is meant to. */
  expectEnd(worker: Worker): void {
    this.#ended.add(worker.child);
    this.workers.delete(worker);
  }

  /** A signal of ours: its end is no surprise. */
  send(worker: Worker, name: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT"): void {
    if (name === "SIGKILL" || name === "SIGTERM") this.#ended.add(worker.child);
    worker.child.kill(name);
  }

  /** The process's Date, wrong by so much from some time after its start; timers and sockets go on as they are. */
  async #clockFile({ byMs, afterMs }: { readonly byMs: number; readonly afterMs: number }): Promise<string> {
    const path = join(this.directory, `clock${byMs}after${afterMs}.mjs`);
    await writeFile(
      path,
      `const Real = Date; const jump = performance.now() + ${afterMs};
const now = () => Real.now() + (performance.now() < jump ? 0 : ${byMs});
globalThis.Date = new Proxy(Real, {
  construct: (_, given, target) => Reflect.construct(Real, given.length === 0 ? [now()] : given, target === globalThis.Date ? Real : target),
  apply: () => new Real(now()).toString(),
  get: (_, name) => (name === "now" ? now : Reflect.get(Real, name)),
});
`,
    );
    return path;
  }

  /** SIGKILL of the server; with `wipe`, its disk goes too. Comes back empty, or from its append-only file. */
  async killRedis({ wipe }: { readonly wipe: boolean }): Promise<void> {
    process.kill(this.redis.pid as number, "SIGKILL");
    await sleep(300);
    if (wipe) await rm(this.redis.directory, { recursive: true, force: true });
    this.redis = await startPrivateRedis(join(this.directory, "state"));
  }

  /** Everything on disk and in the ledger, by name. */
  async records(): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>();
    for (const place of ["state", "ledger"]) {
      const root = join(this.directory, place);
      if (!existsSync(root)) continue;
      for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (entry.isFile()) found.set(path, await readFile(path));
      }
    }
    if (this.clouds.ledger) await this.#cloudRecords(found);
    return found;
  }

  async #cloudRecords(found: Map<string, Buffer>): Promise<void> {
    const { store, prefix } = await openStore(this.#ledgerShore);
    for await (const { objects } of store.list(prefix, {}, signal)) {
      for (const { key } of objects) {
        const chunks: Uint8Array[] = [];
        for await (const chunk of (await store.open(key, { signal })).body) chunks.push(chunk);
        found.set(`ledger ${key}`, Buffer.concat(chunks));
      }
    }
    await store.close();
  }

  async close(): Promise<void> {
    for (const worker of this.workers) this.send(worker, "SIGKILL");
    await closeQueues(this.queues);
    this.connection.disconnect();
    try {
      process.kill(this.redis.pid as number, "SIGKILL");
    } catch {
      // It is gone already.
    }
    await this.model.close();
    await this.shores.close();
    await this.#ledger.close();
    await this.clouds.close();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

const ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true",
};

/** `dist`, from the sources and from within `dist` alike. */
function builtProgram(): string {
  for (const place of ["../../", "../../dist/"]) {
    const folder = new URL(place, import.meta.url).pathname;
    if (existsSync(join(folder, "workers", "copy.js"))) return folder;
  }
  throw new Error("run `npm run build` first");
}

/** Whether this program takes huge objects apart: asked of its own schema. */
export const takesHugeApart = (): boolean => packageFile("config", "migration.schema.json").includes('"hugeBytes"');

function jobOf(clouds: Clouds, { pageObjects, shards, huge = 0 }: WorldOptions): Job {
  const job = {
    apiVersion: "sealift/v1",
    kind: "Migration",
    name: "chaos",
    ...clouds.shores,
    keys: { ...clouds.keys, sealContext: { application: "chaos" } },
    options: {
      pageObjects,
      transfers: 4,
      verify: "sample",
      ...(shards ? { shardPrefixes: BOUNDARIES } : {}),
      ...(huge > 0 && takesHugeApart() ? { hugeBytes: "1M" } : {}),
    },
    retry: { attempts: 3, delayMs: 20 },
  };
  return parseJob(JSON.stringify(job), "the job of a chaos run");
}
