/** `npm run bench`: what a move costs, beside others who move. Progress on stderr, with `--json` one line on stdout. */
import { parseArgs } from "node:util";
import { type Contender, floor, naive, rclone, sealift } from "./contenders.ts";
import { interleaved, median, Runner } from "./runner.ts";
import { say } from "./say.ts";
import type { Dataset } from "./seed.ts";
import { openWorld, type World } from "./world.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    profile: { type: "string" },
    objects: { type: "string", default: "20000" },
    rounds: { type: "string", default: "3" },
    only: { type: "string" },
  },
});

const toS3 = (world: World) => world.destination;
const rewrapped = { arrives: "rewrapped", destination: toS3 } as const;
const all: Contender[] = [
  { name: "rewrap", command: (task) => sealift(task, { profile: values.profile }), ...rewrapped },
  {
    name: "rclone",
    command: (task) => rclone(task, process.env["RCLONE"] ?? "rclone"),
    arrives: "same",
    destination: toS3,
  },
  { name: "floor", command: floor, ...rewrapped },
  { name: "naive", command: naive, ...rewrapped },
];

const world = await openWorld();
const stop = (code: number) => void world.close().then(() => process.exit(code));
process.once("SIGINT", () => stop(130)).once("SIGTERM", () => stop(143));
try {
  const runner = new Runner(world);
  const count = Number(values.objects);
  const dataset: Dataset = { name: "sealed16k", count, sizeBytes: 16 * 1024, sealed: true };
  const fewer: Dataset = { ...dataset, name: "sealed16k-fewer", count: Math.min(count, 2000) };
  const wanted = values.only?.split(",");
  const entries = all
    .filter(({ name }) => wanted?.includes(name) ?? true)
    .map((contender) => ({
      contender,
      dataset: contender.name === "naive" ? fewer : dataset,
      rounds: Number(values.rounds),
    }));
  const measured = await interleaved(runner, entries);
  const result: Record<string, number> = {};
  for (const {
    contender,
    samples,
    startUp,
    dataset: { count: objects },
  } of measured) {
    const whole = median(samples.map(({ cpuSeconds }) => cpuSeconds));
    const started = median(startUp.map(({ cpuSeconds }) => cpuSeconds));
    result[`${contender}_us`] = (whole / objects) * 1e6;
    result[`${contender}_marginal_us`] = ((whole - started) / objects) * 1e6;
  }
  const ratio = (name: string) => (result[name] ?? NaN) / (result["rewrap_us"] ?? NaN);
  for (const peer of ["rclone", "naive", "floor"]) result[`rewrap16k_vs_${peer}`] = ratio(`${peer}_us`);
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  await world.close();
  say("closed");
}
