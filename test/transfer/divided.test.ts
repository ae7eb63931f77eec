/** Bodies whose envelope lies in a neighbouring object: never taken for plain, never sealed over. */
import { describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { plain } from "../../src/envelope/plain.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { neighboursIn } from "../../src/transfer/divided.ts";
import { planSource } from "../../src/transfer/look.ts";
import { copyPage } from "../../src/transfer/page.ts";
import { once, rulesOf } from "./harness.ts";
import { NEVER, WaywardStore } from "./wayward.ts";

async function world(keys: readonly string[]) {
  const source = new WaywardStore();
  const body = Buffer.alloc(48, 7);
  for (const key of keys) {
    const put = {
      sizeBytes: 48,
      attributes: { metadata: new Map<string, string>() },
      condition: "any" as const,
      signal: NEVER,
    };
    await source.put(key, once(body), put);
  }
  const listed: ListedObject[] = [];
  for await (const page of source.list("", {}, NEVER)) listed.push(...page.objects);
  const destination = new WaywardStore();
  const shores = {
    source,
    destination,
    sourcePrefix: "",
    destinationPrefix: "",
    sourceKms: [],
    destinationKms: [],
    envelopes: [s3ecV2, s3ecV3, plain],
    close: async () => undefined,
  };
  source.calls.length = 0;
  return { shores, listed, source, destination };
}

const rules = rulesOf({ fallback: "copy" });

describe("instruction files", () => {
  it("a body with an instruction file beside it is refused, and the file too; other objects move", async () => {
    const { shores, listed, destination } = await world(["a", "a.instruction", "b", "c"]);
    const receipts = await copyPage(listed, {}, shores, rules, { objects: new Budget(4), signal: NEVER });
    expect(receipts.map(({ key, outcome, code }) => [key, outcome, code])).toEqual([
      ["a", "refused", "SEAL_UNSUPPORTED"],
      ["a.instruction", "refused", "SEAL_UNSUPPORTED"],
      ["b", "carried", undefined],
      ["c", "carried", undefined],
    ]);
    expect(await destination.head("a", NEVER)).toBeUndefined();
  });

  it("a file on the next page is asked for; what the listing has answered is not", async () => {
    const { shores, listed, source } = await world(["a", "b", "b.instruction"]);
    const page = listed.slice(0, 2);
    const receipts = await copyPage(page, {}, shores, rules, { objects: new Budget(4), signal: NEVER });
    expect(receipts.map(({ outcome }) => outcome)).toEqual(["carried", "refused"]);
    expect(source.calls.filter((call) => call.startsWith("head"))).toEqual(["head b.instruction"]);
  });

  it("plan says the same", async () => {
    const { shores, listed } = await world(["a", "a.instruction", "b"]);
    const plans = await Promise.all(listed.map((one) => planSource(one, shores, rules, NEVER, neighboursIn(listed))));
    expect(plans.map(({ action }) => action)).toEqual(["refuse", "refuse", "carry"]);
  });
});
