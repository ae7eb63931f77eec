import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { crc32c } from "../../src/core/crc32c.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import {
  bytesOf,
  collect,
  errorOf,
  Harbour,
  headOf,
  type KeyRing,
  makeKeyRing,
  NEW,
  rulesOf,
  sha256,
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

const quick = { verify: false, signal: NEVER };
const careful = { verify: true, signal: NEVER };

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
