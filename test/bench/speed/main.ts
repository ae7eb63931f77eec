/**
 * `npm run bench`: what a move costs, beside others who move. Progress on stderr; with `--json` the figures as one line on stdout.
 * `--quick` takes the cases that the figures need, `--long` a million objects too; `--only 16k,list` names cases, `--contenders` who takes
 * part, `--rounds` how often. Whole runs write docs/benchmarks.md, others with `--docs`. `--profile <folder>` keeps sealift's CPU profiles.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { quietSdk } from "../../../src/config.ts";
import { type Case, casesOf } from "./cases.ts";
import { contendersOf } from "./contenders.ts";
import { BARS, type CaseResult, figuresOf, passes } from "./figures.ts";
import { installPeers, type Peer } from "./peers.ts";
import { type Closing, measureReal } from "./real.ts";
import { writeReport } from "./report.ts";
import { type Entry, interleaved, Runner } from "./runner.ts";
import { say } from "./say.ts";
import type { Contender } from "./tasks.ts";
import { openWorld, type World } from "./world.ts";

quietSdk();
const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    long: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    only: { type: "string" },
    "no-peers": { type: "boolean", default: false },
    contenders: { type: "string" },
    rounds: { type: "string" },
    docs: { type: "boolean", default: false },
    profile: { type: "string" },
  },
});

const RESULT = ".bench/result.json";

const opened = new Set<Closing>();
let stopping = false;
async function stop(code: number): Promise<void> {
  stopping = true;
  for (const one of opened) await one.close();
  process.exit(code);
}
async function within<T>(withTls: boolean, work: (world: World) => Promise<T>): Promise<T> {
  const world = await openWorld(withTls);
  opened.add(world);
  try {
    return await work(world);
  } finally {
    await world.close();
    opened.delete(world);
  }
}

process.once("SIGINT", () => void stop(130)).once("SIGTERM", () => void stop(143));

function entriesOf({ entries }: Case, contenders: ReadonlyMap<string, Contender>): Entry[] {
  const wanted = values.contenders?.split(",");
  return entries.flatMap(({ contender: name, dataset, rounds }) => {
    const contender = contenders.get(name);
    return contender && (wanted?.includes(name) ?? true) ? [{ contender, dataset, rounds }] : [];
  });
}

async function measureAll(cases: readonly Case[], contenders: ReadonlyMap<string, Contender>): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const withTls of [false, true]) {
    const these = cases.filter(({ tls = false }) => tls === withTls);
    if (these.length === 0) continue;
    await within(withTls, async (world) => {
      const runner = new Runner(world);
      for (const one of these) {
        say(`${one.name}: ${one.title}`);
        const measured = await interleaved(runner, entriesOf(one, contenders), values.quick ? 1 : 3);
        results.push({ name: one.name, title: one.title, measured });
      }
    });
  }
  return results;
}

const wants = (name: string): boolean => values.only?.split(",").includes(name) ?? !values.quick;

async function measureOnReal(peers: readonly Peer[]): Promise<CaseResult[]> {
  if (!wants("rgw")) return [];
  say("rgw: Ceph's gateway");
  const result = await within(false, (world) => measureReal(world, peers, rounds ?? 3, opened));
  return result ? [result] : [];
}

function tell(figures: Readonly<Record<string, number>>): void {
  for (const bar of BARS) {
    const value = figures[bar.name];
    if (value === undefined) continue;
    const aim = `${bar.least ? "at least" : "at most"} ${bar.bound}`;
    say(`${passes(bar, value) ? "pass" : "miss"} ${bar.name.padEnd(30)} ${value.toFixed(2)} (${aim})`);
  }
}

const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
async function work(): Promise<void> {
  const cases = casesOf({ quick: values.quick, long: values.long, rounds }).filter(
    ({ name }) => values.only === undefined || wants(name),
  );
  const peers: Peer[] = values["no-peers"] ? [] : installPeers();
  for (const { name, version } of peers) say(`${name}: ${version}`);
  const results = await measureAll(cases, contendersOf({ peers, profile: values.profile }));
  results.push(...(await measureOnReal(peers)));
  const figures = figuresOf(results);
  const argv = process.argv.slice(2);
  mkdirSync(".bench", { recursive: true });
  writeFileSync(RESULT, JSON.stringify({ date: new Date().toISOString(), argv, peers, figures, results }, null, 1));
  // What was cut short is no document, unless somebody says so: the number of runs stands in it.
  const whole = !values.quick && !values["no-peers"] && values.contenders === undefined && rounds === undefined;
  if (whole || values.docs) await writeReport({ argv, peers, results });
  tell(figures);
  if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
}

try {
  await work();
} catch (error) {
  // What fails because it is being stopped has no say in how this ends.
  if (!stopping) {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    await stop(1);
  }
}
