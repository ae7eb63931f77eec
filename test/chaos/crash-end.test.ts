import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { FAILPOINTS } from "../../src/core/failpoint.ts";
import { crashes, endsOf, STEPS, stepOf } from "./crash.ts";

crashes(["finalize"], () => {
  it("a worker whose failpoint is not passed lives", async () => {
    expect(await endsOf({ list: "done.written", copy: "page.written" })).toEqual([]);
  });

  it("every failpoint is passed by a step, and is in one of these files", () => {
    const root = new URL("../../src/", import.meta.url).pathname;
    const here = new URL("./", import.meta.url).pathname;
    const read = (folder: string, suffix: RegExp) =>
      readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((name) => suffix.test(name) && !name.endsWith("core/failpoint.ts"))
        .map((name) => readFileSync(folder + name, "utf8"))
        .join("\n");
    const sources = read(root, /\.ts$/);
    expect(FAILPOINTS.filter((name) => !sources.includes(`"${name}"`))).toEqual([]);
    expect(FAILPOINTS.filter((name) => stepOf(name) === undefined)).toEqual([]);
    const files = read(here, /^crash-.*\.test\.ts$/);
    const declared = [...files.matchAll(/^crashes\(\[(.*?)\]/gm)].flatMap(
      ([, steps = ""]) => steps.match(/\w+/g) ?? [],
    );
    expect(declared.sort()).toEqual([...STEPS].sort());
  });
});
