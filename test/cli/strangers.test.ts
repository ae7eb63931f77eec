/** A directory of ordinary files given as a source: said before anything is done, and never an empty migration that went well. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLocalKey, openShores } from "../../src/compose.ts";
import { rulesOf } from "../../src/compose/work.ts";
import { parseJob } from "../../src/config/job.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { preflight } from "../../src/transfer/preflight.ts";
import { perform } from "./stage.ts";

const { signal } = new AbortController();
let home = "";
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "sealift-strangers-"));
  await createLocalKey(join(home, "keys"), "new");
  await mkdir(join(home, "near", "2026"), { recursive: true });
  for (const name of ["a.pdf", "b.pdf", "2026/c.pdf", "2026/d.pdf"]) await writeFile(join(home, "near", name), "text");
});
afterAll(() => rm(home, { recursive: true }));

const jobText = (filter: object = {}, source = "near") =>
  JSON.stringify({
    apiVersion: "sealift/v1",
    kind: "Migration",
    source: { url: `file://${join(home, source)}` },
    destination: { url: `file://${join(home, "far")}` },
    keys: { wrapWith: "local://new", localDirectory: join(home, "keys") },
    filter,
  });

async function verb(name: string, filter: object = {}) {
  const path = join(home, "job.json");
  await writeFile(path, jobText(filter), { mode: 0o600 });
  return perform([name, path]);
}

test.each(["plan", "verify"])("%s names a few of them and ends with 3", async (name) => {
  const { code, stderr } = await verb(name);
  expect(code).toBe(3);
  expect(stderr).toContain("PREFLIGHT_STRANGERS");
  expect(stderr).toMatch(/"[^"]+\.pdf", "[^"]+\.pdf", "[^"]+\.pdf" and more/);
});

test.each(["plan", "verify"])("%s takes no notice of those that the filter keeps out", async (name) => {
  const { code, stdout } = await verb(name, { exclude: ["*.pdf"] });
  expect(code).toBe(0);
  expect(stdout).not.toContain("pdf");
  const some = await verb(name, { exclude: ["2026/"] });
  expect(some.stderr).toMatch(/"[ab]\.pdf", "[ab]\.pdf" \(/);
});

test("a run stops at its preflight", async () => {
  const job = parseJob(jobText(), "job");
  const shores = await openShores(job);
  const error = await preflight(shores, rulesOf(job, "m-0", 0), signal).catch(asSealiftError);
  await shores.close();
  expect(error).toMatchObject({ code: "PREFLIGHT_STRANGERS", retry: "never" });
});

test("the destination's directory may hold what it likes", async () => {
  await mkdir(join(home, "far"), { recursive: true });
  await writeFile(join(home, "far", "README"), "notes");
  const job = parseJob(jobText({}, "empty"), "job");
  const shores = await openShores(job);
  await expect(preflight(shores, rulesOf(job, "m-0", 0), signal)).resolves.toEqual(expect.any(Array));
  await shores.close();
});
