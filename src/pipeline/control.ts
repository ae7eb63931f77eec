/** What operators do to migrations: start, pause, resume, cancel, retry, and ask. Ledger first, then Redis; Redis may be absent. */
import { randomBytes } from "node:crypto";
import type { Redis } from "ioredis";
import { type Code, SealiftError } from "../core/error.ts";
import type { Job } from "../core/job.ts";
import type { Log } from "../core/log.ts";
import { compareKeys } from "../core/object.ts";
import { type EventRecord, jobSha256, type Ledger, type PlanRecord, type Shard } from "../ledger/ledger.ts";
import { isRetried } from "./copier.ts";
import { ACTIVE, SWEEP_LOCK } from "./keys.ts";
import { rebuild, stateOf } from "./rebuild.ts";
import { orFull } from "./room.ts";
import { type RunState, Window } from "./window.ts";

export interface Control {
  readonly ledger: Ledger;
  /** Absent: what is asked is written to the ledger, and workers find it there. */
  readonly redis: Redis | undefined;
  readonly log: Log;
  readonly by: string;
  readonly now: () => Date;
  readonly signal: AbortSignal;
}

/** `20261123-101502-k3v9`: sorts by time, and says when. */
export function newMigrationId(now: Date): string {
  const time = now.toISOString().replace(/[-:]/g, "").replace("T", "-").slice(0, 15);
  return `${time}-${randomBytes(3).toString("hex")}`;
}

/** Writes the plan and makes the migration known. Workers do the rest. `since`: an earlier migration that went the same way. */
export async function startMigration(
  control: Control,
  mid: string,
  job: Job,
  prefix: string,
  since?: string,
): Promise<void> {
  await control.ledger.putPlan(planRecord(mid, control.now(), job, prefix), control.signal);
  if (since !== undefined) await control.ledger.hints.putSince(mid, since, control.signal);
  await note(control, mid, "start");
  if (control.redis) await refresh(control, mid);
}

export function planRecord(mid: string, now: Date, job: Job, prefix: string): PlanRecord {
  const createdAt = startOf(mid, now);
  const data = { ...job } as Record<string, unknown>;
  const shards = shardsBetween((job.options.shardPrefixes ?? []).map((name) => prefix + name));
  return { v: 1, mid, createdAt, job: data, jobSha256: jobSha256(data), shards };
}

/**
 * Ages are measured from the start of a migration, and its id says when that was: so a plan that is lost can be written again to
 * the letter, and pages that outlived it fit it (ledger, planSha256).
 */
function startOf(mid: string, now: Date): string {
  const [, date, time] = /^(\d{8})-(\d{6})-/.exec(mid) ?? [];
  const spelled = `${date?.replace(/(....)(..)(..)/, "$1-$2-$3")}T${time?.replace(/(..)(..)(..)/, "$1:$2:$3")}.000Z`;
  return Number.isNaN(Date.parse(spelled)) ? now.toISOString() : spelled;
}

/** Key ranges that meet at the given keys and cover everything: (-inf, a], (a, b], ..., (z, +inf). */
export function shardsBetween(boundaries: readonly string[]): Shard[] {
  const cuts = [...new Set(boundaries)].filter((key) => key !== "").sort(compareKeys);
  return Array.from({ length: cuts.length + 1 }, (_, index) => {
    const after = cuts[index - 1];
    const until = cuts[index];
    const sid = `s${String(index + 1).padStart(4, "0")}`;
    return { sid, ...(after === undefined ? {} : { after }), ...(until === undefined ? {} : { until }) };
  });
}

export async function pauseMigration(control: Control, mid: string): Promise<void> {
  const state = await currentState(control, mid);
  if (state !== "running" && state !== "paused")
    throw new SealiftError("USAGE", `migration ${mid} is ${state}: only a running one can be paused`);
  if (state === "running") await note(control, mid, "pause");
  await tell(control, mid, "paused");
}

export async function cancelMigration(control: Control, mid: string): Promise<void> {
  const state = await currentState(control, mid);
  if (state === "finished") throw new SealiftError("USAGE", `migration ${mid} is finished: there is nothing to cancel`);
  if (state !== "cancelled") await note(control, mid, "cancel");
  await tell(control, mid, "cancelled");
}

/** Said again where it was said before: the ledger may know what Redis was too full to be told. */
async function tell({ redis }: Control, mid: string, state: RunState): Promise<void> {
  try {
    if (redis) await orFull(new Window(redis, mid).setState(state));
  } catch (error) {
    // Somebody edited the window: it is given up, and what the ledger was told is in the one that is rebuilt.
    if (!(error instanceof SealiftError) || error.code !== "STATE_LOST") throw error;
  }
}

/** Lets a paused, halted or interrupted migration run on. */
export async function resumeMigration(control: Control, mid: string): Promise<void> {
  const state = await currentState(control, mid);
  if (state === "cancelled") throw new SealiftError("CANCELLED", `migration ${mid} was cancelled and stays so`);
  if (state === "paused" || state === "halted") await note(control, mid, "resume");
  if (state !== "finished") await go(control, mid);
}

/** Begins the next epoch over the objects that failed (or whose problem has this code). Answers the number of pages. */
export async function retryMigration(control: Control, mid: string, code: Code | undefined): Promise<number> {
  const { ledger, signal } = control;
  const state = await currentState(control, mid);
  if (state !== "finished")
    throw new SealiftError("USAGE", `migration ${mid} is ${state}: failed objects are retried when it has ended`);
  const epoch = await ledger.epoch(mid, signal);
  const pages = await failedPages(control, mid, epoch, code);
  if (pages.length === 0) return 0;
  const at = control.now().toISOString();
  const record = { v: 1 as const, epoch: epoch + 1, ...(code === undefined ? {} : { code }), pages, at };
  if (!(await ledger.putRetry(mid, record, signal)))
    throw new SealiftError("USAGE", `a retry of ${mid} was begun by somebody else`);
  await note(control, mid, "retry");
  if (control.redis) await refresh(control, mid);
  return pages.length;
}

async function failedPages(
  control: Control,
  mid: string,
  epoch: number,
  code: Code | undefined,
): Promise<[string, number][]> {
  const { ledger, signal } = control;
  const failed: [string, number][] = [];
  for await (const { sid, seq, problems } of ledger.outcomes(await ledger.plan(mid, signal), epoch, signal)) {
    if (problems.some((problem) => isRetried(problem, code))) failed.push([sid, seq]);
  }
  return failed;
}

/** From the ledger: it is right whether or not Redis is there. */
export async function currentState(control: Pick<Control, "ledger" | "signal">, mid: string): Promise<RunState> {
  const { ledger, signal } = control;
  return stateOf(ledger, await ledger.plan(mid, signal), await ledger.epoch(mid, signal), signal);
}

async function note(control: Control, mid: string, action: EventRecord["action"]): Promise<void> {
  await control.ledger.putEvent(mid, { action, at: control.now().toISOString(), by: control.by }, control.signal);
}

/** Rebuilds the window and makes the migration active; a rebuild that is under way elsewhere serves as well. */
async function refresh(control: Control, mid: string): Promise<void> {
  const { redis, ledger, log, signal } = control;
  if (!redis) return;
  await orFull(rebuild({ redis, ledger, log, signal }, mid));
  await orFull(redis.sadd(ACTIVE, mid));
  // The next sweep gives out the first jobs: it must not wait for the lock of a sweep that knew nothing of this migration.
  await redis.del(SWEEP_LOCK);
}

/** Where the window stands, one flag is enough. */
async function go(control: Control, mid: string): Promise<void> {
  const window = control.redis && new Window(control.redis, mid);
  if (window && (await window.isReady())) await tell(control, mid, "running");
  else await refresh(control, mid);
}
