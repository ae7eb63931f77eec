import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Code } from "../../src/core/error.ts";
import { crc32c } from "../../src/core/crc32c.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import {
  bytesOf,
  collect,
  errorOf,
  failing,
  Harbour,
  headOf,
  type KeyRing,
  makeKeyRing,
  NEVER,
  NEW,
  OLD,
  OTHER,
  once,
  RewrappingKms,
  rulesOf,
  sha256,
} from "./harness.ts";

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

describe("a sealed object", () => {
  for (const envelope of [s3ecV2, s3ecV3]) {
    for (const options of [quick, careful]) {
      it(`of ${envelope.id} is rewrapped, its body untouched (verify: ${options.verify})`, async () => {
        const text = randomBytes(300_000);
        const listed = await harbour.sealed("t/a.bin", text, envelope);
        const receipt = await copyObject(listed, harbour.shores(), rulesOf(), options);
        const body = await bytesOf(harbour.destination, "t/a.bin");
        expect(receipt).toMatchObject({ key: "t/a.bin", outcome: "rewrapped", verified: options.verify });
        expect(receipt.bytes).toBe(body.length);
        expect(receipt.crc32c).toBe(crc32c(body));
        expect(sha256(body)).toBe(sha256(await bytesOf(harbour.source, "t/a.bin")));
        expect(text.equals(await readBack("t/a.bin"))).toBe(true);
        const head = await headOf(harbour.destination, "t/a.bin");
        expect(head?.attributes.metadata.get("sealift-key")).toBe(NEW);
        expect(harbour.leaked()).toBe(0);
        expect(harbour.source.openBodies).toBe(0);
      });
    }
  }

  it("that the destination's key wraps already is carried as it is, and its key verified", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV3, { under: NEW });
    const receipt = await copyObject(listed, harbour.shores(), rulesOf(), careful);
    expect(receipt).toMatchObject({ outcome: "carried", verified: true });
    expect(await readBack("a")).toEqual(Buffer.from("text"));
    const source = await headOf(harbour.source, "a");
    const destination = await headOf(harbour.destination, "a");
    for (const [name, value] of source?.attributes.metadata ?? []) {
      expect(destination?.attributes.metadata.get(name)).toBe(value);
    }
  });

  it("of no bytes at all arrives", async () => {
    const listed = await harbour.sealed("empty", Buffer.alloc(0));
    expect(await copyObject(listed, harbour.shores(), rulesOf(), careful)).toMatchObject({ outcome: "rewrapped" });
    expect(await readBack("empty")).toEqual(Buffer.alloc(0));
  });

  it("moves from prefix to prefix", async () => {
    const listed = await harbour.sealed("in/x/a", Buffer.from("text"));
    const receipt = await copyObject(
      listed,
      harbour.shores({ source: "in/", destination: "out/" }),
      rulesOf(),
      careful,
    );
    expect(receipt.key).toBe("in/x/a");
    expect(await readBack("out/x/a")).toEqual(Buffer.from("text"));
  });

  it("keeps all that its writer set, and is stamped", async () => {
    const metadata = new Map([
      ["author", "Zoë  =  née {x}"],
      ["sealift-mid", "an earlier migration"],
      ["sealift-src-etag", "stale"],
    ]);
    const attributes = {
      metadata,
      contentType: "text/x",
      cacheControl: "no-store",
      expires: "Thu, 01 Dec 1994 16:00:00 GMT",
    };
    const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV2, { attributes });
    await copyObject(listed, harbour.shores(), rulesOf(), careful);
    const found = (await headOf(harbour.destination, "a"))?.attributes;
    expect(found).toMatchObject({ contentType: "text/x", cacheControl: "no-store", expires: attributes.expires });
    expect(Object.fromEntries(found?.metadata ?? [])).toMatchObject({
      author: "Zoë  =  née {x}",
      "sealift-mid": "m-1",
      "sealift-src-etag": listed.etag,
      "sealift-src-version": listed.version,
      "sealift-src-size": String(listed.sizeBytes),
      "sealift-src-mtime": "2023-11-14T22:13:20.000Z",
    });
  });
});

describe("an object without an envelope", () => {
  it("is sealed afresh", async () => {
    const text = randomBytes(100_000);
    const listed = await harbour.plain("p", text, { contentType: "image/png" });
    const receipt = await copyObject(listed, harbour.shores(), rulesOf(), careful);
    expect(receipt).toMatchObject({ outcome: "resealed", verified: true, bytes: text.length + 16 });
    expect(receipt.notes.join()).toContain("read in the clear");
    expect((await bytesOf(harbour.destination, "p")).includes(text.subarray(0, 64))).toBe(false);
    expect(text.equals(await readBack("p"))).toBe(true);
    expect((await headOf(harbour.destination, "p"))?.attributes.contentType).toBe("image/png");
    expect(harbour.leaked()).toBe(0);
  });

  it("is carried in the clear where the job says so, and the receipt says so", async () => {
    const listed = await harbour.plain("p", Buffer.from("text"));
    const receipt = await copyObject(listed, harbour.shores(), rulesOf({ fallback: "copy" }), careful);
    expect(receipt).toMatchObject({ outcome: "carried", verified: false });
    expect(receipt.notes.join()).toContain("written in the clear");
    expect(await bytesOf(harbour.destination, "p")).toEqual(Buffer.from("text"));
    expect(harbour.destinationKms.calls).toEqual([]);
  });

  it("is put under the provider's key where the job says so", async () => {
    const listed = await harbour.plain("p", Buffer.from("text"));
    const rules = rulesOf({ fallback: "server", serverKeyName: "projects/p/k" });
    await copyObject(listed, harbour.shores(), rules, quick);
    expect((await headOf(harbour.destination, "p"))?.atRest.keyName).toBe("projects/p/k");
    expect(await copyObject(listed, harbour.shores(), rules, quick)).toMatchObject({ outcome: "already" });
    const other = rulesOf({ fallback: "server", serverKeyName: "projects/p/other" });
    expect((await errorOf(copyObject(listed, harbour.shores(), other, quick))).code).toBe("CONFLICT");
  });

  it("is refused where the job says so", async () => {
    const listed = await harbour.plain("p", Buffer.from("text"));
    const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf({ fallback: "refuse" }), quick));
    expect(error).toMatchObject({ code: "REFUSED_FALLBACK", object: "p" });
    expect(harbour.source.openBodies).toBe(0);
  });
});

describe("keys", () => {
  it("outside the allow-list are not opened where the envelope names them", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    const rules = rulesOf({ allow: [OTHER] });
    expect((await errorOf(copyObject(listed, harbour.shores(), rules, quick))).code).toBe("KMS_KEY_NOT_ALLOWED");
    expect(harbour.sourceKms.calls).toEqual([]);
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
    await copyObject(listed, harbour.shores(), rulesOf({ allow: [OLD] }), quick);
  });

  it("outside the allow-list are not used where only the KMS knows their name", async () => {
    const { inner, given } = harbour.sourceKms;
    harbour.sourceKms.unwrap = async (...call) => {
      const unwrapped = await inner.unwrap(...call);
      if (unwrapped) given.push(unwrapped.dataKey);
      return unwrapped && { ...unwrapped, by: OTHER };
    };
    const listed = await harbour.sealed("a", Buffer.from("text"));
    const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf({ allow: [OLD] }), quick));
    expect(error.code).toBe("KMS_KEY_NOT_ALLOWED");
    expect(harbour.destinationKms.calls).toEqual([]);
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
    expect(harbour.leaked()).toBe(0);
  });

  it("of another context are not opened", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    const rules = rulesOf({ requireContext: new Map([["tenant", "7"]]) });
    expect((await errorOf(copyObject(listed, harbour.shores(), rules, quick))).code).toBe("KEY_CONTEXT");
    expect(harbour.sourceKms.calls).toEqual([]);
    await copyObject(listed, harbour.shores(), rulesOf({ requireContext: new Map([["tenant", "42"]]) }), quick);
  });

  it("that do not belong to a V3 body are found out before anything is written", async () => {
    await harbour.sealed("a", Buffer.from("mine"));
    await harbour.sealed("b", Buffer.from("somebody else's"));
    const [a, b] = await Promise.all([headOf(harbour.source, "a"), headOf(harbour.source, "b")]);
    const swapped = new Map([
      ...(a?.attributes.metadata ?? []),
      ["x-amz-3", b?.attributes.metadata.get("x-amz-3") ?? ""],
    ]);
    const listed = await harbour.raw(harbour.source, "a", await bytesOf(harbour.source, "a"), { metadata: swapped });
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("SEAL_FORGED");
    expect(harbour.destination.calls).not.toContain("put a");
    harbour.sourceKms = new RewrappingKms(ring.kms);
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), careful))).code).toBe("SEAL_FORGED");
    expect(harbour.leaked()).toBe(0);
  });

  it("stay with the provider where it rewraps by itself", async () => {
    harbour.sourceKms = new RewrappingKms(ring.kms);
    const listed = await harbour.sealed("a", Buffer.from("text"));
    await copyObject(listed, harbour.shores(), rulesOf(), quick);
    expect(harbour.sourceKms.calls).toEqual(["rewrap"]);
    expect(harbour.destinationKms.calls).toEqual([]);
    expect(await readBack("a")).toEqual(Buffer.from("text"));
  });

  it("are opened and compared where that rewrap is to be verified", async () => {
    harbour.sourceKms = new RewrappingKms(ring.kms);
    const listed = await harbour.sealed("a", Buffer.from("text"));
    expect(await copyObject(listed, harbour.shores(), rulesOf(), careful)).toMatchObject({ verified: true });
    expect(harbour.sourceKms.calls).toEqual(["unwrap", "rewrap"]);
    expect(harbour.destinationKms.calls).toEqual(["unwrap"]);
    expect(harbour.leaked()).toBe(0);
  });

  it("of a rewrap by the provider obey the allow-list too", async () => {
    class Elsewhere extends RewrappingKms {
      override async rewrap(...call: Parameters<RewrappingKms["rewrap"]>) {
        return { ...(await super.rewrap(...call)), by: OTHER };
      }
    }
    harbour.sourceKms = new Elsewhere(ring.kms);
    const listed = await harbour.sealed("a", Buffer.from("text"));
    const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf({ allow: [OLD] }), quick));
    expect(error.code).toBe("KMS_KEY_NOT_ALLOWED");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });

  it("go through this process where the provider's rewrap is denied, and the receipt says so once it is known", async () => {
    harbour.sourceKms = new RewrappingKms(ring.kms);
    harbour.sourceKms.before = (call) => {
      if (call === "rewrap") throw failing("ACCESS_DENIED");
    };
    const a = await harbour.sealed("a", Buffer.from("text"));
    const b = await harbour.sealed("b", Buffer.from("text"));
    const receipt = await copyObject(a, harbour.shores(), rulesOf(), quick);
    expect(receipt.notes.join()).toContain("passed through this process");
    await copyObject(b, harbour.shores(), rulesOf(), quick);
    expect(harbour.sourceKms.calls).toEqual(["rewrap", "unwrap", "unwrap"]);
    expect(harbour.leaked()).toBe(0);
  });

  it("that came back wrong from the destination's KMS are found by verifying", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV2);
    const { inner } = harbour.destinationKms;
    const stranger = s3ecV2.fresh(new Map(), NEW).dataKey;
    harbour.destinationKms.wrap = (key, _dataKey, context, signal) => inner.wrap(key, stranger, context, signal);
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), careful))).code).toBe("VERIFY_MISMATCH");
    expect(harbour.leaked()).toBe(0);
  });
});

describe("a KMS that fails", () => {
  const codes: Code[] = ["ACCESS_DENIED", "CREDENTIALS_EXPIRED", "THROTTLED", "KMS_KEY_UNUSABLE", "KMS_CANNOT_OPEN"];
  for (const code of codes) {
    for (const side of ["unwrap at the source", "wrap at the destination"] as const) {
      it(`with ${code} at ${side} leaves the destination as it was`, async () => {
        const listed = await harbour.sealed("a", Buffer.from("text"));
        const fail = () => {
          throw failing(code);
        };
        if (side === "unwrap at the source") harbour.sourceKms.before = fail;
        else harbour.destinationKms.before = fail;
        expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe(code);
        expect(harbour.destination.calls).not.toContain("put a");
        expect(harbour.leaked()).toBe(0);
        expect(harbour.source.openBodies).toBe(0);
      });
    }
  }

  it("when a plain object is sealed never lets the plaintext through", async () => {
    const listed = await harbour.plain("p", Buffer.from("text"));
    harbour.destinationKms.before = () => {
      throw failing("ACCESS_DENIED");
    };
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("ACCESS_DENIED");
    expect(await headOf(harbour.destination, "p")).toBeUndefined();
    expect(harbour.leaked()).toBe(0);
  });
});

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

it("two copies of one object at once end as one object and two successes", async () => {
  for (const make of [
    () => harbour.sealed("a", randomBytes(200_000)),
    () => harbour.plain("a", randomBytes(200_000)),
  ]) {
    harbour = new Harbour(ring);
    const listed = await make();
    const both = await Promise.all([1, 2].map(() => copyObject(listed, harbour.shores(), rulesOf(), careful)));
    const outcomes = both.map(({ outcome }) => outcome).sort();
    expect(outcomes).toContain("already");
    expect(outcomes.some((outcome) => outcome === "rewrapped" || outcome === "resealed")).toBe(true);
    expect(both.every(({ verified }) => verified)).toBe(true);
  }
});

it("a stopped copy writes nothing and holds nothing", async () => {
  const stop = new AbortController();
  const listed = await harbour.sealed("a", randomBytes(600_000));
  harbour.source.changeBody = async function* (body) {
    for await (const chunk of body) {
      yield chunk;
      stop.abort();
    }
  };
  const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf(), { verify: true, signal: stop.signal }));
  expect(error.code).toBe("INTERRUPTED");
  expect(await headOf(harbour.destination, "a")).toBeUndefined();
  expect(harbour.leaked()).toBe(0);
  expect(harbour.source.openBodies).toBe(0);
});

it("no key bytes in receipts and errors", async () => {
  const secrets: Buffer[] = [];
  const { inner } = harbour.sourceKms;
  harbour.sourceKms.unwrap = async (wrapped, context, signal) => {
    const unwrapped = await inner.unwrap(wrapped, context, signal);
    if (unwrapped) secrets.push(Buffer.from(unwrapped.dataKey.reveal()));
    return unwrapped;
  };
  const listed = await harbour.sealed("a", Buffer.from("text"));
  const told: unknown[] = [await copyObject(listed, harbour.shores(), rulesOf(), careful)];
  harbour.destinationKms.before = () => {
    throw failing("ACCESS_DENIED");
  };
  const other = await harbour.sealed("b", Buffer.from("text"));
  told.push(await errorOf(copyObject(other, harbour.shores(), rulesOf(), careful)));
  const text = inspect(told, { depth: 10, showHidden: true }) + JSON.stringify(told[0]);
  expect(secrets).toHaveLength(2);
  for (const secret of secrets) {
    for (const form of ["hex", "base64", "base64url", "latin1"] as const)
      expect(text).not.toContain(secret.toString(form));
  }
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
