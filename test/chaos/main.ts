/**
 * `npm run chaos -- --seed N --minutes M [--workers K]`: a migration with harm in it, held against a model. `--seeds 1-20` runs
 * several, `--write PATH` writes their table. Ends with one line a seed, and with 1 where anything was wrong.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { chaosTable } from "./report.ts";
import { abandonRun, type RunResult, runSeed } from "./run.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string" },
    minutes: { type: "string", default: "1" },
    workers: { type: "string", default: "3" },
    objects: { type: "string" },
    only: { type: "string" },
    write: { type: "string" },
    quiet: { type: "boolean", default: false },
  },
});

function number(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= min && value <= max) return value;
  process.stderr.write(`--${name} is a number from ${min} to ${max}, not ${JSON.stringify(text)}\n`);
  process.exit(2);
}

function seedsOf(): number[] {
  const [from, to] = (values.seeds ?? `${values.seed}-${values.seed}`).split("-");
  const first = number("seed", from ?? "", 0, 2 ** 31);
  const last = number("seed", to ?? "", first, first + 999);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

const minutes = number("minutes", values.minutes, 0.05, 600);
const workers = number("workers", values.workers, 1, 64);
const objects = values.objects === undefined ? undefined : number("objects", values.objects, 20, 100_000);
const only = values.only?.split(",");
const say = values.quiet ? () => undefined : (line: string) => process.stdout.write(`${line}\n`);

process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] = "true";

for (const name of ["SIGINT", "SIGTERM"] as const)
  process.once(name, () => void abandonRun().finally(() => process.exit(130)));

const results: RunResult[] = [];
for (const seed of seedsOf()) {
  const result = await runSeed({ seed, minutes, workers, objects, only, say });
  results.push(result);
  for (const complaint of result.complaints) process.stdout.write(`  WRONG: ${complaint}\n`);
  const { kills, harms, pages, epochs, state, seconds } = result;
  const sum = [...harms.values()].reduce((total, count) => total + count, 0);
  const verdict = result.complaints.length === 0 ? "passed" : `FAILED (${result.complaints.length} complaints)`;
  process.stdout.write(
    `seed ${seed}: ${verdict}, ${result.objects} objects on ${pages} pages, ${sum} harms, ${kills.workers} workers and ` +
      `${kills.redis} Redis killed, ${epochs} retries, ${state} in ${seconds} s\n`,
  );
}
if (values.write !== undefined) await writeFile(values.write, chaosTable(results, { minutes, workers }));
process.exit(results.every(({ complaints }) => complaints.length === 0) ? 0 : 1);
