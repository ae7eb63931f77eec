import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asSealiftError, SealiftError } from "../../src/core/error.ts";
import type { ObjectHead } from "../../src/core/object.ts";
import type { StoreTraits } from "../../src/store/store.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { destinationAttributes } from "../../src/transfer/attributes.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { planObject } from "../../src/transfer/plan.ts";
import type { Rules } from "../../src/transfer/shores.ts";
import { Harbour, headOf, type KeyRing, makeKeyRing, NEW, OLD, OTHER, rulesOf } from "./harness.ts";
import { NEVER } from "./wayward.ts";

let ring: KeyRing;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());

/** Narrow as S3 is. */
const NARROW: Partial<StoreTraits> = {
  metadataNames: "ascii-lower",
  metadataBytesMax: 2048,
  metadataNameBytesMax: 2048,
  metadataValueBytesMax: 2048,
  listsHeads: false,
};
/** Unpacks gzip and forgets Expires, as GCS does. */
const TRANSCODING: Partial<StoreTraits> = { transcodesGzip: true, keepsExpires: false, serverKeys: true };

const nothing = new Uint8Array(0);

async function planOf(
  harbour: Harbour,
  key: string,
  change: Partial<Rules> = {},
  headChange: Partial<ObjectHead> = {},
) {
  const head = await headOf(harbour.source, key);
  if (!head) throw new Error("no such object");
  return planObject({ ...head, ...headChange }, nothing, harbour.shores(), rulesOf(change)).plan;
}

describe("the plan for a sealed object", () => {
  it("is to rewrap it, and names format, algorithm, wrap and keys", async () => {
    const harbour = new Harbour(ring);
    await harbour.sealed("a", Buffer.from("text"), s3ecV2);
    expect(await planOf(harbour, "a")).toMatchObject({
      action: "rewrap",
      envelope: "s3ec-v2",
      content: "AES/GCM/NoPadding",
      wrap: "local-kms+context",
      wrappedBy: OLD,
      wrapWith: NEW,
    });
    expect(harbour.sourceKms.calls).toEqual([]);
  });

  it("is to carry it where its key is wrapped as it should be", async () => {
    const harbour = new Harbour(ring);
    await harbour.sealed("a", Buffer.from("text"));
    expect(await planOf(harbour, "a", { wrapWith: OLD })).toMatchObject({ action: "carry", wrappedBy: OLD });
  });

  it("is to refuse what a KMS would not be asked to open", async () => {
    const harbour = new Harbour(ring);
    await harbour.sealed("a", Buffer.from("text"));
    const context = await planOf(harbour, "a", { requireContext: new Map([["tenant", "x"]]) });
    expect(context).toMatchObject({ action: "refuse", code: "KEY_CONTEXT", envelope: "s3ec-v3" });
    expect(await planOf(harbour, "a", { allow: [OTHER] })).toMatchObject({
      action: "refuse",
      code: "KMS_KEY_NOT_ALLOWED",
    });
    expect(await planOf(harbour, "a", { allow: [OTHER, OLD] })).toMatchObject({ action: "rewrap" });
  });

  it("is to refuse a broken, a mixed and a foreign envelope, never to take it for plain", async () => {
    const harbour = new Harbour(ring);
    const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV2);
    const whole = (await headOf(harbour.source, "a"))?.attributes.metadata ?? new Map<string, string>();
    for (const name of whole.keys()) {
      // Optional, or empty by right: without its context the key does not open, which is the KMS's to say.
      if (name === "x-amz-tag-len" || name === "x-amz-matdesc") continue;
      const metadata = new Map(whole);
      metadata.delete(name);
      const plan = await planOf(harbour, "a", {}, { attributes: { metadata } });
      expect([name, plan.action, plan.code]).toEqual([name, "refuse", expect.stringMatching(/^SEAL_/)]);
    }
    const mixed = new Map([...whole, ["x-amz-3", "AAAA"]]);
    expect(await planOf(harbour, "a", {}, { attributes: { metadata: mixed } })).toMatchObject({
      code: "SEAL_MALFORMED",
    });
    const foreign = new Map([["client-side-encryption-key", "AAAA"]]);
    const plan = await planOf(harbour, "a", { fallback: "copy" }, { attributes: { metadata: foreign } });
    expect(plan).toMatchObject({ action: "refuse", code: "SEAL_UNSUPPORTED" });
    expect(listed.key).toBe("a");
  });

  it("is to refuse what two formats claim and what none does", async () => {
    const harbour = new Harbour(ring);
    await harbour.sealed("a", Buffer.from("text"), s3ecV2);
    const head = await headOf(harbour.source, "a");
    if (!head) throw new Error("no such object");
    const twin = { ...s3ecV2, id: "twin" };
    const two = planObject(head, nothing, { ...harbour.shores(), envelopes: [s3ecV2, twin] }, rulesOf());
    expect(two).toMatchObject({ plan: { action: "refuse", code: "SEAL_MALFORMED" } });
    const none = planObject(head, nothing, { ...harbour.shores(), envelopes: [] }, rulesOf());
    expect(none).toMatchObject({ plan: { action: "refuse", code: "SEAL_UNSUPPORTED" } });
    expect([two.move, none.move]).toEqual([undefined, undefined]);
  });
});

describe("the plan for an object without an envelope", () => {
  const cases = [
    ["seal", { action: "reseal", wrapWith: NEW }],
    ["copy", { action: "carry", wrapWith: undefined }],
    ["server", { action: "carry", wrapWith: undefined }],
    ["refuse", { action: "refuse", code: "REFUSED_FALLBACK" }],
  ] as const;
  for (const [fallback, expected] of cases) {
    it(`follows fallback: ${fallback}`, async () => {
      const harbour = new Harbour(ring);
      await harbour.plain("p", Buffer.from("text"));
      expect(await planOf(harbour, "p", { fallback })).toMatchObject({ envelope: "plain", ...expected });
    });
  }

  it("needs provider-side keys for fallback: server", async () => {
    const harbour = new Harbour(ring, { destination: { traits: { serverKeys: false } } });
    await harbour.plain("p", Buffer.from("text"));
    expect(await planOf(harbour, "p", { fallback: "server" })).toMatchObject({ code: "REFUSED_FALLBACK" });
  });
});

describe("limits of the destination", () => {
  it("on metadata are met before a byte moves", async () => {
    const harbour = new Harbour(ring, { destination: { traits: NARROW } });
    const cases: [string, Map<string, string>][] = [
      ["sum", new Map([["note", "x".repeat(1800)]])],
      ["capitals", new Map([["Author", "Zoë"]])],
      ["not ASCII", new Map([["größe", "1"]])],
      ["space", new Map([["a b", "1"]])],
    ];
    for (const [name, metadata] of cases) {
      await harbour.sealed("a", Buffer.from("text"), s3ecV2, { attributes: { metadata } });
      expect([name, (await planOf(harbour, "a")).code]).toEqual([name, "METADATA_UNFIT"]);
    }
    const fits = { metadata: new Map([["note", "x".repeat(900)]]) };
    await harbour.sealed("a", Buffer.from("text"), s3ecV2, { attributes: fits });
    expect(await planOf(harbour, "a")).toMatchObject({ action: "rewrap" });
  });

  it("on metadata are met once more when the wrapped key is there, before the put", async () => {
    const harbour = new Harbour(ring, { destination: { traits: NARROW } });
    let late = 0;
    for (let sizeBytes = 1000; sizeBytes < 2000; sizeBytes += 8) {
      const attributes = { metadata: new Map([["note", "x".repeat(sizeBytes)]]) };
      const listed = await harbour.sealed(`a${sizeBytes}`, Buffer.from("text"), s3ecV2, { attributes });
      if ((await planOf(harbour, listed.key)).action === "refuse") break;
      const error = await copyObject(listed, harbour.shores(), rulesOf(), { verify: false, signal: NEVER }).catch(
        asSealiftError,
      );
      if (!(error instanceof SealiftError)) continue;
      expect(error.code).toBe("METADATA_UNFIT");
      expect(harbour.destination.calls).not.toContain(`put ${listed.key}`);
      late++;
    }
    expect(late).toBeGreaterThan(0);
    expect(harbour.leaked()).toBe(0);
    expect(harbour.source.openBodies).toBe(0);
  });

  it("a name that the envelope needs too is nobody's to lose", () => {
    const source = { metadata: new Map([["x-amz-d", "the user's"]]) };
    const beside = { owns: [], envelope: new Map([["x-amz-d", "ours"]]), sealed: true, stamp: new Map() };
    const { traits } = new Harbour(ring).destination;
    expect(() => destinationAttributes(source, beside, traits)).toThrow(/also the envelope's/);
    expect(destinationAttributes(source, { ...beside, owns: ["x-amz-d"] }, traits).metadata.get("x-amz-d")).toBe(
      "ours",
    );
  });

  it("on single names and values are met too", async () => {
    const traits = { metadataNameBytesMax: 30, metadataValueBytesMax: 600 };
    const harbour = new Harbour(ring, { destination: { traits } });
    await harbour.plain("n", Buffer.from("text"), { metadata: new Map([["n".repeat(31), "1"]]) });
    await harbour.plain("v", Buffer.from("text"), { metadata: new Map([["v", "ä".repeat(301)]]) });
    expect(await planOf(harbour, "n")).toMatchObject({ code: "METADATA_UNFIT" });
    expect(await planOf(harbour, "v")).toMatchObject({ code: "METADATA_UNFIT" });
  });

  it("on size count what sealing adds", async () => {
    const harbour = new Harbour(ring, { destination: { traits: { objectBytesMax: 100 } } });
    await harbour.plain("p84", Buffer.alloc(84));
    await harbour.plain("p85", Buffer.alloc(85));
    expect(await planOf(harbour, "p84")).toMatchObject({ action: "reseal" });
    expect(await planOf(harbour, "p85")).toMatchObject({ code: "TOO_LARGE" });
    expect(await planOf(harbour, "p85", { fallback: "copy" })).toMatchObject({ action: "carry" });
  });

  it("of the format are met in the plan, not after 64 GiB", async () => {
    const harbour = new Harbour(ring, { destination: { traits: { objectBytesMax: 5 * 1024 ** 4 } } });
    await harbour.plain("p", Buffer.from("text"));
    expect(await planOf(harbour, "p", {}, { sizeBytes: 2 ** 36 })).toMatchObject({ code: "TOO_LARGE" });
  });

  it("on names are met with the destination's prefix", async () => {
    const harbour = new Harbour(ring, { destination: { traits: { keyBytesMax: 10 } } });
    await harbour.plain("in/ä4567890", Buffer.from("text"));
    const head = await headOf(harbour.source, "in/ä4567890");
    if (!head) throw new Error("no such object");
    const plan = (prefix: string) =>
      planObject(head, nothing, harbour.shores({ source: "in/", destination: prefix }), rulesOf()).plan;
    expect(plan("")).toMatchObject({ action: "reseal" });
    expect(plan("12")).toMatchObject({ action: "refuse", code: "NAME_UNFIT" });
    const marker = planObject({ ...head, key: "in/" }, nothing, harbour.shores({ source: "in/" }), rulesOf());
    expect(marker.plan).toMatchObject({ code: "NAME_UNFIT" });
  });
});

describe("Content-Encoding and Expires", () => {
  const attributes = { contentEncoding: "gzip", expires: "Thu, 01 Dec 1994 16:00:00 GMT" };

  it("of ciphertext are remembered where they would do harm, and are headers again on the way back", async () => {
    const there = new Harbour(ring, { destination: { traits: TRANSCODING } });
    const listed = await there.sealed("a", Buffer.from("text"), s3ecV2, { attributes });
    await copyObject(listed, there.shores(), rulesOf(), { verify: true, signal: NEVER });
    const head = await headOf(there.destination, "a");
    expect(head?.attributes.contentEncoding).toBeUndefined();
    expect(head?.attributes.expires).toBeUndefined();
    expect(head?.attributes.metadata.get("sealift-content-encoding")).toBe("gzip");
    expect(head?.attributes.metadata.get("sealift-expires")).toBe(attributes.expires);

    const back = { ...there.shores(), source: there.destination, destination: new Harbour(ring).destination };
    const onward = { ...rulesOf({ wrapWith: OLD }) };
    if (!head) throw new Error("it did not arrive");
    await copyObject(head, back, onward, { verify: true, signal: NEVER });
    const returned = await back.destination.head("a", NEVER);
    expect(returned?.attributes).toMatchObject(attributes);
    expect([...(returned?.attributes.metadata.keys() ?? [])].filter((name) => /expires|encoding/.test(name))).toEqual(
      [],
    );
  });

  it("stay remembered from one such store to the next", async () => {
    const harbour = new Harbour(ring, { destination: { traits: TRANSCODING } });
    const metadata = new Map([["sealift-content-encoding", "gzip"]]);
    const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV2, { attributes: { metadata } });
    await copyObject(listed, harbour.shores(), rulesOf(), { verify: true, signal: NEVER });
    const found = (await headOf(harbour.destination, "a"))?.attributes;
    expect([found?.contentEncoding, found?.metadata.get("sealift-content-encoding")]).toEqual([undefined, "gzip"]);
  });

  it("of bytes that are gzip indeed stay as they are", async () => {
    const harbour = new Harbour(ring, { destination: { traits: { ...TRANSCODING, keepsExpires: true } } });
    const listed = await harbour.plain("p", Buffer.from("text"), attributes);
    await copyObject(listed, harbour.shores(), rulesOf({ fallback: "copy" }), { verify: true, signal: NEVER });
    expect((await headOf(harbour.destination, "p"))?.attributes).toMatchObject(attributes);
  });
});
