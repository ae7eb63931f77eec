/** `npm run bench:scale -- --objects 100m`: runs the simulation, draws it, writes its section; 1 where a bound did not hold. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeSection } from "../page.ts";
import { broken, mib } from "./bounds.ts";
import { plot } from "./plot.ts";
import { HEADING, sectionOf } from "./report.ts";
import { builtHere, simulate } from "./simulate.ts";

const { values } = parseArgs({
  options: {
    objects: { type: "string", default: "1m" },
    sealed: { type: "string", default: "1000" },
    copiers: { type: "string", default: "2" },
    listers: { type: "string", default: "1" },
    /** Prints its numbers and writes nothing. */
    dry: { type: "boolean", default: false },
  },
});

function countOf(text: string): number {
  const found = /^(\d+)([km]?)$/i.exec(text);
  if (!found) throw new Error(`--objects ${text}: a number, with k or m`);
  const unit = found[2]?.toLowerCase();
  return Number(found[1]) * (unit === "m" ? 1e6 : unit === "k" ? 1000 : 1);
}

const objects = countOf(values.objects);
let saidMs = 0;
const run = await simulate({
  objects,
  sealedEvery: countOf(values.sealed),
  copiers: countOf(values.copiers),
  listers: countOf(values.listers),
  modules: builtHere(import.meta.url),
  onSample: ({ seconds, handled, redisBytes, pagesOutstanding, rssBytes }) => {
    if (Date.now() - saidMs < 10_000) return;
    saidMs = Date.now();
    const sizes = Object.values(rssBytes).map((bytes) => Math.round(bytes / 1024 ** 2));
    process.stderr.write(
      `${seconds.toFixed(0)} s: ${handled} handled, ${pagesOutstanding} pages out, Redis ${mib(redisBytes)}, processes ${sizes.join(" ")} MiB\n`,
    );
  },
});
if (!values.dry) {
  await writeFile(join("dist", "scale.json"), JSON.stringify(run));
  await writeFile(join("docs", "scale.svg"), plot(run));
  await writeSection(HEADING, sectionOf(run).split("\n"));
}
process.stdout.write(`${JSON.stringify({ ...run, samples: run.samples.length })}\n`);
const found = broken(run);
for (const line of found) process.stderr.write(`NOT HELD: ${line}\n`);
process.exitCode = found.length > 0 ? 1 : 0;
