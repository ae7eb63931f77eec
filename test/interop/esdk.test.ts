/**
 * Messages of the AWS Encryption SDK, moved. Where a message gets a new header, official clients open it under the new key of AWS KMS;
 * where its key comes to stand beside it, it is the same message, and they open it as before.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bench, catComplaints, complaints, type Message, nothingOf, openBench } from "./bench.ts";
import { get } from "./crossing.ts";
import { checkTable } from "./table.ts";

const why = nothingOf("esdk", "esdk");
/** Of the suites offered, the one that gets a new header unasked: neither signed nor key-committing. */
const PLAIN = "0178";
/** The one that gets it where the job says so. */
const COMMITTING = "0478";

describe.skipIf(why !== undefined)(`AWS Encryption SDK (${why ?? "carried"})`, { timeout: 120_000 }, () => {
  let bench: Bench;
  const some = (isIt: (message: Message) => boolean) => bench.messages.filter(isIt);

  beforeAll(async () => {
    bench = await openBench("esdk", ["kms", "aes", "rsa"], { tenant: "acme" });
    const { world } = bench;
    await world.sealift("near", "beyond");
    await world.sealift("near", "far");
    const inPlace = { from: `esdk/${COMMITTING}/`, to: `in-place/${COMMITTING}/`, options: { esdk: "in-place" } };
    await world.sealift("near", "beyond", inPlace);
    await world.sealift("far", "back");
  }, 180_000);
  afterAll(async () => bench?.close());

  it.each(["beyond", "back"] as const)(
    "with a new header is opened by official clients under the key of %s",
    async (place) => {
      const { world } = bench;
      const messages = some(({ variant }) => variant === PLAIN);
      expect(messages.length).toBeGreaterThan(0);
      world.awsKms.disable(world.keys.near);
      for (const one of messages) {
        const as = { wrap: "kms", kmsKey: world.keys[place] } as const;
        const called = { as: `\`${PLAIN}\`, in its header` };
        expect(await complaints(bench, place, one.sample.key, { ...one, called }, as)).toEqual([]);
      }
      world.awsKms.enable(world.keys.near);
    },
  );

  it("with a new header, under a key-committing suite, because the job said so, is opened likewise", async () => {
    const { world } = bench;
    const messages = some(({ variant }) => variant === COMMITTING);
    expect(messages.length).toBeGreaterThan(0);
    world.awsKms.disable(world.keys.near);
    for (const one of messages) {
      const key = one.sample.key.replace(/^esdk/, "in-place");
      const as = { wrap: "kms", kmsKey: world.keys.beyond } as const;
      const called = { as: `\`${COMMITTING}\`, in its header (\`esdk: in-place\`)` };
      expect(await complaints(bench, "beyond", key, { ...one, called }, as)).toEqual([]);
    }
    world.awsKms.enable(world.keys.near);
  });

  it.each(["beyond", "far", "back"] as const)("with its key beside it is the same message at %s", async (place) => {
    const { world } = bench;
    const messages = some(({ variant }) => variant !== PLAIN);
    expect(messages.length).toBeGreaterThan(0);
    for (const one of messages) {
      const { key } = one.sample;
      const [before, after] = [await get(world, "near", key), await get(world, place, key)];
      expect([key, after.bytes.equals(before.bytes)]).toEqual([key, true]);
      if (place !== "back") continue;
      const as = { wrap: one.wrap, kmsKey: world.keys.near };
      const called = { as: `\`${one.variant}\`, beside it; read by its old key` };
      expect(await complaints(bench, place, key, { ...one, called }, as)).toEqual([]);
    }
  });

  it("is what docs/formats.md has", () => checkTable("esdk", bench.seen, bench.versions));

  it("is opened by sealift under Google's key", async () => {
    for (const one of bench.messages) expect(await catComplaints(bench, one.sample.key, one)).toEqual([]);
  });
});
