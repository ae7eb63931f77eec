import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Attributes, ListedObject } from "../../src/core/object.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { bytesOf, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, OTHER, rulesOf } from "./harness.ts";
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

const copy = (listed: ListedObject, verify = false, change = {}) =>
  copyObject(listed, harbour.shores(), rulesOf(change), { verify, signal: NEVER });

/** Puts another body or other attributes in the place of what was copied. */
async function tamper(change: {
  body?: (body: Buffer) => Buffer;
  attributes?: (found: Attributes) => Partial<Attributes>;
}) {
  const head = await headOf(harbour.destination, "a");
  if (!head) throw new Error("nothing to tamper with");
  const body = await bytesOf(harbour.destination, "a");
  const attributes = { ...head.attributes, ...change.attributes?.(head.attributes) };
  await harbour.raw(harbour.destination, "a", change.body?.(body) ?? body, attributes);
}

const withPair =
  (name: string, value: string | undefined) =>
  ({ metadata }: Attributes) => {
    const changed = new Map(metadata);
    if (value === undefined) changed.delete(name);
    else changed.set(name, value);
    return { metadata: changed };
  };

const kinds = {
  rewrapped: () =>
    harbour.sealed("a", Buffer.from("text"), s3ecV3, { attributes: { metadata: new Map([["author", "Zoë"]]) } }),
  resealed: () => harbour.plain("a", Buffer.from("text"), { metadata: new Map([["author", "Zoë"]]) }),
};

for (const [kind, make] of Object.entries(kinds)) {
  describe(`an object that was ${kind} before`, () => {
    it("is there already, and is not written again", async () => {
      const listed = await make();
      await copy(listed);
      const before = await headOf(harbour.destination, "a");
      for (const change of [{}, { overwrite: true }, { migration: "m-2" }]) {
        expect(await copy(listed, true, change)).toMatchObject({ outcome: "already", bytes: 0, verified: true });
      }
      expect(await headOf(harbour.destination, "a")).toEqual(before);
      expect(harbour.leaked()).toBe(0);
    });

    const lies: [string, Parameters<typeof tamper>[0]][] = [
      ["its stamp is gone", { attributes: withPair("sealift-src-etag", undefined) }],
      ["its stamp names another source", { attributes: withPair("sealift-src-etag", "m99") }],
      ["its stamp names another size", { attributes: withPair("sealift-src-size", "5") }],
      ["its stamp names another version", { attributes: withPair("sealift-src-version", "99") }],
      ["it is shorter", { body: (body) => body.subarray(0, -1) }],
      ["it is longer", { body: (body) => Buffer.concat([body, Buffer.alloc(1)]) }],
      [
        "its envelope is gone",
        {
          attributes: ({ metadata }) => ({
            metadata: new Map(
              [...metadata].filter(
                ([name]) => !name.startsWith("x-amz-") && !["sealift-key", "sealift-aad"].includes(name),
              ),
            ),
          }),
        },
      ],
      ["its envelope is broken", { attributes: withPair("x-amz-i", "AAAA") }],
      ["it is under another key", { attributes: withPair("sealift-key", OTHER) }],
      ["its metadata was lost", { attributes: withPair("author", undefined) }],
      ["its metadata was changed", { attributes: withPair("author", "Zoe") }],
    ];
    for (const [name, change] of lies) {
      it(`is another object where ${name}`, async () => {
        const listed = await make();
        await copy(listed);
        await tamper(change);
        const planted = await bytesOf(harbour.destination, "a");
        expect((await errorOf(copy(listed))).code).toBe("CONFLICT");
        expect((await bytesOf(harbour.destination, "a")).equals(planted)).toBe(true);
        expect(await copy(listed, true, { overwrite: true })).toMatchObject({ outcome: kind, verified: true });
        expect(await copy(listed)).toMatchObject({ outcome: "already" });
      });
    }

    it("may have been given more metadata since", async () => {
      const listed = await make();
      await copy(listed);
      await tamper({ attributes: withPair("label", "added later") });
      expect(await copy(listed)).toMatchObject({ outcome: "already" });
    });

    it("is to be replaced once the source has changed", async () => {
      await copy(await make());
      const changed = await make();
      expect((await errorOf(copy(changed))).code).toBe("CONFLICT");
      expect(await copy(changed, false, { overwrite: true })).toMatchObject({ outcome: kind });
    });
  });
}

describe("a stranger with a forged stamp", () => {
  it("is known by its bytes", async () => {
    for (const make of [
      () => harbour.sealed("a", Buffer.from("text")),
      () => harbour.plain("a", Buffer.from("text")),
    ]) {
      const change = { fallback: "copy" };
      harbour = new Harbour(ring);
      const listed = await make();
      await copy(listed, false, change);
      await tamper({ body: (body) => Buffer.alloc(body.length, 7) });
      const error = await errorOf(copy(listed, false, change));
      expect([error.code, error.message]).toEqual(["CONFLICT", expect.stringContaining("CRC32C")]);
    }
  });

  it("is known by its MD5 where there is no CRC32C", async () => {
    const listed = await harbour.plain("a", Buffer.from("text"));
    await copy(listed, false, { fallback: "copy" });
    await tamper({ body: (body) => Buffer.alloc(body.length, 7) });
    harbour.source.changeHead = (head) => ({ ...head, crc32c: undefined });
    const error = await errorOf(copy(listed, false, { fallback: "copy" }));
    expect([error.code, error.message]).toEqual(["CONFLICT", expect.stringContaining("MD5")]);
  });

  it("is known by its envelope where there is no checksum at all", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV2);
    const decoy = await harbour.sealed("b", Buffer.from("fake"), s3ecV2);
    await copy(listed);
    await copy(decoy);
    const [mine, theirs] = await Promise.all(["a", "b"].map((key) => headOf(harbour.destination, key)));
    const stamp = [...(mine?.attributes.metadata ?? [])].filter(([name]) => name.startsWith("sealift-src"));
    const metadata = new Map([...(theirs?.attributes.metadata ?? []), ...stamp]);
    await harbour.raw(harbour.destination, "a", await bytesOf(harbour.destination, "b"), { metadata });
    harbour.source.changeHead = (head) => ({ ...head, crc32c: undefined, md5: undefined });
    const error = await errorOf(copy(listed));
    expect([error.code, error.message]).toEqual(["CONFLICT", expect.stringContaining("envelope")]);
  });

  it("is known by its data key, which only verifying asks for", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV2);
    const decoy = await harbour.sealed("b", Buffer.from("fake"), s3ecV2);
    await copy(listed);
    await copy(decoy);
    const theirs = (await headOf(harbour.destination, "b"))?.attributes.metadata.get("x-amz-key-v2");
    await tamper({ attributes: withPair("x-amz-key-v2", theirs) });
    expect(await copy(listed)).toMatchObject({ outcome: "already", verified: false });
    const error = await errorOf(copy(listed, true));
    expect([error.code, error.message]).toEqual(["CONFLICT", expect.stringContaining("data key")]);
    await tamper({ attributes: withPair("x-amz-key-v2", Buffer.alloc(69, 1).toString("base64")) });
    expect((await errorOf(copy(listed, true))).code).toBe("CONFLICT");
    expect(harbour.leaked()).toBe(0);
  });
});

it("without any checksum that both shores state, `already` says so", async () => {
  const listed = await harbour.plain("a", Buffer.from("text"));
  await copy(listed, false, { fallback: "copy" });
  harbour.destination.changeHead = (head) => ({ ...head, crc32c: undefined, md5: undefined });
  const receipt = await copy(listed, false, { fallback: "copy" });
  expect([receipt.outcome, receipt.notes.join()]).toEqual(["already", expect.stringContaining("no checksum")]);
});
