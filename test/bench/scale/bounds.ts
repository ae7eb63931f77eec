/** What a simulation has to hold, and what it did not. */
import { sumCounts } from "../../../src/core/plan.ts";
import type { Run } from "./simulate.ts";

const MIB = 1024 ** 2;
export const REDIS_BYTES_MAX = 64 * MIB;
export const PROCESS_BYTES_MAX = 300 * MIB;

/** Empty: every bound holds. */
export function broken(run: Run): string[] {
  const found: string[] = [];
  const hold = (what: string, holds: boolean) => {
    if (!holds) found.push(what);
  };
  const { result, objects, sealedEvery } = run;
  const sealed = sealedEvery === 0 ? 0 : Math.ceil(objects / sealedEvery);
  hold(`the audit says ${result.state}`, result.state === "Completed");
  hold(`${result.listed} of ${objects} objects were listed`, result.listed === objects);
  hold(`outcomes sum to ${sumCounts(result.counts)}`, sumCounts(result.counts) === objects);
  hold(`${result.counts.rewrapped} of ${sealed} were rewrapped`, result.counts.rewrapped === sealed);
  hold(`${result.counts.carried} were carried`, result.counts.carried === objects - sealed);
  hold(`Redis took ${mib(run.redisPeakBytes)}`, run.redisPeakBytes < REDIS_BYTES_MAX);
  for (const { name, rssBytes } of run.processes) hold(`${name} took ${mib(rssBytes)}`, rssBytes < PROCESS_BYTES_MAX);
  for (const { question, peakRssBytes } of run.questions)
    hold(`${question} took ${mib(peakRssBytes)}`, peakRssBytes < PROCESS_BYTES_MAX);
  return found;
}

export const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;
