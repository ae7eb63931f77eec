/** What either shore may do to a copy, and what must not come of it. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { bytesOf, collect, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, once, rulesOf } from "./harness.ts";
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

const quick = { verify: false, signal: NEVER };
const careful = { verify: true, signal: NEVER };

const countOf = (call: string) => harbour.destination.calls.filter((made) => made === call).length;

/** What a reader who has only the destination and its key gets. */
async function readBack(key: string): Promise<Buffer> {
  const opened = await harbour.destination.inner.open(key, { signal: NEVER });
  const { envelopes } = harbour.shores();
  return collect(await openPlaintext(opened.head, opened.body, envelopes, [ring.kms], NEVER));
}

describe("a source that misbehaves", () => {
  const lengths = { nothing: 0, half: 50_000, "all but a byte": 100_015, "a byte too many": 100_017 };
  for (const [name, sizeBytes] of Object.entries(lengths)) {
    for (const seal of [true, false]) {
      it(`by sending ${name} makes nothing visible (${seal ? "sealed" : "plain"})`, async () => {
        const size = seal ? 100_000 : 100_016;
        const listed = seal
          ? await harbour.sealed("a", randomBytes(size))
          : await harbour.plain("a", randomBytes(size));
        harbour.source.changeBody = (body) => resized(body, sizeBytes);
        expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("STORE_CUT");
        expect(await headOf(harbour.destination, "a")).toBeUndefined();
        expect(harbour.leaked()).toBe(0);
      });
    }
  }

  it("by flipping a bit is found out by its own CRC32C, inside the put", async () => {
    for (const fallback of ["seal", "copy"] as const) {
      const listed = await harbour.plain("a", randomBytes(100_000));
      harbour.source.changeBody = (body) => flipped(body);
      const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf({ fallback }), quick));
      expect(error.code).toBe("STORE_CHECKSUM");
      expect(await headOf(harbour.destination, "a")).toBeUndefined();
    }
  });

  it("by answering with another version than was asked for is not believed", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    harbour.source.changeHead = (head) => ({ ...head, etag: "another" });
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("STORE_CHANGED");
    expect(harbour.source.openBodies).toBe(0);
  });

  it("by changing the object while it is read is not taken for a change at the destination", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    harbour.source.changeBody = async function* () {
      yield Buffer.from("t");
      throw failing("STORE_CHANGED");
    };
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("STORE_CHANGED");
    expect(countOf("head a")).toBe(1);
  });

  it("by changing or losing the object after it was listed", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    await harbour.sealed("a", Buffer.from("another text"));
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("STORE_CHANGED");
    await harbour.source.inner.remove("a", NEVER);
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("STORE_NOT_FOUND");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });
});

describe("a destination that misbehaves", () => {
  it("by losing the answer to a put: the next attempt finds the object", async () => {
    for (const rules of [rulesOf(), rulesOf({ overwrite: true })]) {
      for (const make of [
        () => harbour.sealed("a", Buffer.from("text")),
        () => harbour.plain("a", Buffer.from("text")),
      ]) {
        harbour = new Harbour(ring);
        const listed = await make();
        harbour.destination.afterPut = () => {
          throw failing("NET_TIMEOUT");
        };
        expect((await errorOf(copyObject(listed, harbour.shores(), rules, careful))).code).toBe("NET_TIMEOUT");
        expect(harbour.destination.calls.filter((call) => call.startsWith("remove"))).toEqual([]);
        const again = await copyObject(listed, harbour.shores(), rules, careful);
        expect(again).toMatchObject({ outcome: "already", verified: true, bytes: 0 });
      }
    }
  });

  it("by losing the answer and then refusing the same put: the object is ours all the same", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    harbour.destination.beforePut = async () => {
      harbour.destination.beforePut = () => {};
      await copyObject(listed, harbour.shores(), rulesOf(), quick);
    };
    const receipt = await copyObject(listed, harbour.shores(), rulesOf(), { ...quick, standing: "absent" });
    expect(receipt.outcome).toBe("already");
    expect(await readBack("a")).toEqual(Buffer.from("text"));
  });

  it("by reporting other bytes than were sent", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    const lies = [
      (crc: number) => ({ crc32c: crc ^ 1 }),
      () => ({ head: { crc32c: 7 } }),
      () => ({ head: { sizeBytes: 3 } }),
    ];
    for (const lie of lies) {
      harbour = new Harbour(ring);
      const copy = await harbour.sealed("a", Buffer.from("text"));
      harbour.destination.changeReceipt = (receipt) => {
        const told = lie(receipt.crc32c);
        return { ...receipt, ...told, head: { ...receipt.head, ...("head" in told ? told.head : {}) } };
      };
      expect((await errorOf(copyObject(copy, harbour.shores(), rulesOf(), quick))).code).toBe("VERIFY_MISMATCH");
    }
    expect(listed.key).toBe("a");
  });

  it("by dropping metadata is found out by verifying", async () => {
    const attributes = { metadata: new Map([["author", "Zoë"]]) };
    const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV2, { attributes });
    for (const name of ["author", "sealift-mid", "x-amz-iv", "sealift-key"]) {
      harbour.destination.changeHead = (head) => {
        const metadata = new Map(head.attributes.metadata);
        metadata.delete(name);
        return { ...head, attributes: { ...head.attributes, metadata } };
      };
      await harbour.destination.inner.remove("a", NEVER);
      const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf(), careful));
      expect([error.code, error.message]).toEqual(["VERIFY_MISMATCH", expect.stringContaining(name)]);
    }
  });

  it("by having another object there: it stays", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    await harbour.raw(harbour.destination, "a", Buffer.from("precious"));
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("CONFLICT");
    const late = { ...quick, standing: "absent" } as const;
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), late))).code).toBe("CONFLICT");
    expect(await bytesOf(harbour.destination, "a")).toEqual(Buffer.from("precious"));
  });

  it("by having another object there: it is replaced where the job says so, and only as it was seen", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    await harbour.raw(harbour.destination, "a", Buffer.from("old"));
    harbour.destination.beforePut = async () => {
      harbour.destination.beforePut = () => {};
      await harbour.raw(harbour.destination, "a", Buffer.from("newer"));
    };
    const rules = rulesOf({ overwrite: true });
    expect(await errorOf(copyObject(listed, harbour.shores(), rules, quick))).toMatchObject({
      code: "STORE_BUSY",
      retry: "later",
    });
    expect(await bytesOf(harbour.destination, "a")).toEqual(Buffer.from("newer"));
    expect(await copyObject(listed, harbour.shores(), rules, careful)).toMatchObject({ outcome: "rewrapped" });
    expect(await readBack("a")).toEqual(Buffer.from("text"));
  });

  it("in the middle of an overwrite keeps what stood there", async () => {
    const listed = await harbour.sealed("a", randomBytes(500_000));
    await harbour.raw(harbour.destination, "a", Buffer.from("old"));
    harbour.source.changeBody = (body) => resized(body, 400_000);
    await errorOf(copyObject(listed, harbour.shores(), rulesOf({ overwrite: true }), quick));
    expect(await bytesOf(harbour.destination, "a")).toEqual(Buffer.from("old"));
  });
});

async function* resized(body: AsyncIterable<Uint8Array>, sizeBytes: number) {
  const bytes = Buffer.concat([await collect(body), Buffer.alloc(64)]);
  yield* once(bytes.subarray(0, sizeBytes));
}

async function* flipped(body: AsyncIterable<Uint8Array>) {
  const bytes = await collect(body);
  bytes.writeUInt8((bytes[99] ?? 0) ^ 4, 99);
  yield* once(bytes);
}
