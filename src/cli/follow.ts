/** Following a migration to its end, with workers of one's own or those of others. */
import { setTimeout as sleep } from "node:timers/promises";
import { CODES, type ExitCode, SealiftError } from "../core/error.ts";
import { migrationStatus, type MigrationStatus } from "../pipeline/status.ts";
import { REQUESTS_PER_SECOND_MAX } from "../config/shape.ts";
import type { Flags, Invocation } from "./command.ts";
import { Fleet } from "./fleet.ts";
import { durationText, outcomesText, sizeText } from "./amounts.ts";
import { openProgress } from "./progress.ts";
import { type Session, workerEnvironment } from "./session.ts";

const POLL_MS = 250;
const PLAIN_LINE_MS = 10_000;

/** Given to workers at their start, so that a running migration can be slowed down or let go. */
export const RATE_OPTIONS = {
  "kms-rps": {
    type: "string",
    value: "N",
    means: "most requests a second to the source's key service, over all workers (default: the job's)",
  },
  "dst-kms-rps": {
    type: "string",
    value: "N",
    means: "the same for the destination's",
  },
} as const;

export const rateOf = (flags: Flags, name: keyof typeof RATE_OPTIONS): number | undefined =>
  flags.number(name, 1, REQUESTS_PER_SECOND_MAX);

export const FLEET_OPTIONS = {
  workers: { type: "string", value: "N", means: "copy processes to run here (default 2; 0: others do the work)" },
  transfers: { type: "string", value: "N", means: "objects in flight in each process (default: the job's, 64)" },
  stall: {
    type: "string",
    value: "MS",
    means: "silence after which a dead worker's page is given to another (default 90000)",
  },
  stats: {
    type: "string",
    value: "MS",
    means: "time between two progress lines where there is no terminal (default 10000)",
  },
  ...RATE_OPTIONS,
} as const;

/** Runs workers until the migration has ended, is cancelled, or somebody interrupts. */
export async function work(
  invocation: Invocation,
  session: Session & { redis: string },
  mid: string,
  transfers: number,
): Promise<MigrationStatus> {
  const copiers = invocation.flags.number("workers", 0, 256) ?? 2;
  // Refused here, and not by every worker.
  for (const name of ["kms-rps", "dst-kms-rps"] as const) rateOf(invocation.flags, name);
  const environment = { SEALIFT_TRANSFERS: String(transfers), ...workerEnvironment(invocation, session.redis) };
  const fleet = new Fleet({ copiers, listers: copiers > 0 ? 1 : 0, environment, log: invocation.log });
  fleet.start();
  try {
    return await follow(invocation, session, mid, () => fleet.failure);
  } finally {
    await fleet.stop();
  }
}

/** Shows progress until nothing more will happen by itself. A halted or paused migration is waited for: `resume` goes on. */
export async function follow(
  invocation: Invocation,
  { control }: Session,
  mid: string,
  failure: () => SealiftError | undefined = () => undefined,
): Promise<MigrationStatus> {
  const { log, flags, signal } = invocation;
  const every = flags.number("stats", 100) ?? PLAIN_LINE_MS;
  const progress = openProgress(process.stderr, log, every, Date.now);
  try {
    for (;;) {
      const status = await migrationStatus(control, mid);
      progress.show(status);
      if (isEnded(status) || status.state === "Failed") return status;
      const broken = failure();
      if (broken) throw broken;
      await sleep(POLL_MS, undefined, { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new SealiftError("INTERRUPTED", `stopped; nothing is lost. Go on with: sealift resume ${mid}`, {
      cause: error,
    });
  } finally {
    progress.end();
  }
}

export const isEnded = ({ state, result }: MigrationStatus): boolean => result !== undefined || state === "Cancelled";

/** 0 when everything arrived; 7 where an object's integrity is in doubt; 6 where objects did not arrive. */
export function exitCodeOf(status: MigrationStatus): ExitCode {
  if (status.state === "Cancelled") return CODES.CANCELLED.exit;
  if (status.state === "Failed") return CODES.INTERRUPTED.exit;
  if (status.state === "Completed") return 0;
  const codes = Object.keys(status.totals.codes) as (keyof typeof CODES)[];
  return codes.some((code) => CODES[code].exit === 7) ? 7 : 6;
}

/** The end of a migration in a few lines, and what to do next. */
export function endText(status: MigrationStatus, elapsedMs: number): string {
  const { id, state, totals, trouble } = status;
  const lines = [
    `${state} in ${durationText(elapsedMs)}: ${totals.listed} listed = ${outcomesText(totals.counts)}`,
    `${sizeText(totals.bytes)} written, ${totals.verified} data keys opened with the destination key and compared`,
  ];
  if (trouble) lines.push(trouble);
  const codes = Object.entries(totals.codes).map(([code, count]) => `${code} ${count}`);
  if (codes.length > 0) lines.push(`not arrived: ${codes.join(", ")}. See: sealift report ${id} --problems`);
  if (totals.counts.failed > 0) lines.push(`try those again with: sealift resume ${id} --failed`);
  return lines.join("\n");
}
