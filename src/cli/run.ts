/** `sealift run`: start a migration and work until it has ended. */
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { parseStoreUrl } from "../config/url.ts";
import { childEnvironment } from "../config.ts";
import { openShores } from "../compose.ts";
import { rulesOf } from "../compose/work.ts";
import type { ExitCode } from "../core/error.ts";
import type { Job } from "../core/job.ts";
import { ensurePrivate } from "../core/private.ts";
import { newMigrationId, startMigration } from "../pipeline/control.ts";
import { checkRedis } from "../pipeline/redis.ts";
import { checkSince, findSince } from "../pipeline/since.ts";
import type { MigrationStatus } from "../pipeline/status.ts";
import { preflight } from "../transfer/preflight.ts";
import type { Command, Invocation } from "./command.ts";
import { endText, exitCodeOf, FLEET_OPTIONS, work } from "./follow.ts";
import { budgetsOf } from "./http.ts";
import { readJob } from "./jobfile.ts";
import { openSessionWithRedis, type Session, STATE_OPTIONS, workerEnvironment } from "./session.ts";

export const run: Command = {
  name: "run",
  summary: "start a migration and work until it has ended",
  usage: "<job.yaml> [--workers N] [--detach] [--since ID|none]",
  options: {
    ...FLEET_OPTIONS,
    ...STATE_OPTIONS,
    since: {
      type: "string",
      value: "ID",
      means:
        "earlier migration over the same way (default: the newest in the ledger; none: every object is asked about)",
    },
    detach: { type: "boolean", means: "leave the work to background processes and return the id at once" },
  },
  positionalsMax: 1,
  run: async (invocation) => {
    const job = await readJob(invocation.positionals[0]);
    const session = await openSessionWithRedis(invocation);
    const detached = { leaveRedis: false };
    try {
      const code = await runJob(invocation, session, job);
      detached.leaveRedis = invocation.flags.is("detach");
      return code;
    } finally {
      await session.close(detached);
    }
  },
};

type WithRedis = Session & { readonly redis: string };

async function runJob(invocation: Invocation, session: WithRedis, job: Job): Promise<ExitCode> {
  const { output, json, flags, log } = invocation;
  const startedMs = Date.now();
  const mid = newMigrationId(new Date(startedMs));
  await checkBefore(invocation, session, job, mid);
  const since = await sinceOf(invocation, session, job);
  if (since !== undefined) log.info({ migration: mid, since }, `what ${since} left as it was is not asked about again`);
  await startMigration(session.control, mid, job, parseStoreUrl(job.source.url).prefix, since);
  // The first line on stdout is the id, so that a script can keep it whatever happens next.
  if (!json) output.line(mid);
  if (flags.is("detach")) {
    await detach(invocation, mid);
    if (json) output.json({ id: mid, state: "Running" });
    return 0;
  }
  const status = await work(invocation, session, mid, job.options.transfers);
  report(invocation, status, Date.now() - startedMs);
  return exitCodeOf(status);
}

/** Refuses what would only fail later, on every object. */
async function checkBefore(invocation: Invocation, session: WithRedis, job: Job, mid: string): Promise<void> {
  const { log, flags, signal } = invocation;
  const { redis, ledger } = session.control;
  if (redis) await checkRedis(redis, flags.is("allow-volatile-redis"));
  await ledger.probe(signal);
  const shores = await openShores(job, budgetsOf(invocation));
  try {
    const warnings = await preflight(shores, rulesOf(job, mid, Date.now()), signal);
    for (const warning of warnings) log.warn({ migration: mid }, warning);
  } finally {
    await shores.close();
  }
}

async function sinceOf({ flags, signal }: Invocation, session: Session, job: Job): Promise<string | undefined> {
  const { ledger } = session.control;
  const named = flags.text("since");
  if (named === "none") return undefined;
  if (named === undefined) return findSince(ledger, job, signal);
  await checkSince(ledger, job, named, signal);
  return named;
}

export function report({ output, json }: Invocation, status: MigrationStatus, elapsedMs: number): void {
  if (json) output.json(statusJson(status));
  else output.line(endText(status, elapsedMs));
}

export const statusJson = (status: MigrationStatus) => ({
  ...status,
  result: status.result ?? null,
  trouble: status.trouble ?? null,
});

/** A background `resume` in a session of its own; what it says goes to a log beside the ledger. */
async function detach(invocation: Invocation, mid: string): Promise<void> {
  const { environment, flags, log } = invocation;
  const directory = join(environment.stateDirectory, "logs");
  await ensurePrivate(environment.stateDirectory);
  await ensurePrivate(directory);
  const path = join(directory, `${mid}.log`);
  const sink = await open(path, "a", 0o600);
  const args = [process.argv[1] ?? "", "resume", mid, "--workers", flags.text("workers") ?? "2"];
  const named = flags.text("redis") ?? environment.redisUrl;
  const env = childEnvironment(workerEnvironment(invocation, named));
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", sink.fd, sink.fd], env });
  await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
  child.unref();
  await sink.close();
  log.info({ migration: mid, pid: child.pid, log: path }, `working in the background; sealift status ${mid} --watch`);
}
