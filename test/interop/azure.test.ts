/** Azure's client-side encryption, moved: Azure's client opens what arrived, once it is given a key that asks the new key service. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bench, catComplaints, complaints, nothingOf, openBench } from "./bench.ts";
import { checkTable } from "./table.ts";

const why = nothingOf("azure");

describe.skipIf(why !== undefined)(`Azure client-side encryption (${why ?? "carried"})`, { timeout: 120_000 }, () => {
  let bench: Bench;

  beforeAll(async () => {
    bench = await openBench("azure", ["aes", "rsa"], {});
    const { world } = bench;
    await world.sealift("near", "beyond");
    await world.sealift("near", "far");
    world.awsKms.disable(world.keys.near);
    await world.sealift("far", "back");
  }, 120_000);
  afterAll(async () => bench?.close());

  it.each([
    ["beyond", "kms"],
    ["far", "gcp"],
    ["back", "kms"],
  ] as const)("is opened by Azure's client at %s", async (place, wrap) => {
    const { world, messages } = bench;
    expect(messages.length).toBeGreaterThan(0);
    for (const one of messages) {
      const as = { wrap, kmsKey: world.keys[place] };
      expect(await complaints(bench, place, one.sample.key, one, as)).toEqual([]);
    }
  });

  it("is what docs/formats.md has", () => checkTable("azure", bench.seen, bench.versions));

  it("is opened by sealift under Google's key", async () => {
    for (const one of bench.messages) expect(await catComplaints(bench, one.sample.key, one)).toEqual([]);
  });

  it("is not opened under the key it had", async () => {
    for (const one of bench.messages) {
      const wrong = await complaints(bench, "beyond", one.sample.key, one, { wrap: one.wrap, kmsKey: "" });
      expect(wrong).toHaveLength(bench.libraries.length);
    }
  });
});
