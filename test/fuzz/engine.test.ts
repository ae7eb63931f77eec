/** The fuzzer itself: faults that were planted are found, coverage is a guide, and what is sound stays unaccused. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Coverage } from "./engine/coverage.ts";
import type { runTarget as RunTarget } from "./engine/fuzzer.ts";
import { instrument } from "./engine/instrument.ts";
import { mutate } from "./engine/mutate.ts";
import { Random } from "./engine/random.ts";
import { table, writeReport } from "./engine/report.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** Inside the repository, so that the emitted code finds its packages. */
const build = join(root, ".fuzz", "control");
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sealift-fuzzer-"));
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
  rmSync(build, { recursive: true, force: true });
});

/** Four steps deep: each is met by one byte, and only coverage tells that one has been taken. */
const DEEP = `
export function read(bytes) {
  if (bytes[0] === 115) {
    if (bytes[1] === 101) {
      if (bytes[2] === 97) {
        if (bytes[3] === 108) throw new TypeError("found");
      }
    }
  }
}
`;

async function inputsUntilFound(isGuided: boolean, inputsMax: number): Promise<number | undefined> {
  const path = join(directory, `deep-${isGuided}.mjs`);
  const { code, next } = instrument(path, DEEP, 0);
  writeFileSync(path, code);
  const { read } = (await import(pathToFileURL(path).href)) as { read: (bytes: Uint8Array) => void };
  const coverage = new Coverage(next);
  const random = new Random(7);
  const words = ["s", "e", "a", "l"].map((word) => Buffer.from(word));
  const corpus: Uint8Array[] = [Buffer.from("....")];
  for (let inputs = 1; inputs <= inputsMax; inputs++) {
    const input = mutate(random.pick(corpus), random, { words, corpus });
    coverage.start();
    try {
      read(input);
    } catch {
      return inputs;
    }
    if (coverage.isNew() && isGuided) corpus.push(input);
  }
  return undefined;
}

describe("the guide", () => {
  it("leads where chance alone does not", async () => {
    const guided = await inputsUntilFound(true, 100_000);
    expect(guided).toBeDefined();
    expect(await inputsUntilFound(false, guided ?? 0)).toBeUndefined();
  });

  it("counts every kind of branch, and changes no answer", async () => {
    const source = `
export const all = (a, b) => [a ? b : -b, a && b, a ?? b, (() => ({ a }))().a];
export function more(list) {
  let sum = 0;
  for (const one of list) if (one > 1) sum += one; else if (one < 0) sum--; else sum++;
  for (let i = 0; i < 3; i++) sum += i;
  do sum++; while (sum < 0);
  switch (sum) { case 9: return "nine"; default: sum = 0; }
  try { throw new Error("x"); } catch { return sum; }
}
export class Held { #x = 1; get x() { return this.#x || 2; } async *walk() { yield* [1, await 2]; } }
`;
    const { code, next } = instrument("source.js", source, 5);
    expect(next - 5).toBeGreaterThanOrEqual(18);
    const [plain, counted] = [join(directory, "plain.mjs"), join(directory, "counted.mjs")];
    writeFileSync(plain, source);
    writeFileSync(counted, code);
    const answers = async (path: string) => {
      const { all, more, Held } = (await import(pathToFileURL(path).href)) as {
        all: (a: unknown, b: unknown) => unknown;
        more: (list: readonly number[]) => unknown;
        Held: new () => { x: number; walk(): AsyncIterable<number> };
      };
      const held = new Held();
      const walked: number[] = [];
      for await (const one of held.walk()) walked.push(one);
      return [all(1, 2), all(null, 2), more([1, 2, -1]), more([5]), more([4, 1]), held.x, walked];
    };
    expect(await answers(counted)).toEqual(await answers(plain));
  });

  it("makes the same inputs from the same seed, and never longer ones than allowed", () => {
    const inputs = (seed: number) => {
      const random = new Random(seed);
      const corpus = [Buffer.from("<a>1</a>"), Buffer.alloc(16_384, 65)];
      const words = [Buffer.from("w")];
      return Array.from({ length: 500 }, () =>
        mutate(random.pick(corpus), random, { words, corpus }).toString("latin1"),
      );
    };
    expect(inputs(1).join() === inputs(1).join()).toBe(true);
    expect(inputs(1).join() === inputs(2).join()).toBe(false);
    expect(Math.max(...inputs(1).map(({ length }) => length))).toBeLessThanOrEqual(16_384);
  });
});

describe("the watch", () => {
  let runTarget: typeof RunTarget;

  beforeAll(async () => {
    const project = join(root, "config", "tsconfig.fuzz.json");
    const tsc = join(root, "node_modules", ".bin", "tsc");
    const done = spawnSync(tsc, ["-p", project, "--outDir", build], { encoding: "utf8" });
    expect(done.stdout + done.stderr).toBe("");
    ({ runTarget } = (await import(pathToFileURL(join(build, "test/fuzz/engine/fuzzer.js")).href)) as {
      runTarget: typeof RunTarget;
    });
  });

  const run = (target: string, forMs: number) =>
    runTarget(
      {
        targets: pathToFileURL(join(build, "test/fuzz/planted.js")).href,
        target,
        seed: 3,
        forMs,
        counters: 0,
        words: [],
        corpus: join(directory, "corpus"),
        findings: join(directory, target),
        kept: join(directory, "kept"),
        keep: false,
      },
      { busyMs: 2000, waitMs: 5000, heapMib: 64 },
    );

  it.each([
    ["crash", /TypeError: planted/],
    ["hang", /no answer/],
    ["wait", /no answer/],
    ["memory", /memory/],
  ])("finds the planted %s, and keeps the input that shows it", async (target, why) => {
    const { found } = await run(target, 60_000 / (target === "crash" ? 30 : 1));
    expect(found).toHaveLength(1);
    expect(found[0]?.why).toMatch(why);
    const [kept = ""] = readdirSync(join(directory, target));
    expect(readFileSync(join(directory, target, kept), "latin1")).toContain("__proto__");
  });

  it("accuses nothing that is sound, and counts what it tried", async () => {
    const { found, inputs } = await run("sound", 500);
    expect(found).toEqual([]);
    expect(inputs).toBeGreaterThan(0);
  });
});

describe("the report", () => {
  const tallies = [{ target: "xml", inputs: 1_234_567, corpus: 2, places: 3, findings: 0 }];
  const run = { seed: 1, minutes: 2, day: "2026-01-01", machine: "m", tallies };

  it("says what was counted, between the marks and nowhere else", () => {
    const page = join(directory, "page.md");
    writeFileSync(page, "before\n<!-- fuzz:begin -->\nold\n<!-- fuzz:end -->\nafter\n");
    writeReport(page, run);
    expect(readFileSync(page, "utf8")).toBe(`before\n<!-- fuzz:begin -->\n${table(run)}\n<!-- fuzz:end -->\nafter\n`);
    expect(table(run)).toContain("| `xml` | 1,234,567 | 2 | 3 | 0 |");
    writeFileSync(page, "no marks");
    expect(() => writeReport(page, run)).toThrow(/no place/);
  });
});
