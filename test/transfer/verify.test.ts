import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ListedObject } from "../../src/core/object.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { bytesOf, collect, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, rulesOf } from "./harness.ts";
import { failing, NEVER } from "./wayward.ts";

let ring: KeyRing;
let harbour: Harbour;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
});

const verify = (listed: ListedObject, full = false, change = {}) =>
  verifyObject(listed, harbour.shores(), rulesOf(change), { full, signal: NEVER, random: () => 0 });
const copy = (listed: ListedObject, change = {}) =>
  copyObject(listed, harbour.shores(), rulesOf(change), { verify: false, signal: NEVER });

const kinds = {
  "s3ec-v2": { make: () => harbour.sealed("a", randomBytes(70_000), s3ecV2), verified: true },
  "s3ec-v3": { make: () => harbour.sealed("a", randomBytes(70_000), s3ecV3), verified: true },
  resealed: { make: () => harbour.plain("a", randomBytes(70_000)), verified: true },
  carried: { make: () => harbour.plain("a", randomBytes(70_000)), verified: false, fallback: "copy" },
};

for (const [kind, { make, verified, ...change }] of Object.entries(kinds)) {
  describe(`verifying an object (${kind})`, () => {
    it("finds it the same, by keys and by plaintext", async () => {
      const listed = await make();
      await copy(listed, change);
      const bytes = (await headOf(harbour.destination, "a"))?.sizeBytes;
      expect(await verify(listed, false, change)).toMatchObject({ verdict: "same", verified, opened: false, bytes });
      expect(await verify(listed, true, change)).toMatchObject({ verdict: "same", verified, opened: true, bytes });
      expect(harbour.leaked()).toBe(0);
      expect([harbour.source.openBodies, harbour.destination.openBodies]).toEqual([0, 0]);
    });

    it("finds it missing", async () => {
      const listed = await make();
      expect(await verify(listed, false, change)).toMatchObject({
        verdict: "missing",
        code: "STORE_NOT_FOUND",
        bytes: 0,
      });
    });

    it("finds other bytes of the same length, at the latest when it reads them", async () => {
      const listed = await make();
      await copy(listed, change);
      const head = await headOf(harbour.destination, "a");
      const body = await bytesOf(harbour.destination, "a");
      body.writeUInt8((body[5] ?? 0) ^ 1, 5);
      await harbour.raw(harbour.destination, "a", body, head?.attributes);
      harbour.source.changeHead = (found) => ({ ...found, crc32c: undefined, md5: undefined });
      expect(await verify(listed, true, change)).toMatchObject({
        verdict: verified ? "unproven" : "different",
        code: verified ? "SEAL_FORGED" : "VERIFY_MISMATCH",
      });
      expect(harbour.leaked()).toBe(0);
      expect([harbour.source.openBodies, harbour.destination.openBodies]).toEqual([0, 0]);
    });
  });
}

it("a stranger at the destination is different, and the finding says why", async () => {
  const listed = await harbour.sealed("a", Buffer.from("text"));
  await harbour.raw(harbour.destination, "a", Buffer.from("precious"));
  expect(await verify(listed)).toMatchObject({ verdict: "different", message: expect.stringContaining("no stamp") });
});

it("an object that would be refused is missing for that reason", async () => {
  const listed = await harbour.plain("a", Buffer.from("text"));
  expect(await verify(listed, false, { fallback: "refuse" })).toMatchObject({
    verdict: "missing",
    code: "REFUSED_FALLBACK",
  });
  expect(await verify(listed, false, { filter: () => false })).toMatchObject({ verdict: "filtered", attempts: 0 });
});

it("a source that has changed proves nothing", async () => {
  const listed = await harbour.sealed("a", Buffer.from("text"));
  await copy(listed);
  await harbour.sealed("a", Buffer.from("newer"));
  expect(await verify(listed)).toMatchObject({ verdict: "unproven", code: "STORE_CHANGED" });
  await harbour.source.inner.remove("a", NEVER);
  expect(await verify(listed)).toMatchObject({ verdict: "unproven", code: "STORE_NOT_FOUND" });
});

it("a KMS that does not answer proves nothing, and is asked again", async () => {
  const listed = await harbour.sealed("a", Buffer.from("text"));
  await copy(listed);
  let failures = 1;
  harbour.destinationKms.before = () => {
    if (failures-- > 0) throw failing("THROTTLED");
  };
  expect(await verify(listed)).toMatchObject({ verdict: "same", attempts: 2 });
  harbour.destinationKms.before = () => {
    throw failing("ACCESS_DENIED");
  };
  expect(await verify(listed)).toMatchObject({ verdict: "unproven", code: "ACCESS_DENIED", verified: false });
});

it("stopped, it says so", async () => {
  const listed = await harbour.sealed("a", Buffer.from("text"));
  const options = { full: true, signal: AbortSignal.abort() };
  expect((await errorOf(verifyObject(listed, harbour.shores(), rulesOf(), options))).code).toBe("INTERRUPTED");
});

describe("reading a plaintext", () => {
  const read = async (key: string, kms = [ring.kms]) => {
    const { head, body } = await harbour.source.inner.open(key, { signal: NEVER });
    return collect(await openPlaintext(head, body, harbour.shores().envelopes, kms, NEVER));
  };

  it("opens every envelope, and plain objects as they are", async () => {
    await harbour.sealed("v2", Buffer.from("two"), s3ecV2);
    await harbour.sealed("v3", Buffer.from("three"), s3ecV3);
    await harbour.plain("p", Buffer.from("plain"));
    const texts = await Promise.all(["v2", "v3", "p"].map(async (key) => (await read(key)).toString()));
    expect(texts).toEqual(["two", "three", "plain"]);
  });

  it("never gives ciphertext for plaintext", async () => {
    await harbour.sealed("a", Buffer.from("text"));
    expect((await errorOf(read("a", []))).code).toBe("KMS_CANNOT_OPEN");
    const metadata = new Map([["x-amz-3", "?"]]);
    await harbour.raw(harbour.source, "b", Buffer.from("text"), { metadata });
    expect((await errorOf(read("b"))).code).toMatch(/^SEAL_/);
  });

  it("holds the key no longer than it is read", async () => {
    await harbour.sealed("a", randomBytes(600_000));
    const { head, body } = await harbour.source.inner.open("a", { signal: NEVER });
    const text = await openPlaintext(head, body, harbour.shores().envelopes, [harbour.sourceKms], NEVER);
    expect(harbour.sourceKms.given).toEqual([]);
    for await (const chunk of text) if (chunk.length > 0) break;
    expect([harbour.sourceKms.given.length, harbour.leaked()]).toEqual([1, 0]);
  });
});
