/** The run as a section of docs/benchmarks.md. */
import { cpus } from "node:os";
import { mib, PROCESS_BYTES_MAX, REDIS_BYTES_MAX } from "./bounds.ts";
import type { Run } from "./simulate.ts";

export const HEADING = "A simulated migration of 100 million objects";

const count = (n: number): string => n.toLocaleString("en-US");
const whole = (bytes: number): string => mib(bytes).replace(/\.0 /, " ");

export function sectionOf(run: Run): string {
  const { result, objects, seconds } = run;
  const perSecond = Math.round(objects / seconds);
  const minutes = (seconds / 60).toFixed(1);
  return [
    `${count(objects)} objects on synthetic shores (the source computes its objects from their number, the destination reads what it`,
    `is sent and forgets it); everything else is real: Redis as sealift starts it, BullMQ, worker processes, keys and envelopes (one`,
    `object in ${run.sealedEvery} is sealed and rewrapped, the others are carried), the ledger on disk and its audit. Written by`,
    `\`npm run bench:scale -- --objects ${shortCount(objects)}\` on ${run.at.slice(0, 10)}, ${cpus().length} processors.`,
    "",
    "![memory over time](scale.svg)",
    "",
    "| what | measured | bound |",
    "| --- | ---: | ---: |",
    `| listed, by the ledger's own audit | ${count(result.listed)} | ${count(objects)} |`,
    `| rewrapped + carried | ${count(result.counts.rewrapped)} + ${count(result.counts.carried)} | = listed |`,
    `| Redis, peak of used_memory | ${mib(run.redisPeakBytes)} | ${whole(REDIS_BYTES_MAX)} |`,
    `| keys in Redis, most | ${count(run.redisKeysPeak)} | |`,
    `| pages listed and not committed, most | ${count(run.pagesOutstandingPeak)} | |`,
    ...run.processes.map(
      ({ name, rssBytes, cpuSeconds }) =>
        `| ${name}: peak RSS (CPU ${count(Math.round(cpuSeconds))} s) | ${mib(rssBytes)} | ${whole(PROCESS_BYTES_MAX)} |`,
    ),
    ...run.questions.map(
      (one) =>
        `| afterwards, without Redis and result: ${one.question}, peak RSS (${count(Math.round(one.seconds))} s) | ${mib(one.peakRssBytes)} | ${whole(PROCESS_BYTES_MAX)} |`,
    ),
    "",
    `${count(result.pages)} pages in ${count(result.shards)} shards, ${minutes} minutes, audit included: ${count(perSecond)} objects a second. Digest of the`,
    `audit: \`${result.digest.slice(0, 16)}\`.`,
  ].join("\n");
}

function shortCount(objects: number): string {
  if (objects % 1e6 === 0) return `${objects / 1e6}m`;
  return objects % 1000 === 0 ? `${objects / 1000}k` : String(objects);
}
