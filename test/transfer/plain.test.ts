/** Objects that by chance begin like sealed ones, and the job that says so: they move as any plain object, and nothing else does. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { envelopesWith } from "../../src/compose/envelopes.ts";
import { rulesOf as rulesOfJob } from "../../src/compose/work.ts";
import { parseJob } from "../../src/config/job.ts";
import { asSealiftError } from "../../src/core/error.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { planSource } from "../../src/transfer/look.ts";
import { provePage } from "../../src/transfer/prove.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import type { Rules, Shores } from "../../src/transfer/shores.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { OWN } from "../envelope/esdk/vectors.ts";
import { bytesOf, collect, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, NEW, OLD, rulesOf } from "./harness.ts";
import { NEVER } from "./wayward.ts";

let ring: KeyRing;
let harbour: Harbour;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
});

const options = { verify: true, signal: NEVER };
/** As the magic of a message has it, and then nothing that a message goes on with. */
const CHANCE = Buffer.concat([Buffer.from("020478", "hex"), randomBytes(1000)]);
const named = (change: Partial<Rules> = {}) => rulesOf({ verify: "full", isPlain: () => true, ...change });

async function found(listed: ListedObject, shores: Shores, rules: Rules) {
  const copied = await copyObject(listed, shores, rules, options);
  const { verdict } = await verifyObject(listed, shores, rules, { full: true, signal: NEVER });
  const head = await shores.source.head(listed.key, NEVER);
  const page = [{ ...listed, ...(head && { head }) }];
  const proof = await provePage(page, shores, rules, { atOnce: 1, neighbours: () => "absent", signal: NEVER });
  return [copied.outcome, verdict, "receipts" in proof ? "proven" : proof.doubt];
}

describe("an object that begins like a message of the AWS Encryption SDK and is none", () => {
  it("is refused by itself, and the refusal names the way out", async () => {
    const listed = await harbour.plain("a", CHANCE);
    const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf(), options));
    expect([error.code, error.message]).toEqual(["SEAL_MALFORMED", expect.stringContaining("options.plain")]);
  });

  it("is sealed afresh where the job calls it plain, says so, and is found again", async () => {
    const listed = await harbour.plain("a", CHANCE);
    const shores = harbour.shores();
    const receipt = await copyObject(listed, shores, named(), options);
    expect(receipt).toMatchObject({ outcome: "resealed", verified: true });
    expect(receipt.notes.join()).toContain("options.plain");
    const { head, body } = await harbour.destination.inner.open("a", { signal: NEVER });
    const text = await collect(await openPlaintext(head, body, shores.envelopes, [harbour.destinationKms], NEVER));
    expect(text.equals(CHANCE)).toBe(true);
    expect(await found(listed, shores, named())).toEqual(["already", "same", "proven"]);
    expect(harbour.leaked()).toBe(0);
  });

  it("is carried as it is, and what stands there then is no broken envelope", async () => {
    const listed = await harbour.plain("a", CHANCE);
    const rules = named({ fallback: "copy" });
    expect(await copyObject(listed, harbour.shores(), rules, options)).toMatchObject({ outcome: "carried" });
    expect((await bytesOf(harbour.destination, "a")).equals(CHANCE)).toBe(true);
    expect(await found(listed, harbour.shores(), rules)).toEqual(["already", "same", "proven"]);
  });

  it("is sealed as a message itself, and that one is read as such", async () => {
    const listed = await harbour.plain("a", CHANCE);
    const rules = named({ sealWith: "esdk", sealContext: new Map() });
    expect(await copyObject(listed, harbour.shores(), rules, options)).toMatchObject({ outcome: "resealed" });
    expect(await found(listed, harbour.shores(), rules)).toEqual(["already", "same", "proven"]);
  });

  it("differs from another object of its size where the job carries it", async () => {
    const listed = await harbour.plain("a", CHANCE);
    const other = Buffer.from(CHANCE);
    other.writeUInt8(other.readUInt8(500) ^ 1, 500);
    await harbour.raw(harbour.destination, "a", other);
    const error = await errorOf(copyObject(listed, harbour.shores(), named({ fallback: "copy" }), options));
    expect(error.code).toBe("CONFLICT");
  });
});

describe("what is named and is sealed all the same", () => {
  it("by its metadata, is rewrapped", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    expect(await copyObject(listed, harbour.shores(), named({ allow: [OLD] }), options)).toMatchObject({
      outcome: "rewrapped",
    });
    expect(await found(listed, harbour.shores(), named({ allow: [OLD] }))).toEqual(["already", "same", "proven"]);
  });

  it("by a broken envelope in its metadata, is refused", async () => {
    const listed = await harbour.plain("a", CHANCE, { metadata: new Map([["x-amz-key-v2", "AAAA"]]) });
    expect((await errorOf(copyObject(listed, harbour.shores(), named(), options))).code).toBe("SEAL_MALFORMED");
  });

  it("by its first bytes alone, is sealed once more, which the plan says beforehand", async () => {
    const listed = await harbour.plain("a", Buffer.from(OWN[0]?.messageHex ?? "", "hex"));
    const plan = await planSource(listed, harbour.shores(), named(), NEVER, undefined);
    expect(plan).toMatchObject({ action: "reseal", envelope: "plain" });
    expect(plan.notes[0]).toContain("it begins like a sealed object");
  });
});

it("an object that begins like Tink's, where the job says that there are such, is plain by name as well", async () => {
  const tink = { template: "AES256_GCM", key: OLD, prefix: "RAW" } as const;
  const shores = { ...harbour.shores(), envelopes: envelopesWith({ tink }) };
  const listed = await harbour.plain("a", Buffer.concat([Buffer.of(0, 0, 0, 9), randomBytes(100)]));
  expect((await errorOf(copyObject(listed, shores, rulesOf({ allow: [OLD] }), options))).code).toBe("KMS_CANNOT_OPEN");
  const rules = named({ allow: [OLD], fallback: "copy" });
  expect(await copyObject(listed, shores, rules, options)).toMatchObject({ outcome: "carried" });
  expect(await found(listed, shores, rules)).toEqual(["already", "same", "proven"]);
  expect((await headOf(harbour.destination, "a"))?.sizeBytes).toBe(104);
});

it("a job names them by patterns, which see the key without the source's prefix", () => {
  const rules = (plain: string[]) => {
    const job = {
      apiVersion: "sealift/v1",
      kind: "Migration",
      source: { url: "s3://near/in/" },
      destination: { url: "file:///far" },
      keys: { wrapWith: NEW, localDirectory: "/keys" },
      options: { plain },
    };
    return rulesOfJob(parseJob(JSON.stringify(job), "job"), "m-0", 0);
  };
  const { isPlain } = rules(["/a", "*.bin"]);
  expect(["in/a", "in/b/a", "in/b/c.bin"].map((key) => isPlain?.(key))).toEqual([true, false, true]);
  try {
    rules(["[a]"]);
    expect.unreachable();
  } catch (error) {
    expect(asSealiftError(error).message).toContain("options.plain");
  }
});
