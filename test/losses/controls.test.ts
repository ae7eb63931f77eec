/** The controls and the oracle themselves: what they are worth if nobody looks at them. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { signal } from "../pipeline/world.ts";
import { buildWithout } from "./controls.ts";
import { findings } from "./oracle.ts";
import { inWorld } from "./world.ts";

describe("a control", () => {
  it.each([
    ["is not there", "no such guard"],
    ["is there more than once", "const"],
  ])("fails where its guard %s", async (_, find) => {
    await expect(buildWithout([{ module: "transfer/passage", find, replace: "" }])).rejects.toThrow(/^stale control/);
  });

  it("leaves nothing behind", async () => {
    const build = await buildWithout([]);
    expect(existsSync(new URL("workers/copy.js", build.url))).toBe(true);
    await build.remove();
    expect(existsSync(build.url)).toBe(false);
  });
});

describe("the oracle", { timeout: 120_000 }, () => {
  it("finds what is done behind the program's back, on either shore", async () => {
    const found = await inWorld({}, async (world) => {
      for (const key of ["kept", "removed", "replaced", "changed"]) await world.place(key);
      const mid = await world.migrate();
      expect(await findings(world, mid)).toEqual([]);
      await world.destination.remove("removed", signal);
      await world.stand("replaced");
      await world.stand("stray");
      world.standing.clear();
      await world.putS3("near", "changed", Buffer.from("something else"));
      return findings(world, mid, { kept: { outcome: "refused" } });
    });
    expect(found.map((line) => line.replace(/\(\d+\)/, "").trim()).sort((a, b) => (a < b ? -1 : 1))).toEqual([
      "changed: the source was changed",
      "kept: rewrapped, where it should have been refused",
      "removed: rewrapped, and it is not there",
      "replaced: rewrapped, and its bytes are not those of the source",
      "stray: stands at the destination without an outcome",
    ]);
  });
});
