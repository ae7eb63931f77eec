/**
 * Which migrations there are, and what operators have said of them: the ledger knows, Redis is told. Looked up when Redis was
 * emptied or has started anew (its last second may be missing), and now and then, because a set that was edited shows nothing.
 */
import { asSealiftError } from "../core/error.ts";
import { type PipelineContext, windowOf } from "./context.ts";
import { ACTIVE, KNOWN } from "./keys.ts";
import { stateOf } from "./rebuild.ts";
import type { RunState } from "./window.ts";

/** Rounds of sweeping for which what is known is believed. */
const BELIEVED_ROUNDS = 20;

export async function findMigrations(context: PipelineContext, roundMs: number): Promise<void> {
  const { ledger, redis, signal } = context;
  const server = /^run_id:(\w+)/m.exec(await redis.info("server"))?.[1] ?? "1";
  if ((await redis.get(KNOWN)) === server) return;
  for await (const mid of ledger.migrations(signal)) {
    try {
      await compare(context, mid);
    } catch (error) {
      const { code, message } = asSealiftError(error);
      if (code !== "LEDGER_BROKEN" && code !== "JOB_UNKNOWN") throw error;
      // One broken plan must not keep the others from being found.
      context.log.warn({ migration: mid, errorCode: code }, `passed over: ${message}`);
    }
  }
  await redis.set(KNOWN, server, "PX", roundMs * BELIEVED_ROUNDS);
}

/** A window that says something else than the ledger is lost; the next sweep rebuilds it. */
async function compare(context: PipelineContext, mid: string): Promise<void> {
  const { state, epoch } = await ledgerState(context, mid);
  const window = windowOf(context, mid);
  const meta = await window.meta().catch(() => undefined);
  const differs = meta !== undefined && (meta.state !== state || meta.epoch !== epoch);
  if (differs) await window.lose();
  if (differs || state === "running" || state === "paused" || state === "halted") await context.redis.sadd(ACTIVE, mid);
}

export async function ledgerState(
  { ledger, signal }: Pick<PipelineContext, "ledger" | "signal">,
  mid: string,
): Promise<{ readonly state: RunState; readonly epoch: number }> {
  const epoch = await ledger.epoch(mid, signal);
  return { state: await stateOf(ledger, await ledger.plan(mid, signal), epoch, signal), epoch };
}
