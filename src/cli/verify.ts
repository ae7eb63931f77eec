/** `sealift verify`: compares the two shores of a job, whoever moved what, and says what it did not cover. */
import { openShores } from "../compose.ts";
import { rulesOf } from "../compose/work.ts";
import type { ExitCode } from "../core/error.ts";
import type { Job } from "../core/job.ts";
import type { ListedObject } from "../core/object.ts";
import type { Neighbours } from "../transfer/divided.ts";
import { refuseStrangers } from "../transfer/preflight.ts";
import type { Shores } from "../transfer/shores.ts";
import { type Finding, type Verdict, verifyObject } from "../transfer/verify.ts";
import { countText, table } from "./amounts.ts";
import type { Command, Invocation } from "./command.ts";
import { FLEET_OPTIONS } from "./follow.ts";
import { readJob } from "./jobfile.ts";
import { budgetsOf } from "./http.ts";
import { survey } from "./survey.ts";

const VERDICTS: readonly Verdict[] = ["same", "missing", "different", "unproven", "filtered"];
const NAMED = 20;

export const verify: Command = {
  name: "verify",
  summary: "compare both shores of a job: presence, bytes, envelope and data keys",
  usage: "<job.yaml> [--full] [--max-objects N]",
  options: {
    transfers: FLEET_OPTIONS.transfers,
    full: { type: "boolean", means: "also read both bodies and compare the plaintexts" },
    "max-objects": { type: "string", value: "N", means: "compare the first N objects only, and say so" },
    problems: {
      type: "boolean",
      means: "each object that is not the same, one JSON line each, instead of the summary",
    },
  },
  positionalsMax: 1,
  run: async (invocation) => {
    const job = await readJob(invocation.positionals[0]);
    const shores = await openShores(job, budgetsOf(invocation));
    try {
      return await compare(invocation, job, shores);
    } finally {
      await shores.close();
    }
  },
};

async function compare(invocation: Invocation, job: Job, shores: Shores): Promise<ExitCode> {
  const { flags, signal, output, json } = invocation;
  const rules = rulesOf(job, "verify-0", Date.now());
  await refuseStrangers(shores.source, rules, signal);
  const full = flags.is("full");
  const objectsMax = flags.number("max-objects", 1) ?? Number.POSITIVE_INFINITY;
  const atOnce = flags.number("transfers", 1, 10_000) ?? job.options.transfers;
  const counts = Object.fromEntries(VERDICTS.map((verdict) => [verdict, 0])) as Record<Verdict, number>;
  const sums = { verified: 0, opened: 0, objects: 0 };
  const named: Finding[] = [];
  const look = (object: ListedObject, neighbours: Neighbours) =>
    verifyObject(object, shores, rules, { full, neighbours, signal });
  for await (const { seen } of survey(shores, atOnce, objectsMax, signal, look)) {
    counts[seen.verdict]++;
    sums.objects++;
    if (seen.verified) sums.verified++;
    if (seen.opened) sums.opened++;
    if (seen.verdict === "same" || seen.verdict === "filtered") continue;
    if (flags.is("problems")) output.json(seen);
    else if (named.length < NAMED) named.push(seen);
  }
  const whole = sums.objects < objectsMax;
  if (json) output.json({ whole, full, ...sums, ...counts });
  else if (!flags.is("problems")) print(invocation, counts, sums, named, { whole, full });
  if (counts.different > 0) return 7;
  return counts.missing + counts.unproven > 0 ? 6 : 0;
}

function print(
  { output }: Invocation,
  counts: Readonly<Record<Verdict, number>>,
  sums: { readonly verified: number; readonly opened: number; readonly objects: number },
  named: readonly Finding[],
  cover: { readonly whole: boolean; readonly full: boolean },
): void {
  output.line(table([...VERDICTS.map((verdict) => [verdict, counts[verdict]] as const), ["= objects", sums.objects]]));
  output.line(`\n${countText(sums.verified)} data keys were opened with the destination key and are the source's.`);
  if (cover.full)
    output.line(`${countText(sums.opened)} objects were opened on both shores and hold the same plaintext.`);
  for (const { verdict, key, code, message } of named)
    output.line(`  ${verdict} ${code ?? ""} ${JSON.stringify(key)}: ${message ?? ""}`);
  output.line("\nNot covered: objects that only the destination has; earlier versions; tags, ACLs and locks.");
  if (!cover.full)
    output.line(
      "Bodies were not opened (--full does): they are compared by size and by the checksums that both shores state.",
    );
  if (!cover.whole) output.line("Only the first objects were compared (--max-objects).");
}
