/**
 * The simulation in small: 300,000 objects through real processes, Redis and ledger, under the same bounds as 100 million
 * (`npm run bench:scale -- --objects 100m`, which writes docs/scale.svg and its section of docs/benchmarks.md).
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { broken, PROCESS_BYTES_MAX, REDIS_BYTES_MAX } from "./scale/bounds.ts";
import { plot } from "./scale/plot.ts";
import { sectionOf } from "./scale/report.ts";
import type { Run } from "./scale/simulate.ts";

const OBJECTS = 300_000;
const root = fileURLToPath(new URL("../..", import.meta.url));
const node = (...args: string[]) =>
  promisify(execFile)(process.execPath, args, { cwd: root, maxBuffer: 16 * 1024 ** 2 });

let run: Run;
beforeAll(async () => {
  await node("node_modules/typescript/bin/tsc", "-p", "config/tsconfig.bench.json");
  const main = "dist/test/bench/scale/main.js";
  // Exits with 1 where a bound does not hold, and then this throws with what it said.
  const { stdout } = await node(main, "--objects", String(OBJECTS), "--dry");
  const { samples, ...rest } = JSON.parse(stdout) as Omit<Run, "samples"> & { samples: number };
  expect(samples).toBeGreaterThan(1);
  const sample = { redisBytes: 1, redisKeys: 1, pagesOutstanding: 1, handled: 1, rssBytes: { "copy worker 2": 1e8 } };
  run = { ...rest, samples: [0, 1, 2].map((seconds) => ({ ...sample, seconds })) };
}, 600_000);

describe("a simulated migration", () => {
  it("is whole by its ledger, and within every bound", () => {
    expect(broken(run)).toEqual([]);
    expect(run.result).toMatchObject({ state: "Completed", listed: OBJECTS });
    expect(run.result.counts).toMatchObject({ rewrapped: OBJECTS / 1000, carried: OBJECTS - OBJECTS / 1000 });
    expect(run.questions.map(({ question }) => question)).toEqual(["rebuild", "status", "report", "audit"]);
  });

  it("names each bound that is not held", () => {
    const { result } = run;
    const [process] = run.processes;
    const lost = { ...result, listed: OBJECTS - 1, counts: { ...result.counts, carried: result.counts.carried - 1 } };
    expect(broken({ ...run, result: lost })).toHaveLength(3);
    expect(broken({ ...run, result: { ...result, state: "CompletedWithErrors" } })).toHaveLength(1);
    expect(broken({ ...run, redisPeakBytes: REDIS_BYTES_MAX })).toHaveLength(1);
    const fat = { name: "fat", cpuSeconds: 1, rssBytes: PROCESS_BYTES_MAX };
    expect(broken({ ...run, processes: process ? [process, fat] : [fat] })).toEqual(["fat took 300.0 MiB"]);
    const question = { question: "audit", seconds: 1, peakRssBytes: PROCESS_BYTES_MAX };
    expect(broken({ ...run, questions: [question] })).toHaveLength(1);
  });

  it("is drawn and told from its own numbers", () => {
    const drawing = plot(run);
    expect(drawing.match(/<path/g)?.length).toBe(4 + 1 + run.processes.length);
    expect(drawing).not.toMatch(/NaN|undefined/);
    const section = sectionOf(run);
    expect(section).toContain("| listed, by the ledger's own audit | 300,000 | 300,000 |");
    expect(section).toContain("--objects 300k");
    expect(section).not.toMatch(/NaN|undefined/);
  });
});
