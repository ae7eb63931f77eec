/**
 * Every parser of outside bytes against made-up input: it answers, or throws a SealiftError with a code of the table that is not
 * INTERNAL. `npm run fuzz` does the same with coverage as its guide and for as long as one likes; what it kept is replayed here.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { SealiftError } from "../../src/core/error.ts";
import { hostileJson, hostileText } from "./hostile.ts";
import { split } from "./input.ts";
import { breach, Broken, holds, judged, type Target } from "./target.ts";
import { TARGETS } from "./targets/all.ts";

/** Sockets, files and Redis take their time. */
const SLOW = new Set([
  "s3-driver",
  "gcs-driver",
  "aws-kms-driver",
  "gcp-kms-driver",
  "lua",
  "window",
  "ledger-whole",
  "job-file",
  "file-head",
  "local-key-file",
]); // prettier-ignore

const corpus = new URL("./corpus/", import.meta.url).pathname;
const kept = (target: Target): Buffer[] => {
  const folder = join(corpus, target.name);
  return existsSync(folder) ? readdirSync(folder).map((name) => readFileSync(join(folder, name))) : [];
};

const textsOf = ({ seeds }: Target): string[] => seeds.map((seed) => Buffer.from(seed as string).toString("utf8"));

/** Some inputs are a line and then JSON. */
function jsonOf(text: string): { before: string; json: string } | undefined {
  for (const before of ["", `${split(text, "\n")[0]}\n`]) {
    try {
      if (typeof JSON.parse(text.slice(before.length)) === "object") return { before, json: text.slice(before.length) };
    } catch {
      // no JSON there
    }
  }
  return undefined;
}

async function check(target: Target, bytes: Uint8Array): Promise<void> {
  const found = await judged(target, bytes);
  if (found !== undefined) throw found;
}

describe.each(TARGETS.map((target) => [target.name, target] as const))("%s", (name, target) => {
  const numRuns = SLOW.has(name) ? 25 : 150;

  afterAll(async () => target.close?.());

  it("reads what is whole", async () => {
    expect(target.seeds.length).toBeGreaterThan(0);
    for (const seed of target.seeds) await check(target, Buffer.from(seed as string));
  });

  it("answers hostile text with a named code", async () => {
    await fc.assert(
      fc.asyncProperty(hostileText(textsOf(target)), (text) => check(target, Buffer.from(text))),
      { numRuns },
    );
  });

  it("answers any bytes with a named code", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), (bytes) => check(target, bytes)),
      { numRuns: numRuns / 5 },
    );
  });

  it("answers what the fuzzer kept as it did then", async () => {
    for (const input of kept(target)) await check(target, input);
  });

  const records = textsOf(target).flatMap((text) => jsonOf(text) ?? []);
  // Formats that are no JSON have no fields.
  if (records.length === 0) return;
  it("answers records with fields dropped, retyped, repeated and added with a named code", async () => {
    const arbitrary = fc
      .nat(records.length - 1)
      .chain((at) => hostileJson([records[at]?.json ?? ""]).map((json) => (records[at]?.before ?? "") + json));
    await fc.assert(
      fc.asyncProperty(arbitrary, (text) => check(target, Buffer.from(text))),
      { numRuns },
    );
  });
});

describe("the contract", () => {
  const target: Target = { name: "t", seeds: [""], run: () => {} };

  it.each([
    ["a stranger's error", new TypeError("x is undefined")],
    ["a thrown text", "text"],
    ["INTERNAL", new SealiftError("INTERNAL", "defect")],
    ["a defect that was renamed", new SealiftError("LIST_BROKEN", "page", { cause: new TypeError("x is undefined") })],
    ["a property that does not hold", new Broken("it does not")],
  ])("is broken by %s", (_, thrown) => expect(breach(thrown, target)).toBeDefined());

  it("is kept by an error of the table, and by what the target names", () => {
    expect(breach(new SealiftError("LIST_BROKEN", "page"), target)).toBeUndefined();
    expect(breach("text", { ...target, named: (thrown) => thrown === "text" })).toBeUndefined();
  });

  it("is judged where the target runs, at once or later", async () => {
    const fails = { ...target, run: () => holds(false, "no") };
    const failsLater = { ...target, run: async () => holds(false, "no") };
    expect((await judged(fails, Buffer.alloc(0)))?.message).toBe("no");
    expect((await judged(failsLater, Buffer.alloc(0)))?.message).toBe("no");
    expect(await judged(target, Buffer.alloc(0))).toBeUndefined();
  });

  it("has inputs kept for every target", () => {
    expect(TARGETS.filter((one) => kept(one).length === 0).map(({ name }) => name)).toEqual([]);
  });
});
