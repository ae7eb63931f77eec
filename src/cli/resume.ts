/** `sealift resume`: let a paused or interrupted migration go on, or go over its failed objects again. */
import { jobOf } from "../compose/work.ts";
import { CODES, type Code, type ExitCode } from "../core/error.ts";
import { currentState, resumeMigration, retryMigration } from "../pipeline/control.ts";
import { migrationStatus } from "../pipeline/status.ts";
import { workerStatus } from "../pipeline/workers.ts";
import type { Command, Invocation } from "./command.ts";
import { usage } from "./flags.ts";
import { exitCodeOf, FLEET_OPTIONS, work } from "./follow.ts";
import { report } from "./run.ts";
import { openSessionWithRedis, type Session, STATE_OPTIONS } from "./session.ts";

export const resume: Command = {
  name: "resume",
  summary: "go on with a migration, or go over its failed objects again",
  usage: "<id> [--failed [--code CODE]] [--workers N]",
  options: {
    ...FLEET_OPTIONS,
    ...STATE_OPTIONS,
    failed: { type: "boolean", means: "begin a new epoch over the objects that failed" },
    code: {
      type: "string",
      value: "CODE",
      means: "with --failed: only objects with this code, also refused ones and conflicts",
    },
  },
  positionalsMax: 1,
  run: async (invocation) => {
    const session = await openSessionWithRedis(invocation);
    try {
      return await go(invocation, session);
    } finally {
      await session.close();
    }
  },
};

async function go(invocation: Invocation, session: Session & { readonly redis: string }): Promise<ExitCode> {
  const { flags, log, output, json } = invocation;
  const { control } = session;
  const mid = requireId(invocation);
  const startedMs = Date.now();
  const plan = await control.ledger.plan(mid, control.signal);
  if (flags.is("failed")) {
    const pages = await retryMigration(control, mid, codeOf(flags.text("code")));
    log.info(
      { migration: mid, pages },
      pages === 0 ? "nothing failed: nothing to go over again" : "going over failed objects again",
    );
  } else {
    if (flags.text("code") !== undefined) throw usage("--code belongs to --failed");
    await resumeMigration(control, mid);
  }
  const state = await currentState(control, mid);
  const others = control.redis && state === "running" ? await workerStatus(control.redis) : [];
  if (others.length > 0 && flags.text("workers") === undefined) {
    if (json) output.json({ id: mid, state: "Running", workers: others.length });
    else
      output.line(
        `${mid} goes on with the ${others.length} worker processes that are there: sealift status ${mid} --watch`,
      );
    return 0;
  }
  const status =
    state === "running"
      ? await work(invocation, session, mid, jobOf(plan).options.transfers)
      : await migrationStatus(control, mid);
  report(invocation, status, Date.now() - startedMs);
  return exitCodeOf(status);
}

export function requireId({ positionals: [mid] }: Invocation): string {
  if (mid === undefined) throw usage("which migration? (sealift list shows them)");
  return mid;
}

function codeOf(text: string | undefined): Code | undefined {
  if (text === undefined || Object.hasOwn(CODES, text)) return text as Code | undefined;
  throw usage(`--code ${JSON.stringify(text)} is not an error code`);
}
