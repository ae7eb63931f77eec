/** `sealift report`: how a migration ended, and each object that did not arrive. Streamed from the ledger, in bounded memory. */
import { ADVISORIES, type AdvisoryCounts, ALL_ADVISORIES } from "../core/advisory.ts";
import { OUTCOMES } from "../core/plan.ts";
import { checkResult, type Ledger, type PlanRecord, type Problem } from "../ledger/ledger.ts";
import { migrationStatus, type MigrationStatus } from "../pipeline/status.ts";
import { countText, sizeText, table } from "./amounts.ts";
import type { Command, Invocation } from "./command.ts";
import { exitCodeOf } from "./follow.ts";
import { requireId } from "./resume.ts";
import { statusJson } from "./run.ts";
import { openSession, STATE_OPTIONS } from "./session.ts";

/** Named in the summary; all of them come with --problems. */
const SAMPLES = 10;

export const report: Command = {
  name: "report",
  summary: "how a migration ended, and what did not arrive",
  usage: "<id> [--problems | --audit]",
  options: {
    ...STATE_OPTIONS,
    audit: { type: "boolean", means: "recompute everything from the ledger's records first, and compare the result" },
    problems: { type: "boolean", means: "each object that did not arrive, one JSON line each, instead of the summary" },
  },
  positionalsMax: 1,
  run: async (invocation) => {
    const mid = requireId(invocation);
    const session = await openSession(invocation);
    try {
      const { ledger, signal } = session.control;
      const plan = await ledger.plan(mid, signal);
      const found = await migrationStatus(session.control, mid);
      if (invocation.flags.is("audit")) await auditAgain(invocation, ledger, found);
      const problems = problemsOf(ledger, plan, found.epoch, signal);
      if (invocation.flags.is("problems")) for await (const problem of problems) invocation.output.json(problem);
      else if (invocation.json) invocation.output.json(statusJson(found));
      else await summarize(invocation, found, problems);
      return found.result ? exitCodeOf(found) : 0;
    } finally {
      await session.close();
    }
  },
};

/** Throws LEDGER_BROKEN where the records do not bear out what the migration's result states, INCOMPLETE where pages are open. */
async function auditAgain({ log, signal }: Invocation, ledger: Ledger, found: MigrationStatus): Promise<void> {
  const audited = await ledger.audit(found.id, new Date().toISOString(), signal);
  const stated = await ledger.result(found.id, audited.epoch, signal);
  if (stated) checkResult(stated, audited);
  log.info(
    { migration: found.id, digest: audited.digest, stated: stated !== undefined },
    "audited again from the ledger",
  );
}

/** In listing order, as the latest epoch left them. */
async function* problemsOf(
  ledger: Ledger,
  plan: PlanRecord,
  epoch: number,
  signal: AbortSignal,
): AsyncGenerator<Problem> {
  for await (const { problems } of ledger.outcomes(plan, epoch, signal)) yield* problems;
}

async function summarize(
  { output }: Invocation,
  found: MigrationStatus,
  problems: AsyncIterable<Problem>,
): Promise<void> {
  const { totals, result } = found;
  output.line(`# Migration ${found.id}${found.name ? `: ${found.name}` : ""}\n`);
  output.line(`${found.source} -> ${found.destination}, started ${found.createdAt}\n`);
  output.line(`State: ${found.state}${found.epoch > 0 ? ` (epoch ${found.epoch})` : ""}\n`);
  output.line(
    table([...OUTCOMES.map((outcome) => [outcome, totals.counts[outcome]] as const), ["= listed", totals.listed]]),
  );
  output.line(`\n${sizeText(totals.listedBytes)} listed, ${sizeText(totals.bytes)} written.`);
  output.line(`${countText(totals.verified)} data keys were opened with the destination key and compared.`);
  if (result)
    output.line(
      `Audited from the ledger at ${result.at}: ${result.pages} pages in ${result.shards} shards, digest ${result.digest}`,
    );
  else output.line("Not audited yet: the numbers are those of the pages done so far.");
  const weak = adviceLines(totals.advisories);
  if (weak.length > 0) output.line(`\nTo know of what arrived:\n${weak.join("\n")}`);
  await nameSome(output.line, problems);
}

function adviceLines(counts: AdvisoryCounts): string[] {
  return ALL_ADVISORIES.flatMap((one) =>
    counts[one] === undefined ? [] : [`  ${countText(counts[one])} x ${ADVISORIES[one]}`],
  );
}

async function nameSome(line: (text: string) => void, problems: AsyncIterable<Problem>): Promise<void> {
  let named = 0;
  for await (const { outcome, code, key, message } of problems) {
    if (named++ === 0) line("\nNot arrived:");
    if (named > SAMPLES) return line("  ... (all of them: --problems)");
    line(`  ${outcome} ${code} ${JSON.stringify(key)}: ${message}`);
  }
}
