/** `sealift status` and `sealift list`: where migrations stand. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ExitCode } from "../core/error.ts";
import type { Pace } from "../core/pace.ts";
import { type MigrationStatus, migrationStatus } from "../pipeline/status.ts";
import { type WorkerStatus, workerStatus } from "../pipeline/workers.ts";
import { countText, outcomesText, sizeText, table } from "./amounts.ts";
import type { Command, Invocation } from "./command.ts";
import { exitCodeOf, isEnded } from "./follow.ts";
import { statusJson } from "./run.ts";
import { openSession, type Session, STATE_OPTIONS } from "./session.ts";

const WATCH_MS = 1000;

export const status: Command = {
  name: "status",
  summary: "where a migration stands (default: the newest)",
  usage: "[id] [--watch]",
  options: { ...STATE_OPTIONS, watch: { type: "boolean", short: "w", means: "go on showing until it has ended" } },
  positionalsMax: 1,
  run: (invocation) => inSession(invocation, (session) => show(invocation, session)),
};

export const list: Command = {
  name: "list",
  summary: "the migrations of this ledger",
  usage: "",
  options: STATE_OPTIONS,
  run: (invocation) =>
    inSession(invocation, async ({ control }) => {
      const rows: string[][] = [];
      for await (const mid of control.ledger.migrations(control.signal)) {
        const found = await migrationStatus(control, mid);
        if (invocation.json) invocation.output.json(statusJson(found));
        else
          rows.push([
            mid,
            found.state,
            `${countText(found.handled)} of ${countText(found.totals.listed)}`,
            `${found.source} -> ${found.destination}`,
          ]);
      }
      if (rows.length > 0) invocation.output.line(table([["id", "state", "objects", "from -> to"], ...rows]));
      return 0;
    }),
};

async function inSession(invocation: Invocation, act: (session: Session) => Promise<ExitCode>): Promise<ExitCode> {
  const session = await openSession(invocation);
  try {
    return await act(session);
  } finally {
    await session.close();
  }
}

async function show(invocation: Invocation, { control }: Session): Promise<ExitCode> {
  const mid = invocation.positionals[0] ?? (await newest(invocation, control.ledger.migrations(control.signal)));
  if (mid === undefined) return 0;
  for (;;) {
    const found = await migrationStatus(control, mid);
    const workers = control.redis ? await workerStatus(control.redis) : [];
    if (invocation.json) invocation.output.json({ ...statusJson(found), workers });
    else invocation.output.line(statusText(found, workers));
    if (!invocation.flags.is("watch") || isEnded(found)) return isEnded(found) ? exitCodeOf(found) : 0;
    await sleep(WATCH_MS, undefined, { signal: control.signal });
    if (!invocation.json) invocation.output.line("");
  }
}

/** Over all workers, by resource. */
function sumPaces(workers: readonly WorkerStatus[]): Pace[] {
  const sums = new Map<string, Pace>();
  for (const { resource, ...pace } of workers.flatMap(({ paces }) => paces ?? [])) {
    const sum = sums.get(resource);
    sums.set(resource, {
      resource,
      requests: pace.requests + (sum?.requests ?? 0),
      throttled: pace.throttled + (sum?.throttled ?? 0),
      rate: pace.rate + (sum?.rate ?? 0),
      achieved: pace.achieved + (sum?.achieved ?? 0),
      waitMs: pace.waitMs + (sum?.waitMs ?? 0),
    });
  }
  return [...sums.values()];
}

function paceText({ resource, requests, throttled, achieved, waitMs }: Pace): string {
  const meanMs = Math.round(waitMs / Math.max(requests, 1));
  return `${resource}: ${countText(achieved)}/s, ${countText(throttled)} of ${countText(requests)} throttled, ${countText(meanMs)} ms waited for each`;
}

async function newest({ output, json }: Invocation, migrations: AsyncIterable<string>): Promise<string | undefined> {
  let last: string | undefined;
  for await (const mid of migrations) last = mid;
  if (last === undefined && !json) output.line("no migrations yet: sealift run <job.yaml> starts one");
  return last;
}

function statusText(found: MigrationStatus, workers: readonly WorkerStatus[]): string {
  const { totals } = found;
  const listed = `${countText(totals.listed)}${found.listingDone ? "" : " so far"} (${sizeText(totals.listedBytes)})`;
  const rows: [string, string][] = [
    ["migration", found.name ? `${found.id} (${found.name})` : found.id],
    ["state", found.epoch > 0 ? `${found.state}, epoch ${found.epoch}` : found.state],
    ["from", found.source],
    ["to", found.destination],
    ["listed", listed],
    ["handled", `${countText(found.handled)}: ${outcomesText(totals.counts)}`],
    ["written", sizeText(totals.bytes)],
    ["verified", `${countText(totals.verified)} data keys opened with the destination key`],
    [
      "pages",
      `${countText(totals.committed)} of ${countText(totals.pages)} committed, ${found.shardsOpen} of ${found.shards} shards open`,
    ],
  ];
  if (found.retryPagesLeft > 0) rows.push(["retry", `${countText(found.retryPagesLeft)} pages left`]);
  const { open, partsHeld, parts } = found.huge;
  if (open > 0) {
    rows.push(["huge objects", `${countText(open)} open, ${countText(partsHeld)} of ${countText(parts)} parts held`]);
  }
  const codes = Object.entries(totals.codes).map(([code, count]) => `${code} ${countText(count)}`);
  if (codes.length > 0) rows.push(["not arrived", codes.join(", ")]);
  if (found.trouble) rows.push(["trouble", found.trouble]);
  for (const { kind, name, rssBytes } of workers)
    rows.push([`${kind} worker`, `${name}, ${sizeText(rssBytes)} in memory`]);
  for (const pace of sumPaces(workers)) rows.push(["key service", paceText(pace)]);
  return table(rows);
}
