/**
 * Row 6. A writer of the destination plants an object, or a forged stamp, so that we take it for ours and skip. They know all that
 * is public: ETag and size of the source object, its whole envelope but for the wrapped key, and what we write beside objects.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ListedObject, ObjectHead } from "../../src/core/object.ts";
import { type Envelope, withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { bytesOf, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, NEW, rulesOf } from "../transfer/harness.ts";
import { NEVER } from "../transfer/wayward.ts";

let ring: KeyRing;
let harbour: Harbour;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
});

const TEXT = Buffer.from("what the source says");
const copy = (listed: ListedObject, verify: boolean, change = {}) =>
  copyObject(listed, harbour.shores(), rulesOf(change), { verify, signal: NEVER });

/** What we write for this object: made once, and taken away again, so that the attacker has the best of patterns. */
async function pattern(listed: ListedObject): Promise<{ head: ObjectHead; body: Buffer }> {
  await copy(listed, false);
  const head = await headOf(harbour.destination, listed.key);
  const body = await bytesOf(harbour.destination, listed.key);
  await harbour.destination.inner.remove(listed.key, NEVER);
  if (!head) throw new Error("there is no pattern");
  return { head, body };
}

const plant = (key: string, body: Buffer, metadata: ReadonlyMap<string, string>) =>
  harbour.raw(harbour.destination, key, body, { metadata });

/** The attacker may use the destination key: their own data key, wrapped as ours would be. */
async function ownKey(head: ObjectHead, envelope: Envelope): Promise<Map<string, string>> {
  const seal = envelope.read(head, new Uint8Array());
  if (!seal) throw new Error("not sealed");
  const { dataKey } = envelope.fresh(new Map(), NEW);
  const wrapped = await ring.kms.wrap(NEW, dataKey, seal.context, NEVER);
  return new Map([...head.attributes.metadata, ...envelope.write(withWrapped(seal, wrapped)).metadata]);
}

/** A source that states no checksum of its own, as S3 does for most large objects. */
function withoutChecksums(): void {
  harbour.source.changeHead = ({ crc32c: _crc, md5: _md5, ...head }) => head;
}

for (const [name, envelope] of Object.entries({ "s3ec-v2": s3ecV2, "s3ec-v3": s3ecV3 })) {
  describe(`in the place of ${name}`, () => {
    const make = () => harbour.sealed("a", TEXT, envelope);

    it("a stamp alone proves nothing", async () => {
      const listed = await make();
      const { head } = await pattern(listed);
      const stamp = new Map([...head.attributes.metadata].filter(([field]) => field.startsWith("sealift-")));
      await plant("a", Buffer.alloc(head.sizeBytes), stamp);
      expect((await errorOf(copy(listed, false))).code).toBe("CONFLICT");
    });

    it("another body under our whole envelope is told by the checksum", async () => {
      const listed = await make();
      const { head, body } = await pattern(listed);
      await plant("a", Buffer.alloc(body.length, 1), head.attributes.metadata);
      expect((await errorOf(copy(listed, false))).code).toBe("CONFLICT");
    });

    it("another body where the source states no checksum: what is verified is read, and told", async () => {
      withoutChecksums();
      const listed = await make();
      const { head, body } = await pattern(listed);
      await plant("a", Buffer.alloc(body.length, 1), head.attributes.metadata);
      expect((await errorOf(copy(listed, true))).code).toBe("CONFLICT");
      // Unverified it passes, and says how little was compared.
      expect(await copy(listed, false)).toMatchObject({
        outcome: "already",
        notes: expect.arrayContaining([expect.stringMatching(/no checksum/)]) as unknown,
      });
      await plant("a", body, head.attributes.metadata);
      const again = await copy(listed, true);
      expect([again.outcome, again.verified, again.notes.join().includes("no checksum")]).toEqual([
        "already",
        true,
        false,
      ]);
    });

    it("our body under a data key of the attacker's is told by opening it", async () => {
      const listed = await make();
      const { head, body } = await pattern(listed);
      await plant("a", body, await ownKey(head, envelope));
      expect((await errorOf(copy(listed, true))).code).toBe("CONFLICT");
    });

    it("another IV, message id or context is another object", async () => {
      const listed = await make();
      const { head, body } = await pattern(listed);
      await harbour.sealed("b", TEXT, envelope);
      const other = await headOf(harbour.source, "b");
      for (const field of ["x-amz-iv", "x-amz-i", "x-amz-d", "x-amz-matdesc", "x-amz-t"]) {
        const value = field === "x-amz-matdesc" || field === "x-amz-t" ? "{}" : other?.attributes.metadata.get(field);
        if (value === undefined || !head.attributes.metadata.has(field)) continue;
        await plant("a", body, new Map([...head.attributes.metadata, [field, value]]));
        expect((await errorOf(copy(listed, false))).code).toBe("CONFLICT");
      }
    });
  });
}

describe("in the place of an object that is sealed afresh", () => {
  it("another of our own objects, as long as this one and moved under its name, is told where it is verified", async () => {
    const listed = await harbour.plain("a", TEXT);
    const sibling = await harbour.plain("b", Buffer.alloc(TEXT.length, 1));
    const { head } = await pattern(listed);
    const other = await pattern(sibling);
    const stamp = [...head.attributes.metadata].filter(
      ([field]) => field.startsWith("sealift-src") || field === "sealift-mid",
    );
    await plant("a", other.body, new Map([...other.head.attributes.metadata, ...stamp]));
    expect((await errorOf(copy(listed, true))).code).toBe("CONFLICT");
    expect(await copy(listed, false)).toMatchObject({
      outcome: "already",
      notes: expect.arrayContaining([expect.stringMatching(/compared without one/)]) as unknown,
    });
  });
});

it("what we wrote for an earlier object of this name is not this one's, though it is as long", async () => {
  await copy(await harbour.plain("a", TEXT), false);
  const listed = await harbour.plain("a", Buffer.alloc(TEXT.length, 1));
  expect((await errorOf(copy(listed, false))).code).toBe("CONFLICT");
});

describe("puts", () => {
  it("create only: what is planted between our look and our put stays, and is judged", async () => {
    const listed = await harbour.sealed("a", TEXT);
    harbour.destination.beforePut = async () => {
      harbour.destination.beforePut = () => undefined;
      await plant("a", Buffer.from("first"), new Map());
    };
    expect((await errorOf(copy(listed, false))).code).toBe("CONFLICT");
    expect((await bytesOf(harbour.destination, "a")).toString()).toBe("first");
  });

  it("with overwrite: true replace what was seen, and nothing that was planted since", async () => {
    const listed = await harbour.sealed("a", TEXT);
    await plant("a", Buffer.from("seen"), new Map());
    harbour.destination.beforePut = async () => {
      await plant("a", Buffer.from("planted since"), new Map());
    };
    const error = await errorOf(copy(listed, false, { overwrite: true }));
    expect(error.code).toBe("STORE_BUSY");
    expect((await bytesOf(harbour.destination, "a")).toString()).toBe("planted since");
  });

  it("are read back where they are verified: what replaced ours in the meantime is not ours", async () => {
    const listed = await harbour.sealed("a", TEXT);
    const { head, body } = await pattern(listed);
    harbour.destination.afterPut = async () => {
      await plant("a", body, await ownKey(head, s3ecV3));
    };
    expect((await errorOf(copy(listed, true))).code).toBe("VERIFY_MISMATCH");
  });
});
