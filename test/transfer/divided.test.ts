/** Bodies whose envelope lies in a neighbouring object: joined, rewrapped, never taken for plain, never sealed over. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ByteStream, ListedObject } from "../../src/core/object.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { neighboursIn } from "../../src/transfer/divided.ts";
import { planSource } from "../../src/transfer/look.ts";
import { copyPage, type PageLimits } from "../../src/transfer/page.ts";
import { provePage } from "../../src/transfer/prove.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import type { Rules } from "../../src/transfer/shores.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { type Apart, type Format, putApart, putFile, shoresOf, wrappedAgain } from "./apart.ts";
import {
  bytesOf,
  collect,
  errorOf,
  Harbour,
  headOf,
  inFlight,
  type KeyRing,
  makeKeyRing,
  OLD,
  rulesOf,
} from "./harness.ts";
import { failing, NEVER } from "./wayward.ts";

const PLAINTEXT = Buffer.from("what only its writer and its reader should see");
const FORMATS: readonly Format[] = ["V1", "V2", "V3"];

let ring: KeyRing;
let harbour: Harbour;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
});

const named = (change: Partial<Rules> = {}) => rulesOf({ allow: [OLD], verify: "full", ...change });
const run = (objects: readonly ListedObject[], change: Partial<Rules> = {}, limits: Partial<PageLimits> = {}) =>
  copyPage(objects, {}, shoresOf(harbour), named(change), { ...inFlight(), ...limits });
const told = async (receipts: ReturnType<typeof run>) =>
  (await receipts).map(({ key, outcome, code }) => [key, outcome, ...(code ? [code] : [])].join(" "));
const put = (key: string, format: Format, change?: (made: Apart) => Apart) =>
  putApart(harbour, key, format, PLAINTEXT, change);
const prove = (page: readonly ListedObject[]) =>
  provePage(page, shoresOf(harbour), named(), { atOnce: 2, neighbours: neighboursIn(page), signal: NEVER });

/** With the destination's key alone, from the destination's own head alone. */
async function read(key: string): Promise<Buffer> {
  const { head, body } = await harbour.destination.inner.open(key, { signal: NEVER });
  return collect(await openPlaintext(head, body, harbour.shores().envelopes, [harbour.destinationKms], NEVER));
}

async function keysAtDestination(): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of harbour.destination.inner.list("", {}, NEVER))
    keys.push(...page.objects.map(({ key }) => key));
  return keys;
}

async function* cut(): ByteStream {
  yield Buffer.from("{");
  throw failing("STORE_CUT");
}

const asked = (verb: string) => harbour.source.calls.filter((call) => call.startsWith(verb));

describe.each(FORMATS)("an object of format %s with its envelope in an instruction file", (format) => {
  it("is rewrapped into its own metadata and opens with the destination's key alone; the file stays where it is", async () => {
    const { body, file } = await put("a", format);
    const [first, second] = await run([body, file]);
    expect(first).toMatchObject({ key: "a", outcome: "rewrapped", verified: true, bytes: body.sizeBytes });
    expect(first?.notes.join()).toContain("its envelope was in an instruction file");
    expect(second).toMatchObject({ key: "a.instruction", outcome: "filtered", bytes: 0, attempts: 1 });
    expect(second?.notes.join()).toContain("holds the envelope of another object");
    expect(await keysAtDestination()).toEqual(["a"]);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
    expect((await bytesOf(harbour.destination, "a")).equals(await bytesOf(harbour.source, "a"))).toBe(true);
    const metadata = (await headOf(harbour.destination, "a"))?.attributes.metadata;
    expect([metadata?.get("owner"), metadata?.has("x-amz-key")]).toEqual(["app", false]);
    expect(harbour.leaked()).toBe(0);
    expect([harbour.source.openBodies, harbour.destination.openBodies]).toEqual([0, 0]);
  });

  it("is found again, compared and proven, and its file with it", async () => {
    const { body, file } = await put("a", format);
    const page = [body, file];
    await run(page);
    expect(await told(run(page))).toEqual(["a already", "a.instruction filtered"]);
    const shores = shoresOf(harbour);
    for (const neighbours of [undefined, neighboursIn(page)]) {
      const options = { full: true, signal: NEVER, neighbours };
      expect(await verifyObject(body, shores, named(), options)).toMatchObject({
        verdict: "same",
        verified: true,
        opened: true,
      });
      expect(await verifyObject(file, shores, named(), options)).toMatchObject({ verdict: "filtered" });
      const plans = page.map((one) => planSource(one, shores, named(), NEVER, neighbours));
      expect((await Promise.all(plans)).map(({ action }) => action)).toEqual(["rewrap", "filtered"]);
    }
    const proof = await prove(page);
    expect("receipts" in proof && proof.receipts.map(({ outcome }) => outcome)).toEqual(["already", "filtered"]);
    await harbour.destination.inner.remove("a", NEVER);
    expect(await prove(page)).toMatchObject({ doubt: { key: "a", why: "missing" } });
  });

  it("arrives also where body and file are on different pages, whichever is first, with one more request each", async () => {
    const { body, file } = await put("a", format);
    expect(await told(run([file]))).toEqual(["a.instruction filtered"]);
    expect(asked("")).toEqual(["head a", "open a.instruction"]);
    harbour.source.calls.length = 0;
    expect(await told(run([body]))).toEqual(["a rewrapped"]);
    expect(asked("")).toEqual(["open a", "open a.instruction"]);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
    expect(await keysAtDestination()).toEqual(["a"]);
  });

  it("is not mixed up by a filter: body and file are kept out each for itself", async () => {
    const { body, file } = await put("a", format);
    expect(await told(run([body, file], { filter: ({ key }) => key !== "a" }))).toEqual([
      "a filtered",
      "a.instruction filtered",
    ]);
    expect(await keysAtDestination()).toEqual([]);
    expect(await told(run([body, file], { filter: ({ key }) => key === "a" }))).toEqual([
      "a rewrapped",
      "a.instruction filtered",
    ]);
  });

  it("is a conflict where another object stands, and is not where the job replaces it", async () => {
    const { body, file } = await put("a", format);
    await harbour.raw(harbour.destination, "a", Buffer.from("precious"));
    expect(await told(run([body, file]))).toEqual(["a conflict CONFLICT", "a.instruction filtered"]);
    expect((await bytesOf(harbour.destination, "a")).toString()).toBe("precious");
    expect(await told(run([body, file], { overwrite: true }))).toEqual(["a rewrapped", "a.instruction filtered"]);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });

  it("is refused without its file, unless nothing at all shows that it had one", async () => {
    const { body } = await put("a", format, (made) =>
      format === "V3" ? made : { ...made, metadata: { "x-amz-iv": "AAAA" } },
    );
    await harbour.source.inner.remove("a.instruction", NEVER);
    expect(await told(run([body]))).toEqual(["a refused SEAL_UNSUPPORTED"]);
    expect(await keysAtDestination()).toEqual([]);
  });
});

describe("one request each", () => {
  it("a plain object at the end of a page costs one question, all others none", async () => {
    const page = [];
    for (const key of ["a", "b", "c"]) page.push(await harbour.plain(key, Buffer.from(key)));
    expect(await told(run(page, { fallback: "copy", verify: "none" }))).toEqual([
      "a carried",
      "b carried",
      "c carried",
    ]);
    expect(asked("")).toEqual(["open a", "open b", "open c", "open c.instruction"]);
  });

  it("what the listing has shown is read before the body is opened, once, and by nobody who has an envelope already", async () => {
    const { body, file } = await put("a", "V2");
    await run([body, file], { filter: ({ key }) => key === "a" });
    expect(asked("")).toEqual(["open a.instruction", "open a"]);
    harbour.source.calls.length = 0;
    const whole = await harbour.sealed("w", PLAINTEXT);
    await run([whole]);
    expect(asked("")).toEqual(["open w"]);
  });
});

describe("a file that changes", () => {
  it("since it was listed: the body fails, and nothing is written", async () => {
    const { body, file } = await put("a", "V2");
    await putApart(harbour, "z", "V2", PLAINTEXT);
    await putFile(harbour, "a", (await bytesOf(harbour.source, "z.instruction")).toString());
    expect(await told(run([body, file]))).toEqual(["a failed STORE_CHANGED", "a.instruction failed STORE_CHANGED"]);
    expect(await keysAtDestination()).toEqual([]);
  });

  it("or is gone since it was listed: the body is not taken for plain", async () => {
    const { body, file } = await put("a", "V2");
    await harbour.source.inner.remove("a.instruction", NEVER);
    expect(await told(run([body, file], { fallback: "copy" }))).toEqual([
      "a failed STORE_NOT_FOUND",
      "a.instruction failed STORE_NOT_FOUND",
    ]);
    expect(await keysAtDestination()).toEqual([]);
  });

  it("after it was read changes nothing of the object, which is written from the bytes that were read", async () => {
    const { body } = await put("a", "V2");
    harbour.destination.beforePut = async () => void (await putFile(harbour, "a", "{}"));
    expect(await told(run([body]))).toEqual(["a rewrapped"]);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
    expect(await told(run([body]))).toEqual(["a refused SEAL_MALFORMED"]);
  });

  it("by a rotation of its writer's key is the same object still, as long as it is described as it was", async () => {
    const { body } = await put("a", "V2");
    await run([body]);
    const file = JSON.parse((await bytesOf(harbour.source, "a.instruction")).toString());
    const again = await wrappedAgain(ring, file["x-amz-key-v2"]);
    await putFile(harbour, "a", { ...file, "x-amz-key-v2": again });
    expect(await told(run([body]))).toEqual(["a already"]);
    await putFile(harbour, "a", { ...file, "x-amz-key-v2": again, "x-amz-matdesc": '{"keyId":"tenant-2"}' });
    expect(await told(run([body]))).toEqual(["a conflict CONFLICT"]);
  });

  it("whose reading is cut is read again", async () => {
    const { body, file } = await put("a", "V2");
    let cuts = 1;
    harbour.source.changeBody = (stream, key) => (key.endsWith(".instruction") && cuts-- > 0 ? cut() : stream);
    expect(await told(run([body, file], {}, { serial: true }))).toEqual(["a rewrapped", "a.instruction filtered"]);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });
});

describe("what is refused, the file with the body where it is no envelope", () => {
  const cases: Record<string, readonly [string, (file: Apart["file"]) => unknown]> = {
    "text that is no JSON": ["SEAL_MALFORMED", () => "see the readme"],
    nothing: ["SEAL_MALFORMED", () => ""],
    "an object without a key": ["SEAL_MALFORMED", () => ({})],
    "a name that no client writes": ["SEAL_UNSUPPORTED", (file) => ({ ...file, EncryptedEnvelopeKey: "AAAA" })],
    "the commitment of the body": ["SEAL_MALFORMED", (file) => ({ ...file, "x-amz-d": "AAAA" })],
    "our own names": ["SEAL_UNSUPPORTED", (file) => ({ ...file, "sealift-key": OLD })],
    "an envelope of V3": ["SEAL_MALFORMED", () => ({ "x-amz-3": "AAAA", "x-amz-w": "02", "x-amz-iv": "AAAA" })],
  };
  it.each(Object.entries(cases))("%s", async (_, [code, change]) => {
    const { body, file } = await put("a", "V2");
    const said = JSON.parse((await bytesOf(harbour.source, file.key)).toString());
    const changed = await putFile(harbour, "a", change(said));
    expect(await told(run([body, changed], { fallback: "copy" }))).toEqual([
      `a refused ${code}`,
      `a.instruction refused ${code}`,
    ]);
    expect(await keysAtDestination()).toEqual([]);
  });

  it("what is longer than an envelope, without being read", async () => {
    const { body, file } = await put("a", "V2");
    const text = (await bytesOf(harbour.source, file.key)).toString();
    const long = await putFile(harbour, "a", text + " ".repeat(64 * 1024));
    expect(await told(run([body, long], { fallback: "copy" }))).toEqual([
      "a refused SEAL_MALFORMED",
      "a.instruction refused SEAL_UNSUPPORTED",
    ]);
    expect([harbour.source.openBodies, await keysAtDestination()]).toEqual([0, []]);
  });

  it("a body that says something else than its file", async () => {
    const other = (made: Apart): Apart => ({ ...made, metadata: { "x-amz-iv": randomBytes(12).toString("base64") } });
    const { body, file } = await put("a", "V2", other);
    expect(await told(run([body, file]))).toEqual(["a refused SEAL_MALFORMED", "a.instruction refused SEAL_MALFORMED"]);
  });

  it("but not one that says the same, or leaves it empty", async () => {
    const same = (made: Apart): Apart => ({
      ...made,
      metadata: {
        "X-Amz-Iv": String(made.file["x-amz-iv"]),
        "x-amz-matdesc": '{"keyId":"tenant-1"}',
        "x-amz-cek-alg": "",
      },
    });
    const { body, file } = await put("a", "V2", same);
    expect(await told(run([body, file]))).toEqual(["a rewrapped", "a.instruction filtered"]);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });

  it("a V2 envelope beside a V3 body: nobody gets around the commitment", async () => {
    const { file } = await put("b", "V2");
    const { body } = await put("a", "V3");
    const stolen = await putFile(harbour, "a", (await bytesOf(harbour.source, file.key)).toString());
    expect(await told(run([body, stolen]))).toEqual([
      "a refused SEAL_MALFORMED",
      "a.instruction refused SEAL_MALFORMED",
    ]);
  });

  it("another object's V3 file: the commitment is not this key's", async () => {
    const { file } = await put("b", "V3");
    const { body } = await put("a", "V3");
    const stolen = await putFile(harbour, "a", (await bytesOf(harbour.source, file.key)).toString());
    expect((await told(run([body, stolen])))[0]).toBe("a refused SEAL_FORGED");
    expect(await keysAtDestination()).toEqual([]);
  });

  it("a file without a body, and one whose body has its envelope itself: metadata wins, as with every reader", async () => {
    const alone = await putFile(harbour, "alone", { "x-amz-key-v2": "AAAA" });
    expect(await told(run([alone]))).toEqual(["alone.instruction refused SEAL_UNSUPPORTED"]);
    const whole = await harbour.sealed("w", PLAINTEXT);
    const beside = await putFile(harbour, "w", { "x-amz-key-v2": "AAAA" });
    const receipts = await run([whole, beside]);
    expect(receipts.map(({ outcome, code }) => code ?? outcome)).toEqual(["rewrapped", "SEAL_UNSUPPORTED"]);
    expect(receipts[1]?.message).toMatch(/no object beside it waits for one/);
    expect((await read("w")).equals(PLAINTEXT)).toBe(true);
  });

  it("not a plain object with somebody's V2 file beside it, which no reader could tell: a full comparison does", async () => {
    const { file: other } = await put("b", "V2");
    const plain = await harbour.plain("a", Buffer.from("in the clear, and long enough"));
    const planted = await putFile(harbour, "a", (await bytesOf(harbour.source, other.key)).toString());
    expect(await told(run([plain, planted]))).toEqual(["a rewrapped", "a.instruction filtered"]);
    const full = { full: true, signal: NEVER };
    const finding = await verifyObject(plain, shoresOf(harbour), named({ attempts: 1 }), full);
    expect([finding.verdict, finding.code]).toEqual(["unproven", "SEAL_FORGED"]);
  });

  it("an envelope for which the destination has no room beside the object", async () => {
    harbour = new Harbour(ring, { destination: { traits: { metadataBytesMax: 400 } } });
    const { body, file } = await put("a", "V2");
    expect(await told(run([body, file]))).toEqual(["a refused METADATA_UNFIT", "a.instruction filtered"]);
    expect(await keysAtDestination()).toEqual([]);
    expect(harbour.destinationKms.calls).toEqual([]);
  });

  it("a key that the job does not name", async () => {
    const { body, file } = await put("a", "V2");
    expect(await told(run([body, file], { allow: [] }))).toEqual([
      "a refused KMS_KEY_NOT_ALLOWED",
      "a.instruction filtered",
    ]);
  });
});

describe("names that only look so", () => {
  it("an object called .instruction that is sealed itself is an object; a plain one beside it is in doubt", async () => {
    const sealed = await harbour.sealed("a.instruction", PLAINTEXT);
    const plain = await harbour.plain("a", Buffer.from("a"));
    expect(await told(run([plain, sealed]))).toEqual(["a refused SEAL_MALFORMED", "a.instruction rewrapped"]);
    expect((await read("a.instruction")).equals(PLAINTEXT)).toBe(true);
  });

  it("a body outside of the job's prefix is not looked at", async () => {
    const { file } = await put("a", "V2");
    const shores = { ...shoresOf(harbour), sourcePrefix: "a." };
    const error = await errorOf(copyObject(file, shores, named(), { verify: false, signal: NEVER }));
    expect(error.code).toBe("SEAL_UNSUPPORTED");
    expect(harbour.source.calls).toEqual(["open a.instruction"]);
  });

  it("a name that leaves no room for a file has none", async () => {
    harbour = new Harbour(ring, { source: { traits: { keyBytesMax: 12 } } });
    const long = await harbour.plain("x", Buffer.from("x"));
    await run([long], { fallback: "copy" });
    expect(asked("")).toEqual(["open x"]);
  });
});
