/**
 * `npm run bench`: what a move costs, beside others who move. Progress on stderr; with `--json` the figures as one line on stdout.
 * `--quick` takes the cases that the figures need, `--long` a million objects too; `--only 16k,list` names cases.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { quietSdk } from "../../../src/config.ts";
import { type Case, casesOf } from "./cases.ts";
import { contendersOf } from "./contenders.ts";
import { BARS, type CaseResult, figuresOf, passes } from "./figures.ts";
import { installPeers, type Peer } from "./peers.ts";
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
    profile: { type: "string" },
  },
});

const RESULT = ".bench/result.json";

let world: World | undefined;
async function stop(code: number): Promise<void> {
  await world?.close();
  process.exit(code);
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
    world = await openWorld(withTls);
    try {
      const runner = new Runner(world);
      for (const one of these) {
        say(`${one.name}: ${one.title}`);
        results.push({
          name: one.name,
          title: one.title,
          measured: await interleaved(runner, entriesOf(one, contenders), values.quick ? 1 : 3),
        });
      }
    } finally {
      await world.close();
      world = undefined;
    }
  }
  return results;
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
const only = values.only?.split(",");
const cases = casesOf({ quick: values.quick, long: values.long, rounds }).filter(
  ({ name }) => only?.includes(name) ?? true,
);
const peers: Peer[] = values["no-peers"] ? [] : installPeers();
for (const { name, version } of peers) say(`${name}: ${version}`);
const results = await measureAll(cases, contendersOf({ peers, profile: values.profile }));
const figures = figuresOf(results);
mkdirSync(".bench", { recursive: true });
writeFileSync(
  RESULT,
  JSON.stringify({ date: new Date().toISOString(), argv: process.argv.slice(2), peers, figures, results }, null, 1),
);
// What was cut short is for whoever cut it; documents are of whole cases with everybody in them.
if (!values.quick && !values["no-peers"] && values.contenders === undefined && rounds === undefined) {
  await writeReport({ argv: process.argv.slice(2), peers, results });
}
tell(figures);
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
