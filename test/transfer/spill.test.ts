/** Envelopes that do not fit the destination's metadata, in instruction files: never a body without its file, whatever goes wrong between. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { envelopesWith } from "../../src/compose/envelopes.ts";
import { parseJob } from "../../src/config/job.ts";
import { Budget } from "../../src/core/budget.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { type KeyUri, keyUri } from "../../src/core/key.ts";
import type { ListedObject } from "../../src/core/object.ts";
import type { Envelope } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { startPocketS3 } from "../../src/pocket/s3.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import type { ObjectStore, StoreTraits } from "../../src/store/store.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { neighboursIn } from "../../src/transfer/divided.ts";
import { copyGroup } from "../../src/transfer/group.ts";
import { beginHuge, finishHuge } from "../../src/transfer/huge.ts";
import { planSource } from "../../src/transfer/look.ts";
import { copyPage } from "../../src/transfer/page.ts";
import { groupCount } from "../../src/transfer/partplan.ts";
import { provePage } from "../../src/transfer/prove.ts";
import { unsealed } from "../../src/transfer/read.ts";
import { readSeal } from "../../src/transfer/sealed.ts";
import { openAnyKey } from "../../src/transfer/keys.ts";
import type { Rules, Shores } from "../../src/transfer/shores.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { collect, errorOf, Harbour, headOf, inFlight, type KeyRing, makeKeyRing, rulesOf } from "./harness.ts";
import { failing, NEVER } from "./wayward.ts";

const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
/** As S3 has it. */
const NARROW: Partial<StoreTraits> = { metadataNames: "ascii-lower", metadataBytesMax: 2048 };
/** With the stamp of some 250 bytes there is room for V3's commitment and message id, and for no wrapped key. */
const LARGE = new Map([["notes", "n".repeat(1500)]]);
const PLAINTEXT = randomBytes(5000);
const FORMATS = [["V2", s3ecV2] as const, ["V3", s3ecV3] as const];

let ring: KeyRing;
let cloud: PocketAwsKms;
let aws: Kms;
let near: KeyUri;
let far: KeyUri;
beforeAll(async () => {
  ring = await makeKeyRing();
  cloud = await startPocketAwsKms();
  [near, far] = [keyUri(`aws-kms://${cloud.createKey()}`), keyUri(`aws-kms://${cloud.createKey()}`)];
  aws = openAwsKms({ endpoint: cloud.url, region: "us-east-1", credentials: CREDENTIALS });
});
afterAll(async () => {
  await aws.close();
  await Promise.all([cloud.close(), ring.cleanup()]);
});

let harbour: Harbour;
beforeEach(() => {
  harbour = new Harbour(ring, { destination: { traits: NARROW } });
});

const OPTIONS = { verify: true, signal: NEVER };
const named = (change: Partial<Rules> = {}) =>
  rulesOf({ wrapWith: far, allow: [near], verify: "full", spill: true, ...change });
const shores = (change: Partial<Shores> = {}): Shores => ({
  ...harbour.shores(),
  sourceKms: [aws],
  destinationKms: [aws],
  envelopes: envelopesWith({}),
  ...change,
});
const sealed = (key: string, envelope: Envelope = s3ecV3, metadata = LARGE, plaintext = PLAINTEXT) =>
  harbour.sealed(key, plaintext, envelope, { under: near, kms: aws, attributes: { metadata } });
const copy = (listed: ListedObject, change: Partial<Rules> = {}) =>
  copyObject(listed, shores(), named(change), OPTIONS);
const metadataOf = async (key: string) => (await headOf(harbour.destination, key))?.attributes.metadata;

/** As anybody reads it who has the destination's key, from what stands there alone. */
async function read(key: string, store: ObjectStore = harbour.destination): Promise<Buffer> {
  const found = await readSeal(store, key, envelopesWith({}), NEVER);
  const { body } = await store.open(key, { signal: NEVER });
  return collect(unsealed(body, found, () => openAnyKey(found, [aws], NEVER)));
}

async function keysThere(store: ObjectStore = harbour.destination): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of store.list("", {}, NEVER)) keys.push(...page.objects.map(({ key }) => key));
  return keys;
}

describe.each(FORMATS)("an envelope of %s that does not fit", (format, envelope) => {
  it("is refused by itself", async () => {
    const error = await errorOf(copy(await sealed("a", envelope), { spill: undefined }));
    expect(error.code).toBe("METADATA_UNFIT");
    expect(await keysThere()).toEqual([]);
  });

  it("is written into a file, before its body, and both are read together", async () => {
    const listed = await sealed("a", envelope);
    const receipt = await copy(listed);
    expect(receipt).toMatchObject({ outcome: "rewrapped", verified: true });
    expect(receipt.notes.join()).toContain("written into an instruction file");
    expect(receipt.notes.join().includes("nothing commits to its key")).toBe(format === "V2");
    expect(harbour.destination.calls.filter((call) => call.startsWith("put"))).toEqual(["put a.instruction", "put a"]);
    const body = await metadataOf("a");
    expect([...(body?.keys() ?? [])].filter((name) => name.startsWith("x-amz")).sort()).toEqual(
      format === "V2" ? [] : ["x-amz-c", "x-amz-d", "x-amz-i"],
    );
    expect([body?.get("notes"), body?.get("sealift-file")]).toEqual([LARGE.get("notes"), "apart"]);
    const file = await metadataOf("a.instruction");
    expect([file?.get("x-amz-crypto-instr-file"), file?.get("sealift-file")]).toEqual(["", "envelope"]);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
    expect(harbour.leaked()).toBe(0);
    // A later run that looks at listings alone would not see that the file is gone.
    expect([receipt.stood, (await copy(listed)).stood]).toEqual([undefined, undefined]);
  });

  it("is found again, compared, read to its end, and proven", async () => {
    const listed = await sealed("a", envelope);
    await copy(listed);
    expect(await copy(listed)).toMatchObject({ outcome: "already", verified: true });
    expect(await verifyObject(listed, shores(), named(), { full: true, signal: NEVER })).toMatchObject({
      verdict: "same",
      verified: true,
      opened: true,
    });
    const head = await headOf(harbour.source, "a");
    const page = [{ ...listed, ...(head && { head }) }];
    const proof = await provePage(page, shores(), named(), {
      atOnce: 1,
      neighbours: neighboursIn(page),
      signal: NEVER,
    });
    expect("receipts" in proof && proof.receipts).toMatchObject([{ outcome: "already", verified: true }]);
  });

  it("is moved on from there into the metadata of a wider store, and its file stays behind", async () => {
    await copy(await sealed("a", envelope));
    const home = new Harbour(ring).destination;
    const onward = shores({ source: harbour.destination, destination: home });
    const objects: ListedObject[] = [];
    for await (const page of harbour.destination.list("", {}, NEVER)) objects.push(...page.objects);
    const rules = named({ wrapWith: near, allow: [far], migration: "m-2" });
    const receipts = await copyPage(objects, {}, onward, rules, inFlight());
    expect(receipts.map(({ key, outcome }) => `${key} ${outcome}`)).toEqual(["a rewrapped", "a.instruction filtered"]);
    expect(await keysThere(home)).toEqual(["a"]);
    expect((await read("a", home)).equals(PLAINTEXT)).toBe(true);
  });
});

describe("a try that ended between file and body", () => {
  const fail = (key: string) => {
    harbour.destination.beforePut = (name) => {
      if (name === key) throw failing("NET_UNREACHABLE");
    };
  };
  const mend = () => void (harbour.destination.beforePut = () => {});

  it("leaves a file alone, which the next one writes anew under its version", async () => {
    const listed = await sealed("a");
    fail("a");
    expect((await errorOf(copy(listed))).code).toBe("NET_UNREACHABLE");
    expect(await keysThere()).toEqual(["a.instruction"]);
    const before = (await headOf(harbour.destination, "a.instruction"))?.version;
    mend();
    expect(await copy(listed)).toMatchObject({ outcome: "rewrapped", verified: true });
    expect((await headOf(harbour.destination, "a.instruction"))?.version).not.toBe(before);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });

  it("that never wrote the file has written no body", async () => {
    const listed = await sealed("a");
    fail("a.instruction");
    expect((await errorOf(copy(listed))).code).toBe("NET_UNREACHABLE");
    expect(await keysThere()).toEqual([]);
  });

  it("whose answers were lost has written both", async () => {
    const listed = await sealed("a");
    const lost = new Set<string>();
    harbour.destination.afterPut = (key) => {
      if (lost.has(key)) return;
      lost.add(key);
      throw failing("NET_TIMEOUT");
    };
    const [receipt] = await copyPage([listed], {}, shores(), named(), inFlight());
    expect([receipt?.outcome, [...lost]]).toEqual(["already", ["a.instruction", "a"]]);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });

  it("by another worker at the same moment does no harm, whoever is first with what", async () => {
    for (let turn = 0; turn < 20; turn++) {
      const listed = await sealed(`r${turn}`);
      const wait = () => new Promise<void>((resolve) => setTimeout(resolve, Math.random() * 4));
      harbour.destination.beforePut = wait;
      harbour.destination.afterPut = wait;
      const page = () => copyPage([listed], {}, shores(), named(), inFlight());
      const both = (await Promise.all([page(), page(), page()])).flat();
      for (const { outcome } of both) expect(["rewrapped", "already"]).toContain(outcome);
      expect((await read(`r${turn}`)).equals(PLAINTEXT)).toBe(true);
    }
  });

  it("over another version of the source is in the way, and left alone", async () => {
    const first = await sealed("a");
    fail("a");
    await errorOf(copy(first));
    mend();
    const second = await sealed("a", s3ecV3, LARGE, randomBytes(10));
    const error = await errorOf(copy(second));
    expect([error.code, error.message]).toEqual(["CONFLICT", expect.stringContaining('"a.instruction"')]);
    expect(await keysThere()).toEqual(["a.instruction"]);
  });
});

describe("what stands in the way", () => {
  it("under the file's name, is a conflict, also where the job replaces what it finds", async () => {
    const listed = await sealed("a");
    await harbour.raw(harbour.destination, "a.instruction", Buffer.from("precious"));
    for (const overwrite of [false, true]) expect((await errorOf(copy(listed, { overwrite }))).code).toBe("CONFLICT");
    expect(await keysThere()).toEqual(["a.instruction"]);
  });

  it("as a body that the file would be taken for, is a conflict, and is given no file", async () => {
    const listed = await sealed("a");
    await harbour.raw(harbour.destination, "a", Buffer.from("precious"));
    for (const overwrite of [false, true]) expect((await errorOf(copy(listed, { overwrite }))).code).toBe("CONFLICT");
    const late = copyObject(listed, shores(), named(), { ...OPTIONS, standing: "absent" });
    expect((await errorOf(late)).code).toBe("CONFLICT");
    expect(await keysThere()).toEqual(["a"]);
  });

  it("as a body with an envelope of its own, is replaced where the job says so", async () => {
    const listed = await sealed("a");
    const other = { under: far, kms: aws, store: harbour.destination };
    await harbour.sealed("a", Buffer.from("another"), s3ecV2, other);
    expect((await errorOf(copy(listed))).code).toBe("CONFLICT");
    expect(await copy(listed, { overwrite: true })).toMatchObject({ outcome: "rewrapped", verified: true });
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });

  it("as a body with a file of its own, is never replaced: what comes might be taken for that file's", async () => {
    await copy(await sealed("a"));
    const later = await harbour.plain("a", Buffer.from("plain"));
    for (const overwrite of [false, true])
      expect((await errorOf(copy(later, { overwrite, fallback: "copy" }))).code).toBe("CONFLICT");
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });

  it("is not the file of a body, for an object that is really called so", async () => {
    await copy(await sealed("a"));
    const listed = await sealed("a.instruction", s3ecV3, new Map());
    for (const overwrite of [false, true]) expect((await errorOf(copy(listed, { overwrite }))).code).toBe("CONFLICT");
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });
});

describe("a body whose file", () => {
  it("is gone, or is another's, is another object", async () => {
    const listed = await sealed("a");
    await copy(listed);
    const { body } = await harbour.destination.inner.open("a.instruction", { signal: NEVER });
    const bytes = await collect(body);
    const look = async () => (await verifyObject(listed, shores(), named(), { full: false, signal: NEVER })).verdict;
    await harbour.destination.inner.remove("a.instruction", NEVER);
    expect(await look()).toBe("different");
    expect((await errorOf(copy(listed))).code).toBe("CONFLICT");
    await copy(await sealed("b"));
    const others = await collect((await harbour.destination.inner.open("b.instruction", { signal: NEVER })).body);
    await harbour.raw(harbour.destination, "a.instruction", others);
    expect(await look()).toBe("different");
    await harbour.raw(harbour.destination, "a.instruction", Buffer.from("{"));
    expect(await look()).toBe("different");
    await harbour.raw(harbour.destination, "a.instruction", bytes);
    expect(await look()).toBe("same");
  });

  it("is lost in the store after the put is told at once", async () => {
    const listed = await sealed("a");
    harbour.destination.changeReceipt = (receipt) => ({ ...receipt, crc32c: 1 });
    expect((await errorOf(copy(listed))).code).toBe("VERIFY_MISMATCH");
    expect(await keysThere()).toEqual(["a.instruction"]);
  });
});

it("what fits stays in the metadata, and what is not only the envelope's fault is refused", async () => {
  expect(await copy(await sealed("small", s3ecV3, new Map()))).toMatchObject({ outcome: "rewrapped" });
  expect(await keysThere()).toEqual(["small"]);
  const vast = new Map([["notes", "n".repeat(1900)]]);
  expect((await errorOf(copy(await sealed("vast", s3ecV3, vast)))).code).toBe("METADATA_UNFIT");
  const plain = await harbour.plain("plain", PLAINTEXT, { metadata: LARGE });
  expect((await errorOf(copy(plain))).code).toBe("METADATA_UNFIT");
  expect(await keysThere()).toEqual(["small"]);
});

it("the plan says it beforehand, and a file is called as the job's own are", async () => {
  const listed = await sealed("a", s3ecV3, new Map([["notes", "n".repeat(1700)]]));
  const own = shores({ envelopes: envelopesWith({ instructionSuffix: ".mine" }) });
  const plan = await planSource(listed, own, named(), NEVER, undefined);
  expect(plan.notes.join()).toContain("written into an instruction file");
  expect(await copyObject(listed, own, named(), OPTIONS)).toMatchObject({ outcome: "rewrapped", verified: true });
  expect(await keysThere()).toEqual(["a", "a.mine"]);
  expect(await copyObject(listed, own, named(), OPTIONS)).toMatchObject({ outcome: "already", verified: true });
});

describe("a huge object on S3", () => {
  it("has its file before its first part, and is begun again where that is gone at the end", async () => {
    const s3 = await startPocketS3({ credentials: CREDENTIALS });
    s3.createBucket("far");
    const where = { bucket: "far", endpoint: s3.url, region: "us-east-1", credentials: CREDENTIALS };
    const destination = await openS3Store({ ...where, buffer: new Budget(32 * 2 ** 20) });
    try {
      const text = randomBytes(11 * 2 ** 20);
      const listed = await sealed("huge", s3ecV3, LARGE, text);
      const across = { shores: shores({ destination }), rules: named({ hugeBytes: 2 ** 20 }), signal: NEVER };
      const begin = async () => {
        const begun = await beginHuge(listed, across);
        if (!("upload" in begun)) throw new Error("it was not begun");
        for (let group = 0; group < groupCount(begun.upload); group++)
          await copyGroup(listed, begun.upload, group, new Map(), across, { objects: new Budget(8), random: () => 0 });
        return begun.upload;
      };
      const first = await begin();
      expect(await keysThere(destination)).toEqual(["huge.instruction"]);
      await destination.remove("huge.instruction", NEVER);
      expect(await finishHuge(listed, first, new Map(), across)).toMatchObject({ lost: { code: "PROVIDER_ERROR" } });
      expect(await destination.head("huge", NEVER)).toBeUndefined();
      const receipt = { outcome: "rewrapped", verified: true };
      expect(await finishHuge(listed, await begin(), new Map(), across)).toMatchObject({ receipt });
      expect((await read("huge", destination)).equals(text)).toBe(true);
      expect(await beginHuge(listed, across)).toMatchObject({ receipt: { outcome: "already", verified: true } });
      expect((await destination.head("huge.instruction", NEVER))?.attributes.metadata.get("sealift-file")).toBe(
        "envelope",
      );
    } finally {
      await destination.close();
      await s3.close();
    }
  });
});

it("a job asks for it under AWS alone", () => {
  const refusal = (destination: string, wrapWith: string) => {
    const keys = { wrapWith, localDirectory: "/keys" };
    const sides = { source: { url: "gs://near" }, destination: { url: destination } };
    const options = { spill: "instruction-file" };
    try {
      parseJob(JSON.stringify({ apiVersion: "sealift/v1", kind: "Migration", ...sides, keys, options }), "job");
      return "accepted";
    } catch (error) {
      return asSealiftError(error).message;
    }
  };
  expect(refusal("s3://far", far)).toBe("accepted");
  expect(refusal("gs://far", far)).toContain("options.spill");
  expect(refusal("s3://far", "local://new")).toContain("options.spill");
});
