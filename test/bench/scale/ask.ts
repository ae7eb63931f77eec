/**
 * One question to the ledger of a simulation, in a process of its own, so that its memory can be told: `node ask.js <question>
 * <directory> <mid>`. Prints its seconds and its peak resident size as JSON.
 */
import { EventEmitter } from "node:events";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { runProgram } from "../../../src/cli/program.ts";
import { readEnvironment } from "../../../src/config.ts";
import { Ledger } from "../../../src/ledger/ledger.ts";
import { redisSocket } from "../../../src/pipeline/private.ts";
import { rebuild } from "../../../src/pipeline/rebuild.ts";
import { connectRedis } from "../../../src/pipeline/redis.ts";
import { openFileStore } from "../../../src/store/file.ts";

const [, , question = "", directory = "", mid = ""] = process.argv;
const { signal } = new AbortController();
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const ledger = new Ledger(await openFileStore({ root: join(directory, "ledger") }));

/** The verb as a person would call it, where no Redis is to be found. */
async function verb(name: string): Promise<void> {
  const stdout = new PassThrough();
  let text = "";
  stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const stage = {
    stdout,
    stderr: process.stderr,
    signals: new EventEmitter(),
    environment: readEnvironment({ SEALIFT_STATE_DIR: join(directory, "no-redis-here") }),
    exit: () => undefined,
  };
  await runProgram([name, mid, "--ledger", `file://${join(directory, "ledger")}`], stage);
  if (!text.includes(mid)) throw new Error(`sealift ${name} said nothing of ${mid}: ${text}`);
}

const answers: Readonly<Record<string, () => Promise<unknown>>> = {
  audit: () => ledger.audit(mid, new Date().toISOString(), signal),
  rebuild: async () => {
    const redis = connectRedis(redisSocket(join(directory, "state")));
    if (!(await rebuild({ redis, ledger, log, signal }, mid))) throw new Error("somebody else is rebuilding");
    redis.disconnect();
  },
  status: () => verb("status"),
  report: () => verb("report"),
};

const startedMs = Date.now();
const answer = answers[question];
if (!answer) throw new Error(`no such question: ${question}`);
await answer();
const seconds = (Date.now() - startedMs) / 1000;
process.stdout.write(JSON.stringify({ question, seconds, peakRssBytes: process.resourceUsage().maxRSS * 1024 }));
