/** Huge objects step by step, over every store that takes them, with things going wrong between the steps. */
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { crc32c } from "../../src/core/crc32c.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { type PocketGcs, startPocketGcs } from "../../src/pocket/gcs.ts";
import { type PocketS3, startPocketS3 } from "../../src/pocket/s3.ts";
import { openGcsStore } from "../../src/store/gcs/gcs.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import type { HeldPart, ObjectStore, PartStore } from "../../src/store/store.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { neighboursIn } from "../../src/transfer/divided.ts";
import { copyGroup } from "../../src/transfer/group.ts";
import type { Witnesses } from "../../src/transfer/holding.ts";
import { beginHuge, finishHuge, hugeAmong, type HugeUpload } from "../../src/transfer/huge.ts";
import { abortLeftovers, abortUploads } from "../../src/transfer/leftovers.ts";
import { groupCount, partCount } from "../../src/transfer/partplan.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import type { Crossing, Rules } from "../../src/transfer/shores.ts";
import { collect, errorOf, Harbour, type KeyRing, makeKeyRing, OLD, OTHER, rulesOf, sha256 } from "./harness.ts";
import { putApart, shoresOf } from "./apart.ts";
import { NEVER } from "./wayward.ts";

const MIB = 1024 * 1024;
const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const nobody: Witnesses = new Map();

let ring: KeyRing;
let gcs: PocketGcs;
let s3: PocketS3;
let buckets = 0;
beforeAll(async () => {
  [ring, gcs, s3] = [await makeKeyRing(), await startPocketGcs(), await startPocketS3({ credentials: CREDENTIALS })];
});
afterAll(async () => {
  await Promise.all([gcs.close(), s3.close(), ring.cleanup()]);
});

const OPEN: Readonly<Record<string, () => Promise<ObjectStore>>> = {
  memory: async () => new MemoryStore(),
  gcs: () => {
    const bucket = `far-${++buckets}`;
    gcs.createBucket(bucket);
    return openGcsStore({ bucket, endpoint: gcs.url, anonymous: true, buffer: new Budget(32 * MIB) });
  },
  s3: () => {
    const bucket = `far-${++buckets}`;
    s3.createBucket(bucket);
    const where = { bucket, endpoint: s3.url, region: "us-east-1", credentials: CREDENTIALS };
    return openS3Store({ ...where, buffer: new Budget(32 * MIB) });
  },
};

let harbour: Harbour;
let destination: ObjectStore;
beforeEach(() => {
  harbour = new Harbour(ring);
});
afterEach(async () => {
  gcs.faults.clear();
  s3.faults.clear();
  await destination?.close();
});

const crossing = (rules: Partial<Rules> = {}): Crossing => ({
  shores: { ...harbour.shores(), destination },
  rules: rulesOf({ hugeBytes: MIB, verify: "full", ...rules }),
  signal: NEVER,
});

async function begun(listed: ListedObject, across: Crossing): Promise<HugeUpload> {
  const answer = await beginHuge(listed, across);
  if ("upload" in answer) return answer.upload;
  throw new Error(`not begun: ${answer.receipt.outcome}`);
}

const limits = () => ({ objects: new Budget(8), random: () => 0 });

async function copyAll(listed: ListedObject, upload: HugeUpload, across: Crossing, witnesses = nobody) {
  const sent: HeldPart[] = [];
  for (let group = groupCount(upload) - 1; group >= 0; group--) {
    sent.push(...((await copyGroup(listed, upload, group, witnesses, across, limits())) ?? []));
  }
  return sent;
}

const finished = (listed: ListedObject, upload: HugeUpload, across: Crossing, witnesses = nobody) =>
  finishHuge(listed, upload, witnesses, across);

const bytesAt = async (key: string): Promise<Buffer> => collect((await destination.open(key, { signal: NEVER })).body);
const parts = (): PartStore => destination.parts as PartStore;

async function expectNothing(key: string): Promise<void> {
  expect(await destination.head(key, NEVER)).toBeUndefined();
}

async function expectTidy(key: string): Promise<void> {
  expect(await parts().uploads(key, NEVER)).toEqual([]);
  const names: string[] = [];
  for await (const page of destination.list("", {}, NEVER)) names.push(...page.objects.map((object) => object.key));
  expect(names.filter((name) => name.startsWith(".sealift"))).toEqual([]);
}

/** Eleven MiB: several parts on every store. */
const text = randomBytes(11 * MIB);

describe.each(Object.keys(OPEN))("to %s, a huge object", (kind) => {
  beforeEach(async () => {
    destination = await (OPEN[kind] as () => Promise<ObjectStore>)();
  });

  it.each([s3ecV2, s3ecV3])("is rewrapped, its body untouched, by groups in any order", async (envelope) => {
    const listed = await harbour.sealed("t/a.bin", text, envelope);
    const across = crossing();
    expect([...(await hugeAmong([listed], across))]).toEqual(["t/a.bin"]);
    const upload = await begun(listed, across);
    expect(harbour.leaked()).toBe(0);
    const first = await finished(listed, upload, across);
    expect(first).toMatchObject({ missing: { length: partCount(upload) } });
    await expectNothing("t/a.bin");
    await copyAll(listed, upload, across);
    const source = await collect((await harbour.source.inner.open("t/a.bin", { signal: NEVER })).body);
    const receipt = { outcome: "rewrapped", verified: true, bytes: source.length, crc32c: crc32c(source) };
    expect(await finished(listed, upload, across)).toMatchObject({ receipt });
    expect(sha256(await bytesAt("t/a.bin"))).toBe(sha256(source));
    const opened = await destination.open("t/a.bin", { signal: NEVER });
    // What a ledger keeps of it is names and a digest: no value that stands beside the object, its wrapped key least of all.
    const long = [...opened.head.attributes.metadata.values()].filter(
      (value) => value.length > 20 && value !== listed.etag,
    );
    expect(long.length).toBeGreaterThan(0);
    for (const value of long) expect(JSON.stringify(upload)).not.toContain(value);
    const plaintext = await openPlaintext(opened.head, opened.body, harbour.shores().envelopes, [ring.kms], NEVER);
    expect((await collect(plaintext)).equals(text)).toBe(true);
    expect(harbour.leaked()).toBe(0);
    expect(harbour.source.openBodies).toBe(0);
    await expectTidy("t/a.bin");
    // Whoever comes too late finds it finished, as does an ordinary copy.
    expect(await finished(listed, upload, across)).toMatchObject({ receipt: { outcome: "rewrapped", verified: true } });
    expect(await beginHuge(listed, across)).toMatchObject({ receipt: { outcome: "already", verified: true } });
    const { shores, rules } = across;
    const plain = await copyObject(listed, shores, rules, { verify: true, signal: NEVER });
    expect(plain).toMatchObject({ outcome: "already" });
  });

  it("whose parts are there is not sent again, and one part that came short is", async () => {
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    const upload = await begun(listed, across);
    harbour.source.changeBody = async function* (body) {
      const whole = await collect(body);
      yield whole.subarray(0, whole.length - 1);
    };
    const short = crossing({ attempts: 1 });
    expect((await errorOf(copyAll(listed, upload, short))).code).toBe("STORE_CUT");
    expect(await parts().list({ key: "a", id: upload.uploadId }, NEVER)).toEqual([]);
    harbour.source.changeBody = (body) => body;
    const sent = await copyAll(listed, upload, across);
    expect(sent.map(({ first }) => first).sort((a, b) => a - b)).toEqual(
      Array.from({ length: partCount(upload) }, (_, i) => i + 1),
    );
    expect(await copyAll(listed, upload, across)).toEqual([]);
    expect(await finished(listed, upload, across)).toMatchObject({ receipt: { outcome: "rewrapped" } });
    expect(harbour.source.openBodies).toBe(0);
  });

  it("whose source changes on the way is STORE_CHANGED, and nothing is visible", async () => {
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    const upload = await begun(listed, across);
    await copyGroup(listed, upload, 0, nobody, across, limits());
    await harbour.sealed("a", randomBytes(text.length));
    expect((await errorOf(copyAll(listed, upload, across))).code).toBe("STORE_CHANGED");
    await expectNothing("a");
    expect(await abortUploads("a", 0, undefined, across)).toBeUndefined();
    await expectTidy("a");
  });

  it("whose source changes after its last part is STORE_CHANGED, and nothing is visible", async () => {
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    const upload = await begun(listed, across);
    await copyAll(listed, upload, across);
    await harbour.source.inner.remove("a", NEVER);
    expect((await errorOf(finished(listed, upload, across))).code).toBe("STORE_NOT_FOUND");
    await harbour.sealed("a", randomBytes(text.length));
    expect((await errorOf(finished(listed, upload, across))).code).toBe("STORE_CHANGED");
    await expectNothing("a");
  });

  it("is not written over a stranger: before it is begun, nor after", async () => {
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    const upload = await begun(listed, across);
    await copyAll(listed, upload, across);
    const put = { sizeBytes: 3, attributes: { metadata: new Map() }, condition: "absent" as const, signal: NEVER };
    const three = async function* (letters: string) {
      yield Buffer.from(letters);
    };
    await destination.put("a", three("abc"), put);
    expect((await errorOf(finished(listed, upload, across))).code).toBe("CONFLICT");
    expect((await errorOf(beginHuge(listed, across))).code).toBe("CONFLICT");
    expect((await bytesAt("a")).toString()).toBe("abc");
    // With overwrite what was seen is replaced, and nothing that came after.
    const over = crossing({ overwrite: true });
    const again = await begun(listed, over);
    await copyAll(listed, again, over);
    await destination.put("a", three("xyz"), { ...put, condition: "any" });
    expect(await finished(listed, again, over)).toMatchObject({ lost: { code: "PROVIDER_ERROR" } });
    expect((await bytesAt("a")).toString()).toBe("xyz");
    const third = await begun(listed, over);
    await copyAll(listed, third, over);
    expect(await finished(listed, third, over)).toMatchObject({ receipt: { outcome: "rewrapped", verified: true } });
    await abortUploads("a", 0, undefined, over);
    await expectTidy("a");
  });

  it("begun twice at once is finished by one, and is the other's as well", async () => {
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    const uploads = [await begun(listed, across), await begun(listed, across)];
    expect(uploads[0]?.uploadId).not.toBe(uploads[1]?.uploadId);
    for (const upload of uploads) await copyAll(listed, upload, across);
    const ends = await Promise.all(uploads.map((upload) => finished(listed, upload, across)));
    const outcomes = ends.map((end) => ("receipt" in end ? end.receipt.outcome : "none")).sort();
    expect(outcomes).toEqual(["already", "rewrapped"]);
    await abortUploads("a", 0, undefined, across);
    await expectTidy("a");
  });

  it("whose upload is gone is begun again", async () => {
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    const upload = await begun(listed, across);
    await copyGroup(listed, upload, 0, nobody, across, limits());
    await parts().abort({ key: "a", id: upload.uploadId }, NEVER);
    expect(await copyGroup(listed, upload, 1, nobody, across, limits())).toBeUndefined();
    expect(await finished(listed, upload, across)).toMatchObject({ lost: { retry: "later" } });
    const again = await begun(listed, across);
    await copyAll(listed, again, across);
    expect(await finished(listed, again, across)).toMatchObject({ receipt: { outcome: "rewrapped" } });
  });

  it("differing from the CRC32C that its source states is begun again, and nothing is visible", async () => {
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    const upload = await begun(listed, across);
    let turn = 0;
    harbour.source.changeBody = async function* (body) {
      const whole = Buffer.concat([await collect(body)]);
      if (turn++ === 1) whole.writeUInt8(whole.readUInt8(7) ^ 1, 7);
      yield whole;
    };
    await copyAll(listed, upload, across);
    expect(await finished(listed, upload, across)).toMatchObject({ lost: { code: "STORE_CHECKSUM" } });
    await expectNothing("a");
  });

  it("does not become visible under a key that another job wraps with", async () => {
    const listed = await harbour.sealed("a", text);
    const upload = await begun(listed, crossing());
    await copyAll(listed, upload, crossing());
    const strange = crossing({ wrapWith: OTHER });
    expect((await errorOf(finished(listed, upload, strange))).code).toBe("VERIFY_MISMATCH");
  });

  it("is left to one worker where it is sealed afresh, refused, small or filtered out", async () => {
    const plain = await harbour.plain("plain", text);
    const small = await harbour.sealed("small", randomBytes(MIB / 2));
    const sealed = await harbour.sealed("sealed", text);
    const foreign = await harbour.plain("broken", text, { metadata: new Map([["x-amz-key-v2", "!"]]) });
    const all = [plain, small, sealed, foreign];
    expect([...(await hugeAmong(all, crossing()))]).toEqual(["sealed"]);
    expect([...(await hugeAmong(all, crossing({ fallback: "copy" })))].sort()).toEqual(["plain", "sealed"]);
    expect([...(await hugeAmong(all, crossing({ filter: () => false })))]).toEqual([]);
    expect([...(await hugeAmong(all, crossing({ hugeBytes: undefined })))]).toEqual([]);
    harbour.source.beforeHead = () => {
      throw new Error("no source today");
    };
    expect([...(await hugeAmong([sealed], crossing({ attempts: 1 })))]).toEqual([]);
  });

  it.each(["V2", "V3"] as const)("with its envelope in an instruction file is rewrapped (%s)", async (format) => {
    const { body, file } = await putApart(harbour, "a", format, text);
    const bare = crossing({ allow: [OLD] });
    const across = { ...bare, shores: { ...bare.shores, sourceKms: shoresOf(harbour).sourceKms } };
    for (const neighbours of [undefined, neighboursIn([body, file])])
      expect([...(await hugeAmong([body, file], across, neighbours))]).toEqual(["a"]);
    const upload = await begun(body, across);
    await copyAll(body, upload, across);
    const receipt = { outcome: "rewrapped", verified: true, bytes: body.sizeBytes };
    expect(await finished(body, upload, across)).toMatchObject({ receipt });
    expect(await finished(body, upload, across)).toMatchObject({ receipt });
    expect(await beginHuge(body, across)).toMatchObject({ receipt: { outcome: "already", verified: true } });
    const opened = await destination.open("a", { signal: NEVER });
    const plaintext = await openPlaintext(opened.head, opened.body, across.shores.envelopes, [ring.kms], NEVER);
    expect(sha256(await collect(plaintext))).toBe(sha256(text));
    expect(harbour.leaked()).toBe(0);
    // What is put beside it since is not what was begun: it is neither believed nor held against what arrived.
    await harbour.raw(harbour.source, "a.instruction", Buffer.from("{}"));
    expect(await finished(body, upload, across)).toMatchObject({ receipt: { outcome: "rewrapped", verified: false } });
    await harbour.source.inner.remove("a.instruction", NEVER);
    expect(await finished(body, upload, across)).toMatchObject({ receipt: { outcome: "rewrapped", verified: false } });
    if (format === "V3") expect([...(await hugeAmong([body], across))]).toEqual([]);
  });

  it("without an envelope, to be copied, is carried", async () => {
    const listed = await harbour.plain("plain", text, { contentType: "text/x" });
    const across = crossing({ fallback: "copy" });
    const upload = await begun(listed, across);
    await copyAll(listed, upload, across);
    const receipt = { outcome: "carried", verified: false, bytes: text.length, crc32c: crc32c(text) };
    expect(await finished(listed, upload, across)).toMatchObject({ receipt });
    expect((await destination.head("plain", NEVER))?.attributes.contentType).toBe("text/x");
    expect((await bytesAt("plain")).equals(text)).toBe(true);
  });

  it("leaves no upload of a worker that was killed, and no stranger's is touched", async () => {
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    for (let i = 0; i < 3; i++) await begun(listed, across);
    const longer = await parts().begin("a.longer", {
      sizeBytes: 1,
      attributes: { metadata: new Map() },
      signal: NEVER,
    });
    await abortLeftovers([listed], Date.now() + 3_600_000, across);
    expect(await parts().uploads("a", NEVER)).toHaveLength(3);
    await abortLeftovers([listed], Date.now() - 1000, across);
    expect(await parts().uploads("a", NEVER)).toEqual([]);
    expect(await parts().uploads("a.longer", NEVER)).toHaveLength(1);
    await parts().abort({ key: "a.longer", id: longer }, NEVER);
  });
});

describe("an answer that is lost", () => {
  it.each([
    ["gcs", "complete"],
    ["s3", "complete"],
  ])("to %s at the %s is no loss", async (kind) => {
    destination = await (OPEN[kind] as () => Promise<ObjectStore>)();
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    const upload = await begun(listed, across);
    await copyAll(listed, upload, across);
    gcs.faults.add({ match: ({ path }) => path.endsWith("/o/a/compose"), loseAnswer: true });
    s3.faults.add({ match: ({ method, query }) => method === "POST" && query.has("uploadId"), loseAnswer: true });
    expect((await errorOf(finished(listed, upload, across))).retry).toBe("later");
    const receipt = { outcome: "rewrapped", verified: true };
    expect(await finished(listed, upload, across)).toMatchObject({ receipt });
    await abortUploads("a", 0, undefined, across);
    await expectTidy("a");
  });
});

/** As servers do that know no checksums: the list of parts says nothing of them. */
function silent(store: MemoryStore): ObjectStore {
  const { parts: inner, traits, name } = store;
  return {
    traits,
    name,
    head: (key, signal) => store.head(key, signal),
    open: (key, options) => store.open(key, options),
    put: (key, body, options) => store.put(key, body, options),
    list: (prefix, range, signal) => store.list(prefix, range, signal),
    remove: (key, signal) => store.remove(key, signal),
    close: () => store.close(),
    parts: {
      limits: inner.limits,
      begin: (key, options) => inner.begin(key, options),
      put: (upload, number, body, options) => inner.put(upload, number, body, options),
      list: async (upload, signal) =>
        (await inner.list(upload, signal))?.map((part) => ({ ...part, crc32c: undefined })),
      complete: (upload, options) => inner.complete(upload, options),
      abort: (upload, signal) => inner.abort(upload, signal),
      uploads: (key, signal) => inner.uploads(key, signal),
    },
  };
}

describe("where the store states no CRC32C of its parts", () => {
  it("a part counts only with the word of whoever sent it, and only as long as it is that part", async () => {
    destination = silent(new MemoryStore());
    const listed = await harbour.sealed("a", text);
    const across = crossing();
    const upload = await begun(listed, across);
    const sent = await copyAll(listed, upload, across);
    expect(await finished(listed, upload, across)).toMatchObject({ missing: { length: partCount(upload) } });
    const told = (list: readonly HeldPart[]): Witnesses =>
      new Map(list.map(({ first, tag, crc32c: crc = 0 }) => [first, [{ tag, crc32c: crc }]]));
    const wrong = told(sent.map((part) => (part.first === 2 ? { ...part, tag: "another" } : part)));
    expect(await finished(listed, upload, across, wrong)).toMatchObject({ missing: [2] });
    const again = await copyAll(listed, upload, across, wrong);
    expect(again.map(({ first }) => first)).toEqual([2]);
    expect(await finished(listed, upload, across, told(sent))).toMatchObject({ receipt: { outcome: "rewrapped" } });
  });
});
