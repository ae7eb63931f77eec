/** `sealift worker`, and what `workers/list.ts` and `workers/copy.ts` run: one process that takes jobs until it is told to end. */
import { setTimeout as sleep } from "node:timers/promises";
import { processPaces } from "../compose.ts";
import { openLedger, openWorkAt } from "../compose/work.ts";
import { armFailpoint } from "../core/failpoint.ts";
import { type RunningProcess, startWorkerProcess } from "../pipeline/process.ts";
import type { WorkerKind } from "../pipeline/worker.ts";
import type { Command, Invocation } from "./command.ts";
import { usage } from "./flags.ts";
import { FLEET_OPTIONS, RATE_OPTIONS, rateOf } from "./follow.ts";
import { ledgerShore, STATE_OPTIONS } from "./session.ts";
import { budgetsOf } from "./http.ts";
import { runningPrivateRedis } from "../pipeline/private.ts";

const TRANSFERS = 64;
/** Past this nothing is waited for: the page in hand goes to another worker when its lock runs out. */
const DRAIN_MS = 25_000;
const PARENT_MS = 1000;

export const worker: Command = {
  name: "worker",
  summary: "take part in the migrations of a ledger and Redis until told to end",
  usage: "[--kind copy|list] --redis URL --ledger URL",
  options: {
    ...STATE_OPTIONS,
    transfers: FLEET_OPTIONS.transfers,
    stall: FLEET_OPTIONS.stall,
    ...RATE_OPTIONS,
    parent: { type: "string", value: "PID", means: "end when this process is gone (as run starts its workers)" },
    kind: { type: "string", value: "KIND", means: "copy (default) or list" },
  },
  run: async (invocation) => {
    const kind = invocation.flags.text("kind") ?? "copy";
    if (kind !== "copy" && kind !== "list") throw usage(`--kind is copy or list, not ${JSON.stringify(kind)}`);
    arm(invocation);
    const running = await takePart(invocation, kind);
    await told(invocation);
    await Promise.race([running.close(), sleep(DRAIN_MS)]);
    return 0;
  },
};

/** For tests of this program, and for nothing else: SIGKILL at a named step, as an operating system out of memory would send it. */
function arm({ environment, log }: Invocation): void {
  const text = environment.flag("failpoint");
  if (text === undefined) return;
  armFailpoint(text, () => process.kill(process.pid, "SIGKILL"));
  log.warn({ failpoint: text }, "SEALIFT_FAILPOINT is set: this process will end itself there");
}

/** Until SIGTERM or SIGINT, or until the process that started this one is gone: nobody would ever stop an orphan. */
async function told({ signal, flags, log }: Invocation): Promise<void> {
  const parent = flags.number("parent", 1);
  while (!signal.aborted) {
    await sleep(PARENT_MS, undefined, { signal }).catch(() => undefined);
    if (parent === undefined || process.ppid === parent) continue;
    log.warn({ parent }, "the process that started this worker is gone: ending");
    return;
  }
}

async function takePart(invocation: Invocation, kind: WorkerKind): Promise<RunningProcess> {
  const { flags, environment, log } = invocation;
  const redis = flags.text("redis") ?? environment.redisUrl ?? (await runningPrivateRedis(environment.stateDirectory));
  if (redis === undefined)
    throw usage("a worker needs --redis (or REDIS_URL), or a private Redis that a `sealift run` has started");
  const { ledger } = await openLedger(ledgerShore(invocation), budgetsOf(invocation));
  const stallMs = flags.number("stall", 500, 3_600_000);
  const running = await startWorkerProcess({
    kind,
    redis,
    ledger,
    open: openWorkAt(
      { source: rateOf(flags, "kms-rps"), destination: rateOf(flags, "dst-kms-rps") },
      budgetsOf(invocation),
    ),
    paces: processPaces,
    log,
    transfers: flags.number("transfers", 1, 10_000) ?? TRANSFERS,
    allowVolatileRedis: flags.is("allow-volatile-redis"),
    ...(stallMs === undefined
      ? {}
      : { times: { lockMs: stallMs, stalledMs: Math.ceil(stallMs / 2), sweepMs: Math.min(stallMs, 15_000) } }),
  });
  log.info({ worker: kind, pid: process.pid }, "ready");
  return running;
}
