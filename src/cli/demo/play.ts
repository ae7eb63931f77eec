/**
 * The demo: the main job on four pocket clouds, with a real Redis, real worker processes and one of them killed half-way.
 * Every object is opened on the far side with the destination key and compared with what was sealed at the beginning.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openKms, openShores } from "../../compose.ts";
import { rulesOf } from "../../compose/work.ts";
import { parseJob } from "../../config/job.ts";
import { parseStoreUrl } from "../../config/url.ts";
import { type ExitCode, SealiftError } from "../../core/error.ts";
import type { Job } from "../../core/job.ts";
import { newMigrationId, startMigration } from "../../pipeline/control.ts";
import { migrationStatus, type MigrationStatus } from "../../pipeline/status.ts";
import { preflight } from "../../transfer/preflight.ts";
import type { Shores } from "../../transfer/shores.ts";
import type { Invocation } from "../command.ts";
import { budgetsOf } from "../http.ts";
import { Fleet } from "../fleet.ts";
import { isEnded } from "../follow.ts";
import { openProgress } from "../progress.ts";
import { openSessionWithRedis, type Session, workerEnvironment } from "../session.ts";
import { type Clouds, openClouds } from "./clouds.ts";
import { openAll } from "./proof.ts";
import { seed, type Seeded } from "./seed.ts";
import { type Ending, jsonLine, tell } from "./story.ts";

/** A page of a killed worker is given to another after this silence; a real migration waits longer. */
const STALL_MS = 2000;
const KILL_AT = 0.25;
const TIME_MAX_MS = 120_000;

export async function playDemo(invocation: Invocation): Promise<ExitCode> {
  const directory = await mkdtemp(join(tmpdir(), "sealift-demo-"));
  const own = {
    ...invocation,
    environment: { ...invocation.environment, stateDirectory: directory, ledgerUrl: undefined },
  };
  const clouds = await openClouds(join(directory, "secrets"));
  try {
    return await play(own, clouds);
  } finally {
    await clouds.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function play(invocation: Invocation, clouds: Clouds): Promise<ExitCode> {
  const say = invocation.json ? () => undefined : invocation.output.line;
  const job = parseJob(JSON.stringify(clouds.job), "the demo's job");
  const shores = await openShores(job, budgetsOf(invocation));
  const session = await openSessionWithRedis(invocation);
  try {
    say("Seeding a bucket as years of applications would have left it ...");
    const seeded = await seedBucket(job, shores, clouds, invocation.signal);
    say(`  ${seeded.length} objects in s3://, wrapped by AWS KMS or held by the provider's own encryption.\n`);
    say("Moving it to gs:// and Cloud KMS with two worker processes; one of them will be killed ...");
    const startedMs = Date.now();
    const moved = await move(invocation, session, job, shores, seeded.length);
    const seconds = (Date.now() - startedMs) / 1000;
    say("\nOpening every object on the far side with the destination key ...");
    const opened = await openAll(seeded, shores, invocation.signal);
    const ending: Ending = { ...moved, seconds, seeded, opened };
    if (invocation.json) invocation.output.json(jsonLine(ending));
    else tell(say, ending, clouds);
    return isProven(ending) ? 0 : 7;
  } finally {
    await session.close();
    await shores.close();
  }
}

async function seedBucket(job: Job, shores: Shores, clouds: Clouds, signal: AbortSignal): Promise<Seeded[]> {
  const kms = await openKms("aws-kms", { access: job.source.kms ?? {} });
  try {
    return await seed(shores.source, kms, clouds.sourceKey, signal);
  } finally {
    await kms.close();
  }
}

interface Moved {
  readonly status: MigrationStatus;
  readonly killedWorkers: number;
}

async function move(
  invocation: Invocation,
  session: Session & { redis: string },
  job: Job,
  shores: Shores,
  expected: number,
): Promise<Moved> {
  const { log, signal } = invocation;
  const mid = newMigrationId(new Date());
  await preflight(shores, rulesOf(job, mid, Date.now()), signal);
  await startMigration(session.control, mid, job, parseStoreUrl(job.source.url).prefix);
  const environment = {
    ...workerEnvironment(invocation, session.redis),
    SEALIFT_TRANSFERS: "4",
    SEALIFT_STALL: String(STALL_MS),
  };
  // Deaths are part of the play: the fleet's own warnings would only alarm.
  const quiet = { ...log, warn: () => undefined };
  const fleet = new Fleet({
    copiers: 2,
    listers: 1,
    environment: { ...environment, SEALIFT_LOG_LEVEL: "error" },
    log: quiet,
  });
  fleet.start();
  try {
    return await watch(invocation, session, mid, fleet, expected);
  } finally {
    await fleet.stop();
  }
}

async function watch(
  invocation: Invocation,
  { control }: Session,
  mid: string,
  fleet: Fleet,
  expected: number,
): Promise<Moved> {
  const { log, signal, json, output } = invocation;
  const progress = openProgress(process.stderr, json ? { ...log, info: () => undefined } : log, 1000, Date.now);
  let killedWorkers = 0;
  const deadlineMs = Date.now() + TIME_MAX_MS;
  while (Date.now() < deadlineMs) {
    const status = await migrationStatus(control, mid);
    if (!json) progress.show(status);
    if (isEnded(status)) {
      progress.end();
      return { status, killedWorkers };
    }
    if (fleet.failure) throw fleet.failure;
    if (killedWorkers === 0 && status.handled >= expected * KILL_AT) {
      const [victim] = fleet.pids("copy");
      if (victim !== undefined) process.kill(victim, "SIGKILL");
      killedWorkers++;
      progress.end();
      if (!json) output.line(`  kill -9 ${victim}: a worker died with its pages in hand; another takes its place`);
    }
    await sleep(20, undefined, { signal });
  }
  throw new SealiftError("INTERNAL", `the demo did not end within ${TIME_MAX_MS / 1000} s`);
}

const isProven = ({ status, opened, seeded }: Ending): boolean =>
  status.state === "Completed" &&
  opened.mismatched.length === 0 &&
  opened.opened === seeded.length &&
  status.totals.listed === seeded.length;
