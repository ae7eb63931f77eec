/** docs/chaos.md, written by the run it is about. */
import type { RunResult } from "./run.ts";

export function chaosTable(
  results: readonly RunResult[],
  { minutes, workers }: { minutes: number; workers: number },
): string {
  const range = `${results[0]?.seed ?? 0}-${results.at(-1)?.seed ?? 0}`;
  const passed = results.filter(({ complaints }) => complaints.length === 0).length;
  const rows = results.map((result) => {
    const { seed, way, objects, pages, harms, kills, halts, epochs, state, seconds, complaints } = result;
    const sum = [...harms.values()].reduce((total, count) => total + count, 0);
    const verdict = complaints.length === 0 ? "passed" : `failed: ${complaints[0]?.slice(0, 200)}`;
    return [seed, way, objects, pages, sum, kills.workers, kills.redis, halts, epochs, state, seconds, verdict];
  });
  const head = [
    "seed",
    "way",
    "objects",
    "pages",
    "harms",
    "workers killed",
    "Redis killed",
    "halts",
    "retries",
    "ended",
    "s",
    "held against the model",
  ];
  const table = [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
  return `# Chaos

Written by \`npm run chaos -- --seeds ${range} --minutes ${minutes} --workers ${workers} --write docs/chaos.md\`; no number here was typed.
Each seed is one migration with ${workers} copying and 2 listing processes, harmed for ${minutes} minutes and then left to end. Held against
the model means: the ledger's audit, the sums in Redis, the destination's bytes (opened with the new key) and the seeded objects
agree; the source is as it was; no data key is in Redis's files, the ledger or a log.

${passed} of ${results.length} seeds passed.

${table.join("\n")}

## What was done to them

${harmsOf(results)}
`;
}

function harmsOf(results: readonly RunResult[]): string {
  const sums = new Map<string, number>();
  for (const { harms } of results) for (const [name, count] of harms) sums.set(name, (sums.get(name) ?? 0) + count);
  const rows = [...sums].sort(([, a], [, b]) => b - a).map(([name, count]) => `| ${name} | ${count} |`);
  return ["| harm | times |", "| --- | --- |", ...rows].join("\n");
}
