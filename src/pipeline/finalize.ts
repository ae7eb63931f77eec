/** The end of an epoch: the ledger's own audit decides, the queue is never asked. */
import { ALL_ADVISORIES } from "../core/advisory.ts";
import { asSealiftError, type Code, CODES, SealiftError } from "../core/error.ts";
import { failpoint } from "../core/failpoint.ts";
import { OUTCOMES } from "../core/plan.ts";
import type { Job } from "bullmq";
import { checkResult, type ResultRecord } from "../ledger/ledger.ts";
import { type PipelineContext, windowOf } from "./context.ts";
import { finalizeJob, payload } from "./job.ts";
import type { WindowTotals } from "./window.ts";

export async function finalizeMigration(context: PipelineContext, job: Job): Promise<void> {
  const { mid } = payload(finalizeJob, job.data);
  const window = windowOf(context, mid);
  const meta = await window.meta();
  if (meta?.state !== "running") return;
  try {
    const result = await closeEpoch(context, mid, meta.epoch);
    failpoint("finalize.written");
    if (sameSums(await window.totals(), result)) await window.setState("finished");
    else {
      context.log.warn({ migration: mid }, "the sums in Redis are not the ledger's; rebuilding from the ledger");
      await window.lose();
    }
    failpoint("finalize.closed");
    context.log.info({ migration: mid, state: result.state, listed: result.listed }, "migration audited and closed");
  } catch (error) {
    await reactTo(context, mid, error);
  }
}

async function closeEpoch(context: PipelineContext, mid: string, epoch: number): Promise<ResultRecord> {
  const { ledger, signal } = context;
  const current = await ledger.epoch(mid, signal);
  if (current !== epoch)
    throw new SealiftError("STATE_LOST", `Redis is at epoch ${epoch} of ${mid}, the ledger at ${current}`);
  const existing = await ledger.result(mid, epoch, signal);
  const result = await ledger.audit(mid, context.now().toISOString(), signal);
  // Written by a run that was killed right after, or by somebody who wants the migration to look finished: the records tell.
  if (existing) checkResult(existing, result);
  if (existing) return existing;
  failpoint("finalize.audited");
  await ledger.putResult(result, signal);
  return result;
}

/** Sums in Redis can be wrong where its keys were edited; the next reader shall not have to know. */
const sameSums = (
  window: WindowTotals,
  { pages, listed, listedBytes, bytes, verified, counts, codes, advisories }: ResultRecord,
) =>
  window.pages === pages &&
  window.committed === pages &&
  window.listed === listed &&
  window.listedBytes === listedBytes &&
  window.bytes === bytes &&
  window.verified === verified &&
  OUTCOMES.every((outcome) => window.counts[outcome] === counts[outcome]) &&
  ALL_ADVISORIES.every((advisory) => (window.advisories[advisory] ?? 0) === (advisories[advisory] ?? 0)) &&
  (Object.keys(CODES) as Code[]).every((code) => (window.codes[code] ?? 0) === (codes[code] ?? 0));

/** Redis ahead of its ledger is rebuilt; a ledger that contradicts itself stops the migration for a person to look. */
async function reactTo(context: PipelineContext, mid: string, thrown: unknown): Promise<void> {
  const error = asSealiftError(thrown);
  const window = windowOf(context, mid);
  if (error.code === "INCOMPLETE" || error.code === "STATE_LOST") {
    context.log.warn({ migration: mid, errorCode: error.code }, `${error.message}; rebuilding from the ledger`);
    return window.lose();
  }
  if (error.code === "LEDGER_BROKEN") return haltMigration(context, mid, error);
  throw error;
}

/** Stops a migration that cannot go on by itself; `resume` starts it again. */
export async function haltMigration(context: PipelineContext, mid: string, error: SealiftError): Promise<void> {
  const at = context.now().toISOString();
  const message = error.message.slice(0, 400);
  await context.ledger.putEvent(
    mid,
    { action: "halt", at, by: context.name, code: error.code, message },
    context.signal,
  );
  const window = windowOf(context, mid);
  await window.setState("halted");
  await window.setTrouble(error.line());
  context.log.error({ migration: mid, errorCode: error.code }, `halted: ${error.line()}`);
}
