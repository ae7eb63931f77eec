/** What was measured, as sections of docs/benchmarks.md and a drawing: a section for each case, so that one can be measured anew. */
import { writeFile } from "node:fs/promises";
import { writeSection } from "../page.ts";
import { COLOURS, drawing, WIDTH } from "../svg.ts";
import {
  BARS,
  bytesOf,
  type CaseResult,
  cpuOf,
  figuresOf,
  GIB,
  passes,
  requestsOf,
  rssOf,
  startUpOf,
  wallOf,
} from "./figures.ts";
import type { Peer } from "./peers.ts";
import { type Measured, median } from "./runner.ts";

export interface Whole {
  readonly argv: readonly string[];
  readonly peers: readonly Peer[];
  readonly results: readonly CaseResult[];
}

const MIB = 1024 ** 2;
/** From here on bytes are what costs. */
const LARGE_BYTES = MIB;

export async function writeReport(whole: Whole): Promise<void> {
  await writeSection("Speed: how it is measured", methodOf(whole));
  for (const result of whole.results) {
    const name = `speed-${result.name}.svg`;
    await writeFile(`docs/${name}`, bars(result));
    await writeSection(`Speed: ${result.title}`, [...sectionOf(result), "", `![processor time](${name})`]);
  }
}

const methodOf = ({ argv, peers }: Whole): string[] => [
  `Written by \`npm run bench${argv.length > 0 ? ` -- ${argv.join(" ")}` : ""}\`. The clouds are processes of their own (test/bench/speed/lean): S3, Cloud Storage, AWS KMS and`,
  "Google KMS over plain sockets, in memory, cheaper a request than any client here. They look at no signature; keys are real AES-GCM keys. Source",
  "and destination are different processes, their KMS keys of different Regions, so that a rewrap is GET, Decrypt, Encrypt and PUT. Objects are",
  "sealed as the S3 Encryption Client V2 seals (beyond 20,000 their contents repeat), or the same without an envelope. ETags are opaque (`hex-1`), so",
  "that no client computes MD5s.",
  "",
  "sealift is the built program, `sealift run job.yaml`, with its worker processes; Redis is counted apart. Processor time is user and system time of",
  "the whole process tree as wait4(2) has it, start-up included; *marginal* is without what the same run over four objects costs. Contenders take",
  "turns; figures are medians. After every run every object is checked at the destination: count, size, CRC32C of the body and, where it was",
  "rewrapped, its data key opened under the destination's key and compared; one in a hundred of those of up to 64 KiB is opened by the drivers",
  "over HTTP and compared byte for byte. Resealed objects are checked by size and envelope, and by that hundredth. A run that fails is no measurement.",
  "",
  "`naive` is a program by the official SDKs (test/bench/speed/programs/naive.ts), `floor` the four requests in a bare loop over sealift's own HTTP",
  "client, `pipe` a `node:http` GET piped into a PUT. rclone is given the flags that made it cheapest here (test/bench/speed/peers.ts); `rclone-untuned`",
  "has only `--metadata`. It does no KMS work, to Cloud Storage it is checked for bytes alone, and its second run compares no more than names and sizes. s5cmd and aws-cli know one endpoint a command: they",
  "cannot move between two, and are asked to list.",
  "",
  ...peers.map(({ name, version }) => `- ${name}: ${version}`),
];

const number = (value: number, digits = 0): string =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function sectionOf(result: CaseResult): string[] {
  const figures = figuresOf([result]);
  const judged = BARS.filter(
    ({ name }) => figures[name] !== undefined && (name !== "rss_mib_max" || result.name === "16k"),
  );
  return [
    "| who | objects | runs | CPU | marginal | wall | rate | Redis CPU | clouds' CPU | requests per 1,000 | peak RSS, MiB |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...result.measured.map(row),
    "",
    ...(judged.length === 0 ? [] : ["| figure | whole run | marginal | aim | |", "| --- | ---: | ---: | ---: | --- |"]),
    ...judged.map((bar) => {
      const value = figures[bar.name] as number;
      const marginal = figures[`${bar.name}_marginal`];
      const aim = `${bar.least ? "at least" : "at most"} ${number(bar.bound, bar.bound % 1 === 0 ? 0 : 2)}`;
      const shown = number(value, value < 100 ? 2 : 0);
      return `| \`${bar.name}\` | ${shown} | ${marginal === undefined ? "" : number(marginal, 2)} | ${aim} | ${passes(bar, value) ? "pass" : "miss"} |`;
    }),
  ];
}

function row(one: Measured): string {
  const { contender, dataset, samples, startUp } = one;
  const large = dataset.sizeBytes >= LARGE_BYTES;
  const each = (seconds: number) =>
    large ? `${number(seconds / (bytesOf(one) / GIB), 2)} s/GiB` : `${number((seconds / dataset.count) * 1e6)} us`;
  const wall = wallOf(one);
  const rate = large ? `${number(bytesOf(one) / MIB / wall)} MiB/s` : `${number(dataset.count / wall)}/s`;
  const marginal = startUp.length === 0 ? "" : each(cpuOf(one) - startUpOf(one));
  const redis = median(samples.map(({ redisCpuSeconds }) => redisCpuSeconds));
  const clouds = median(samples.map(({ cloudCpuSeconds }) => cloudCpuSeconds));
  const requests = (requestsOf(one) / dataset.count) * 1000;
  const sealed = dataset.sealed ? "" : " (no envelope)";
  return `| ${contender}${sealed} | ${number(dataset.count)} | ${samples.length} | ${each(cpuOf(one))} | ${marginal} | ${number(wall, 1)} s | ${rate} | ${number(redis, 2)} s | ${each(clouds)} | ${number(requests)} | ${number(rssOf(one) / MIB)} |`;
}

const ROW = 22;
const LEFT = 190;

/** A bar for each contender: processor time an object or a GiB. */
function bars({ title, measured }: CaseResult): string {
  const large = measured.every(({ dataset }) => dataset.sizeBytes >= LARGE_BYTES);
  const value = (one: Measured) => (large ? cpuOf(one) / (bytesOf(one) / GIB) : (cpuOf(one) / one.dataset.count) * 1e6);
  const most = Math.max(...measured.map(value));
  const parts = measured.map((one, i) => {
    const [y, length] = [36 + i * ROW, (value(one) / most) * (WIDTH - LEFT - 110)];
    const text = large ? `${number(value(one), 2)} s/GiB` : `${number(value(one))} us`;
    const name = `${one.contender}${one.dataset.sealed ? "" : " (no envelope)"}, ${number(one.dataset.count)}`;
    return [
      `<text x="${LEFT - 8}" y="${y + 13}" text-anchor="end">${name}</text>`,
      `<rect x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="${ROW - 6}" fill="${COLOURS[i % COLOURS.length]}"/>`,
      `<text x="${(LEFT + length + 6).toFixed(1)}" y="${y + 13}">${text}</text>`,
    ].join("\n");
  });
  const heading = `<text x="8" y="20" font-weight="bold">${title}: processor time ${large ? "a GiB" : "an object"}</text>`;
  return drawing(48 + measured.length * ROW, [heading, ...parts]);
}
