/**
 * A migration of as many objects as one likes. Stubbed at the contract of stores: the two shores. Real: Redis as sealift starts it,
 * BullMQ, worker processes, keys, envelopes, the ledger on disk, its audit.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Redis } from "ioredis";
import { Ledger, type ResultRecord } from "../../../src/ledger/ledger.ts";
import { type Control, newMigrationId, startMigration } from "../../../src/pipeline/control.ts";
import { type PrivateRedis, startPrivateRedis } from "../../../src/pipeline/private.ts";
import { connectRedis } from "../../../src/pipeline/redis.ts";
import { migrationStatus } from "../../../src/pipeline/status.ts";
import { openFileStore } from "../../../src/store/file.ts";
import type { ObjectStore } from "../../../src/store/store.ts";
import { cpuSecondsOf, memoryOf, redisMemory, rssOf, type Sample, type Watched } from "./sampler.ts";
import { jobOf, prepare, type Setting } from "./work.ts";

export interface Options {
  readonly objects: number;
  readonly sealedEvery: number;
  readonly copiers: number;
  readonly listers: number;
  /** Built modules of the bench: where worker.js and ask.js are. */
  readonly modules: string;
  readonly onSample: (sample: Sample) => void;
}

export interface Peak {
  readonly name: string;
  readonly rssBytes: number;
  readonly cpuSeconds: number;
}

export interface Run {
  readonly objects: number;
  readonly sealedEvery: number;
  readonly at: string;
  readonly seconds: number;
  readonly result: ResultRecord;
  readonly redisPeakBytes: number;
  readonly redisKeysPeak: number;
  readonly pagesOutstandingPeak: number;
  readonly processes: readonly Peak[];
  /** Questions to the ledger afterwards, each in a process of its own. */
  readonly questions: readonly { readonly question: string; readonly seconds: number; readonly peakRssBytes: number }[];
  readonly samples: readonly Sample[];
}

const SAMPLE_MS = 1000;
const { signal } = new AbortController();
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export async function simulate(options: Options): Promise<Run> {
  const directory = await mkdtemp(join(tmpdir(), "sealift-scale-"));
  let redis: PrivateRedis | undefined;
  const children: ChildProcess[] = [];
  try {
    const setting = await prepare(directory, options.objects, options.sealedEvery);
    redis = await startPrivateRedis(join(directory, "state"));
    const store = await openFileStore({ root: join(directory, "ledger") });
    const connection = connectRedis(redis.address);
    const control: Control = {
      ledger: new Ledger(store),
      redis: connection,
      log: silent,
      by: "bench",
      now: () => new Date(),
      signal,
    };
    const watched = launch(options, setting, children);
    const moved = await move(options, control, connection, jobOf(setting), watched);
    for (const child of children) child.kill("SIGTERM");
    const questions = await ask(options, directory, moved.result.mid, store, connection);
    connection.disconnect();
    return { ...moved, questions };
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await redis?.stop();
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function launch({ listers, copiers, modules }: Options, setting: Setting, children: ChildProcess[]): Watched[] {
  const kinds = [...Array(listers).fill("list"), ...Array(copiers).fill("copy")] as ("list" | "copy")[];
  const watched = kinds.map((kind, index) => {
    const args = [join(modules, "worker.js"), kind, JSON.stringify(setting)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
    children.push(child);
    return { name: `${kind} worker ${index + 1}`, pid: child.pid as number };
  });
  return [...watched, { name: "whoever watches", pid: process.pid }];
}

async function move(
  options: Options,
  control: Control,
  redis: Redis,
  job: ReturnType<typeof jobOf>,
  watched: readonly Watched[],
): Promise<Omit<Run, "questions">> {
  const mid = newMigrationId(new Date());
  const startedMs = Date.now();
  const samples: Sample[] = [];
  await startMigration(control, mid, job, "");
  for (;;) {
    const { result, ...status } = await migrationStatus(control, mid);
    const sample = {
      seconds: (Date.now() - startedMs) / 1000,
      redisBytes: (await redisMemory(redis)).used,
      redisKeys: await redis.dbsize(),
      pagesOutstanding: status.pagesOutstanding,
      handled: status.handled,
      // A worker that has died cannot be read: the run fails, as it should.
      rssBytes: await rssOf(watched),
    };
    samples.push(sample);
    options.onSample(sample);
    if (status.state === "Failed") throw new Error(`halted: ${status.trouble}`);
    if (result) {
      const { objects, sealedEvery } = options;
      return {
        objects,
        sealedEvery,
        at: new Date(startedMs).toISOString(),
        seconds: sample.seconds,
        result,
        redisPeakBytes: (await redisMemory(redis)).peak,
        redisKeysPeak: Math.max(...samples.map(({ redisKeys }) => redisKeys)),
        pagesOutstandingPeak: Math.max(...samples.map(({ pagesOutstanding }) => pagesOutstanding)),
        processes: await Promise.all(
          watched.map(async ({ name, pid }) => ({
            name,
            rssBytes: await memoryOf(pid, "VmHWM"),
            cpuSeconds: await cpuSecondsOf(pid),
          })),
        ),
        samples,
      };
    }
    await sleep(SAMPLE_MS);
  }
}

/** As if the end had not been audited and Redis were gone: every answer has to come from the pages and outcomes themselves. */
async function ask(
  { modules }: Options,
  directory: string,
  mid: string,
  store: ObjectStore,
  redis: Redis,
): Promise<Run["questions"]> {
  await store.remove(`${mid}/result.json`, signal);
  await redis.flushall();
  const answers = [];
  for (const question of ["rebuild", "status", "report", "audit"]) {
    const { stdout } = await promisify(execFile)(process.execPath, [join(modules, "ask.js"), question, directory, mid]);
    answers.push(JSON.parse(stdout));
  }
  return answers;
}

/** Where the built modules of this folder are, seen from a built module of this folder. */
export const builtHere = (url: string): string => fileURLToPath(new URL(".", url));
