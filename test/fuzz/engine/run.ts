/**
 * `npm run fuzz -- --minutes M [--inputs N] [--target T] [--seed N] [--report FILE] [--keep]`
 *
 * Every target in turn, some seconds each, round after round, until the time is over and as many inputs were tried as asked. What goes a new way through the code stays in `.fuzz/corpus`;
 * findings are written to `.fuzz/findings` and end the run with 1. `--report` writes the counts between the marks of a page,
 * `--keep` puts the smallest inputs that together reach every place into test/fuzz/corpus, where `npm test` replays them.
 */
import "./coverage.ts"; // first: it makes the place for counters, should the build hold them already
import { cpus } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { TARGETS } from "../targets/all.ts";
import { instrumentFolder, runTarget } from "./fuzzer.ts";
import type { Done } from "./order.ts";
import { table, writeReport } from "./report.ts";

const build = fileURLToPath(new URL("../../../", import.meta.url));
const root = fileURLToPath(new URL("../../../../../", import.meta.url));
/** A slice: long enough that starting a thread does not count, short enough that every target gets several. */
const SLICE_MS = 30_000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    inputs: { type: "string", default: "0" },
    target: { type: "string", multiple: true },
    seed: { type: "string" },
    report: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});

const minutes = Number(values.minutes);
const inputsMin = Number(values.inputs);
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
const names = values.target ?? TARGETS.map(({ name }) => name);
const unknown = names.find((name) => !TARGETS.some((one) => one.name === name));
if (!(minutes > 0 && inputsMin >= 0) || !Number.isInteger(seed) || unknown !== undefined) {
  process.stderr.write(
    `usage: npm run fuzz -- --minutes M [--inputs N] [--target T] [--seed N] [--report FILE] [--keep]\n`,
  );
  process.stderr.write(`targets: ${TARGETS.map(({ name }) => name).join(", ")}\n`);
  process.exit(2);
}

const sum = new Map<string, Done>();
const instrumented = instrumentFolder(join(build, "src"));
const allMs = minutes * 60_000;
const rounds = Math.max(1, Math.round(allMs / names.length / SLICE_MS));
const sliceMs = allMs / names.length / rounds;
const startedMs = performance.now();
const inputsOfAll = () => [...sum.values()].reduce((all, { inputs }) => all + inputs, 0);
process.stdout.write(`seed ${seed}, ${names.length} targets, slices of ${(sliceMs / 1000).toFixed(1)} s\n`);

const orderFor = (name: string, round: number) => ({
  ...instrumented,
  targets: new URL("../targets/all.js", import.meta.url).href,
  target: name,
  seed: seed + round,
  forMs: sliceMs,
  corpus: join(root, ".fuzz", "corpus", name),
  findings: join(root, ".fuzz", "findings", name),
  kept: join(root, "test", "fuzz", "corpus", name),
  keep: false,
});

for (let round = 0; round < rounds || inputsOfAll() < inputsMin; round++) {
  for (const name of names) {
    const done = await runTarget(orderFor(name, round));
    const before = sum.get(name);
    const found = [...(before?.found ?? []), ...done.found];
    sum.set(name, { ...done, inputs: done.inputs + (before?.inputs ?? 0), found });
    process.stdout.write(`${name}: ${done.inputs} inputs, corpus ${done.corpus}, ${done.places} places\n`);
    for (const { why, path } of done.found) process.stdout.write(`  FINDING ${relative(root, path)}: ${why}\n`);
  }
}
if (values.keep) for (const name of names) await runTarget({ ...orderFor(name, 0), forMs: 0, keep: true });

const run = {
  seed,
  minutes: Math.round((performance.now() - startedMs) / 60_000),
  day: new Date().toISOString().slice(0, 10),
  machine: `Node ${process.version}, one core of ${cpus()[0]?.model.trim() || process.arch}`,
  tallies: [...sum].map(([target, { inputs, corpus, places, found }]) => ({
    target,
    inputs,
    corpus,
    places,
    findings: new Set(found.map(({ why }) => why)).size,
  })),
};
process.stdout.write(`${table(run)}\n`);
if (values.report !== undefined) writeReport(values.report, run);
process.exitCode = run.tallies.some(({ findings }) => findings > 0) ? 1 : 0;
