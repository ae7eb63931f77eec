/** `sealift plan`: what a run would do, class by class, without moving or opening anything. */
import { describeEndpoints, openShores } from "../compose.ts";
import { rulesOf } from "../compose/work.ts";
import { ADVISORIES } from "../core/advisory.ts";
import { asSealiftError, type ExitCode } from "../core/error.ts";
import type { Job } from "../core/job.ts";
import type { ListedObject } from "../core/object.ts";
import type { Plan } from "../core/plan.ts";
import type { Neighbours } from "../transfer/divided.ts";
import { planSource } from "../transfer/look.ts";
import { refuseStrangers } from "../transfer/preflight.ts";
import type { Rules, Shores } from "../transfer/shores.ts";
import { countText, sizeText, table } from "./amounts.ts";
import type { Command, Invocation } from "./command.ts";
import { FLEET_OPTIONS } from "./follow.ts";
import { readJob } from "./jobfile.ts";
import { budgetsOf } from "./http.ts";
import { Openings } from "./openings.ts";
import { survey } from "./survey.ts";

/** Objects that are alike in everything that decides what happens to them. */
export interface Class {
  readonly action: string;
  readonly envelope: string;
  readonly content: string;
  readonly wrap: string;
  readonly key: string;
  readonly code: string;
  readonly reason: string;
  objects: number;
  bytes: number;
  /** One of them, to look at. */
  readonly sample: string;
}

export const plan: Command = {
  name: "plan",
  summary: "what a run would do: objects and bytes by envelope, wrap and key; moves nothing",
  usage: "<job.yaml> [--max-objects N]",
  options: {
    transfers: FLEET_OPTIONS.transfers,
    "max-objects": { type: "string", value: "N", means: "look at the first N objects only, and say so" },
  },
  positionalsMax: 1,
  run: async (invocation) => {
    const job = await readJob(invocation.positionals[0]);
    const shores = await openShores(job, budgetsOf(invocation));
    try {
      return await planJob(invocation, job, shores);
    } finally {
      await shores.close();
    }
  },
};

async function planJob(invocation: Invocation, job: Job, shores: Shores): Promise<ExitCode> {
  const { flags, signal } = invocation;
  const rules = rulesOf(job, "plan-0", Date.now());
  await refuseStrangers(shores.source, rules, signal);
  const objectsMax = flags.number("max-objects", 1) ?? Number.POSITIVE_INFINITY;
  const atOnce = flags.number("transfers", 1, 10_000) ?? job.options.transfers;
  const classes = new Map<string, Class>();
  const openings = new Openings();
  const notes = new Map<string, number>();
  let objects = 0;
  for await (const { object, seen } of survey(shores, atOnce, objectsMax, signal, (one, beside) =>
    look(one, beside, shores, rules, signal),
  )) {
    addTo(classes, object, seen);
    openings.add(seen);
    for (const note of [...(seen.advisories ?? []).map((one) => ADVISORIES[one]), ...seen.notes])
      notes.set(note, (notes.get(note) ?? 0) + 1);
    objects++;
  }
  const whole = objects < objectsMax;
  const found = [...classes.values()].sort((a, b) => b.objects - a.objects);
  const reached = { source: shores.source.name, destination: shores.destination.name };
  if (invocation.json)
    invocation.output.json({
      whole,
      objects,
      classes: found,
      opens: openings.all,
      opensUncounted: openings.uncounted,
      notes: Object.fromEntries(notes),
      endpoints: describeEndpoints(job),
      reached,
    });
  else print(invocation, job, { classes: found, openings, notes, whole, reached });
  return found.some(({ action }) => action === "refuse" || action === "unreadable") ? 6 : 0;
}

/** An object that cannot be looked at is a class of its own: it would fail in the run as well. */
async function look(
  object: ListedObject,
  neighbours: Neighbours,
  shores: Shores,
  rules: Rules,
  signal: AbortSignal,
): Promise<Omit<Plan, "action"> & { readonly action: string }> {
  if (!rules.filter(object)) return { action: "filtered", envelope: "", notes: [] };
  try {
    return await planSource(object, shores, rules, signal, neighbours);
  } catch (thrown) {
    const { code, message } = asSealiftError(thrown);
    if (code === "INTERRUPTED") throw thrown;
    return { action: "unreadable", envelope: "unknown", code, reason: message, notes: [] };
  }
}

function addTo(classes: Map<string, Class>, object: ListedObject, seen: Awaited<ReturnType<typeof look>>): void {
  const { action, envelope, content = "", wrap = "", wrappedBy = "", code = "" } = seen;
  const name = JSON.stringify([action, envelope, content, wrap, wrappedBy, code]);
  let known = classes.get(name);
  if (!known) {
    known = {
      action,
      envelope,
      content,
      wrap,
      key: wrappedBy,
      code,
      reason: seen.reason ?? "",
      objects: 0,
      bytes: 0,
      sample: object.key,
    };
    classes.set(name, known);
  }
  known.objects++;
  known.bytes += object.sizeBytes;
}

interface Found {
  readonly classes: readonly Class[];
  readonly openings: Openings;
  readonly notes: ReadonlyMap<string, number>;
  readonly whole: boolean;
  /** As the opened stores name themselves: also an endpoint that the environment has set, and the job has not. */
  readonly reached: { readonly source: string; readonly destination: string };
}

function print({ output }: Invocation, job: Job, { classes, openings, notes, whole, reached }: Found): void {
  for (const line of describeEndpoints(job)) output.line(line);
  output.line(`source is reached as ${reached.source}\ndestination is reached as ${reached.destination}`);
  output.line(`wrap with: ${job.keys.wrapWith}`);
  output.line(`may open: ${mayOpen(job)}\n`);
  if (classes.length === 0) return output.line("nothing to do: the source holds no object");
  const rows = classes.map((one) => [
    one.action,
    one.envelope,
    one.content,
    one.wrap,
    one.key || "-",
    one.objects,
    sizeText(one.bytes),
  ]);
  output.line(table([["action", "envelope", "content", "wrap", "wrapping key", "objects", "bytes"], ...rows]));
  const opened = openings.lines();
  if (opened.length > 0)
    output.line(`\nData keys, by key and context (* differs from object to object):\n${opened.join("\n")}`);
  for (const { code, reason, sample, objects } of classes) {
    if (code) output.line(`\n${countText(objects)} x ${code}: ${reason}\n  for example ${JSON.stringify(sample)}`);
  }
  if (notes.size > 0) output.line("\nTo know:");
  for (const [note, count] of notes) output.line(`  ${countText(count)} x ${note}`);
  if (!whole)
    output.line("\nOnly the first objects were looked at (--max-objects): what follows them is not in these numbers.");
}

function mayOpen({ keys: { allow, account, localDirectory } }: Job): string {
  if (allow.length > 0) return allow.join(", ");
  const local = localDirectory === undefined ? [] : [`any local key in ${localDirectory}`];
  const theirs = account === undefined ? [] : [`any key of ${account} that the credentials open`];
  return [...theirs, ...local].join(", ") || "no key (keys.allow is empty and keys.account is not given)";
}
