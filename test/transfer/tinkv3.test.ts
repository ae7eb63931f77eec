/** `options.tinkFromV3`: bodies of S3EC V3 in Tink envelopes, unchanged, under the key that V3 derives; asked for, or refused. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { envelopesWith } from "../../src/compose/envelopes.ts";
import { parseJob } from "../../src/config/job.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { DataKey } from "../../src/core/key.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { planSource } from "../../src/transfer/look.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { RewrappedKeys } from "../../src/transfer/rewrapped.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { openTinkEnvelope, wrappedKeyIn } from "../envelope/tinkreader.ts";
import {
  bytesOf,
  collect,
  errorOf,
  Harbour,
  headOf,
  type KeyRing,
  makeKeyRing,
  NEW,
  OLD,
  OTHER,
  rulesOf,
} from "./harness.ts";
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

const plaintext = randomBytes(5000);
const VERIFIED = { verify: true, signal: NEVER };
const rules = rulesOf({ allow: [OLD], envelope: "tink", verify: "full" });
const shores = (formats: Parameters<typeof envelopesWith>[0] = { tinkFromV3: true }) => ({
  ...harbour.shores(),
  rewrapped: new RewrappedKeys(),
  envelopes: envelopesWith(formats),
});

async function asTinkReads(key: string, associatedData: string): Promise<Buffer> {
  const object = await bytesOf(harbour.destination, key);
  const wrapped = { scheme: "local", uri: NEW, bytes: wrappedKeyIn(object) } as const;
  const unwrapped = await ring.kms.unwrap(wrapped, new Map(), NEVER, "none");
  return openTinkEnvelope(object, unwrapped?.dataKey.reveal() ?? Buffer.alloc(0), associatedData);
}

describe("an object of V3", () => {
  it("is refused by itself, and the refusal names the option", async () => {
    const listed = await harbour.sealed("a", plaintext);
    const error = await errorOf(copyObject(listed, shores({}), rules, VERIFIED));
    expect([error.code, error.message]).toEqual(["SEAL_UNSUPPORTED", expect.stringContaining("options.tinkFromV3")]);
  });

  it("becomes Tink's where it is asked for, its body untouched, and opens with its suite as associated data only", async () => {
    const listed = await harbour.sealed("a", plaintext);
    const receipt = await copyObject(listed, shores(), rules, VERIFIED);
    expect(receipt).toMatchObject({ outcome: "rewrapped", verified: true, advisories: ["uncommitted"] });
    expect(receipt.notes.join()).toMatch(/00 73.*commitment is lost.*no way back/);
    const body = await bytesOf(harbour.source, "a");
    expect((await bytesOf(harbour.destination, "a")).subarray(-body.length).equals(body)).toBe(true);
    expect((await asTinkReads("a", "\u0000s")).equals(plaintext)).toBe(true);
    await expect(asTinkReads("a", "")).rejects.toThrow();
    expect((await headOf(harbour.destination, "a"))?.attributes.metadata.get("sealift-tink")).toBe("AES_GCM/RAW/0073");
    expect(harbour.leaked()).toBe(0);
  });

  it("is found again, compared, read by sealift without being told anything, and moved on as Tink's", async () => {
    const listed = await harbour.sealed("a", plaintext);
    await copyObject(listed, shores(), rules, VERIFIED);
    expect(await copyObject(listed, shores(), rules, VERIFIED)).toMatchObject({ outcome: "already", verified: true });
    expect(await verifyObject(listed, shores(), rules, { full: true, signal: NEVER })).toMatchObject({
      verdict: "same",
      opened: true,
    });
    const { head, body } = await harbour.destination.inner.open("a", { signal: NEVER });
    const text = await collect(await openPlaintext(head, body, envelopesWith({}), [ring.kms], NEVER));
    expect(text.equals(plaintext)).toBe(true);
    const onward = { ...shores({}), source: harbour.destination, destination: new Harbour(ring).destination };
    const further = rulesOf({ wrapWith: OTHER, allow: [NEW], envelope: "tink", migration: "m-2" });
    expect(await copyObject(head, onward, further, VERIFIED)).toMatchObject({ outcome: "rewrapped", verified: true });
    expect(await verifyObject(head, onward, further, { full: true, signal: NEVER })).toMatchObject({ opened: true });
  });

  it("is planned as a rewrap that says what it costs", async () => {
    const listed = await harbour.sealed("a", plaintext);
    const plan = await planSource(listed, shores(), rules, NEVER, undefined);
    expect(plan).toMatchObject({ action: "rewrap", envelope: "s3ec-v3", advisories: ["uncommitted"] });
    expect(plan.notes.join()).toContain("its key commitment is lost");
    expect(plan.notes.join()).toContain('"tenant"');
  });

  it("has no way back: neither to V2, nor to what it was", async () => {
    const listed = await harbour.sealed("a", plaintext);
    await copyObject(listed, shores(), rules, VERIFIED);
    const head = await headOf(harbour.destination, "a");
    if (!head) throw new Error("it did not arrive");
    const back = { ...shores({}), source: harbour.destination, destination: new Harbour(ring).destination };
    const error = await errorOf(copyObject(head, back, rulesOf({ allow: [NEW], envelope: "s3ec-v2" }), VERIFIED));
    expect([error.code, error.message]).toEqual(["SEAL_UNSUPPORTED", expect.stringContaining("associated data")]);
  });

  it("whose key is not the one that it commits to is forged, and nothing arrives", async () => {
    const listed = await harbour.sealed("a", plaintext);
    const head = await headOf(harbour.source, "a");
    const seal = head && s3ecV3.read(head, new Uint8Array());
    if (!seal) throw new Error("not recognised");
    const strange = new DataKey(randomBytes(32));
    const { bytes } = await ring.kms.wrap(OLD, strange, seal.context, NEVER);
    const metadata = new Map(head.attributes.metadata).set("x-amz-3", Buffer.from(bytes).toString("base64"));
    const swapped = await harbour.raw(harbour.source, listed.key, await bytesOf(harbour.source, "a"), { metadata });
    expect((await errorOf(copyObject(swapped, shores(), rules, VERIFIED))).code).toBe("SEAL_FORGED");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
    expect(harbour.leaked()).toBe(0);
  });
});

it("a mark with other associated data than that is malformed", async () => {
  const listed = await harbour.sealed("a", plaintext);
  await copyObject(listed, shores(), rules, VERIFIED);
  const head = await headOf(harbour.destination, "a");
  for (const mark of ["AES_GCM/RAW/0074", "AES_GCM/RAW/", "AES256_GCM_SIV/RAW/0073", "AES_GCM/RAW/0073/0073"]) {
    const metadata = new Map(head?.attributes.metadata).set("sealift-tink", mark);
    const marked = await harbour.raw(harbour.source, "b", await bytesOf(harbour.destination, "a"), { metadata });
    const error = await errorOf(copyObject(marked, shores(), rulesOf({ allow: [NEW], wrapWith: OTHER }), VERIFIED));
    expect(error.code, mark).toBe("SEAL_MALFORMED");
  }
});

it("a job asks for it beside envelope: tink, and nowhere else", () => {
  const job = (options: object) => {
    const keys = { wrapWith: NEW, localDirectory: "/keys" };
    const sides = { source: { url: "file:///near" }, destination: { url: "file:///far" } };
    return parseJob(JSON.stringify({ apiVersion: "sealift/v1", kind: "Migration", ...sides, keys, options }), "job");
  };
  expect(job({ envelope: "tink", tinkFromV3: true }).options.tinkFromV3).toBe(true);
  try {
    job({ tinkFromV3: true });
    expect.unreachable();
  } catch (error) {
    expect(asSealiftError(error).message).toContain("options.tinkFromV3");
  }
});
