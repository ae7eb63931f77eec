/** `sealift adopt`: the ledger of a migration is lost; write it again from what stands on the two shores. */
import { parseStoreUrl } from "../config/url.ts";
import { openWorkAt } from "../compose/work.ts";
import type { ExitCode } from "../core/error.ts";
import type { Job } from "../core/job.ts";
import { OwnCeiling } from "../core/pace.ts";
import { type Adopted, adoptPages, beginAdoption } from "../pipeline/adopt.ts";
import { countText } from "./amounts.ts";
import { refuseStrangers } from "../transfer/preflight.ts";
import type { Command, Invocation } from "./command.ts";
import { budgetsOf } from "./http.ts";
import { FLEET_OPTIONS } from "./follow.ts";
import { readJob } from "./jobfile.ts";
import { openSession, type Session, STATE_OPTIONS } from "./session.ts";

const PROGRESS_MS = 10_000;

export const adopt: Command = {
  name: "adopt",
  summary: "write a lost ledger again, from the source's listing and the stamped objects at the destination",
  usage: "<job.yaml> --id ID",
  options: {
    ...STATE_OPTIONS,
    transfers: FLEET_OPTIONS.transfers,
    id: { type: "string", value: "ID", means: "the id that the migration had (objects carry it as sealift-mid)" },
  },
  positionalsMax: 1,
  run: async (invocation) => {
    const job = await readJob(invocation.positionals[0]);
    const mid = invocation.flags.required("id");
    const session = await openSession(invocation);
    try {
      return await adoptJob(invocation, session, job, mid);
    } finally {
      await session.close();
    }
  },
};

async function adoptJob(invocation: Invocation, { control }: Session, job: Job, mid: string): Promise<ExitCode> {
  const { flags, log, json, output } = invocation;
  await control.ledger.probe(control.signal);
  const plan = await beginAdoption(control, mid, job, parseStoreUrl(job.source.url).prefix);
  const work = await openWorkAt({ source: undefined, destination: undefined }, budgetsOf(invocation))(
    plan,
    new OwnCeiling(),
  );
  const atOnce = flags.number("transfers", 1, 10_000) ?? job.options.transfers;
  let saidMs = Date.now();
  const onPage = ({ pages, objects }: Adopted) => {
    if (Date.now() - saidMs < PROGRESS_MS) return;
    saidMs = Date.now();
    log.info({ migration: mid, pages, objects }, "adopting");
  };
  try {
    await refuseStrangers(work.shores.source, work.rules, control.signal);
    const found = await adoptPages({ control, work, atOnce, onPage });
    if (json) output.json({ id: mid, ...found });
    else output.line(endText(mid, found));
    return 0;
  } finally {
    await work.shores.close();
  }
}

function endText(mid: string, { pages, objects, doubts }: Adopted): string {
  const lines = [
    `adopted: ${countText(objects.adopted)} objects on ${countText(pages.adopted)} pages are at the destination`,
    `left to the workers: ${countText(objects.left)} objects on ${countText(pages.left)} pages`,
  ];
  for (const [why, count] of Object.entries(doubts)) lines.push(`  ${countText(count)} pages for the first: ${why}`);
  return [...lines, `go on with: sealift resume ${mid}`].join("\n");
}
