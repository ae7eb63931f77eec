/** Row 2. A writer of the source relabels envelopes, mixes their versions, swaps keys and instruction files. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ListedObject } from "../../src/core/object.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { neighboursIn } from "../../src/transfer/divided.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { planSource } from "../../src/transfer/look.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { bytesOf, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, rulesOf } from "../transfer/harness.ts";
import { NEVER, RewrappingKms } from "../transfer/wayward.ts";

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
const kmsCalls = () => [...harbour.sourceKms.calls, ...harbour.destinationKms.calls];

/** The object as its attacker leaves it: names set, and with `undefined` removed. */
async function relabelled(
  change: Readonly<Record<string, string | undefined>>,
  make: () => Promise<unknown>,
): Promise<ListedObject> {
  await make();
  const head = await headOf(harbour.source, "a");
  const metadata = new Map(head?.attributes.metadata);
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined) metadata.delete(name);
    else metadata.set(name, value);
  }
  return harbour.raw(harbour.source, "a", await bytesOf(harbour.source, "a"), { metadata });
}

const text = Buffer.from("sixteen bytes...sixteen bytes...");
const v2 = () => harbour.sealed("a", text, s3ecV2);
const v3 = () => harbour.sealed("a", text, s3ecV3);
const b64 = (bytes: number) => Buffer.alloc(bytes, 7).toString("base64");
const CBC = "AES/CBC/PKCS5Padding";
/** The wrap that came before `kms+context`: the content algorithm is not bound to the data key. */
const UNBOUND = {
  "x-amz-wrap-alg": "kms",
  "x-amz-matdesc": '{"kms_cmk_id":"k"}',
  "sealift-key": undefined,
  "sealift-aad": undefined,
};

describe("an envelope that says something else than its writer did", () => {
  const attacks: Record<string, readonly [Readonly<Record<string, string | undefined>>, () => Promise<unknown>]> = {
    "GCM relabelled as CBC": [{ "x-amz-cek-alg": CBC }, v2],
    "GCM relabelled as CBC, its tag length stripped": [{ "x-amz-cek-alg": CBC, "x-amz-tag-len": undefined }, v2],
    "GCM relabelled as CBC, with an IV to match": [
      { "x-amz-cek-alg": CBC, "x-amz-tag-len": undefined, "x-amz-iv": b64(16) },
      v2,
    ],
    "GCM relabelled as CTR": [{ "x-amz-cek-alg": "AES/CTR/NoPadding" }, v2],
    "a tag cut to 96 bits": [{ "x-amz-tag-len": "96" }, v2],
    "a tag of no bits": [{ "x-amz-tag-len": "0" }, v2],
    "another IV length": [{ "x-amz-iv": b64(11) }, v2],
    "base64 with something behind it": [{ "x-amz-iv": `${b64(12)}AA` }, v2],
    "a length that the body does not have": [{ "x-amz-unencrypted-content-length": "1" }, v2],
    "V2 with the key of V3 beside it": [{ "x-amz-3": b64(64) }, v2],
    "V3 with the key of V2 beside it": [{ "x-amz-key-v2": b64(64) }, v3],
    "V3 with the key of V1 beside it": [{ "x-amz-key": b64(64) }, v3],
    "V3 read as V2": [{ "x-amz-3": undefined, "x-amz-key-v2": b64(64), "x-amz-wrap-alg": "local-kms+context" }, v3],
    "V3 without its commitment": [{ "x-amz-d": undefined }, v3],
    "V3 with a shorter commitment": [{ "x-amz-d": b64(8) }, v3],
    "V3 with a message id of zeros": [{ "x-amz-i": Buffer.alloc(28).toString("base64") }, v3],
    "V3 with a suite that commits to nothing": [{ "x-amz-c": "114" }, v3],
    "V3 with its key in an instruction file": [
      { "x-amz-3": undefined, "x-amz-w": undefined, "x-amz-t": undefined },
      v3,
    ],
    "a context that names a pair twice": [
      { "x-amz-matdesc": '{"tenant":"42","tenant":"43","aws:x-amz-cek-alg":"AES/GCM/NoPadding"}' },
      v2,
    ],
    "the same name in two spellings": [{ "X-Amz-Key-V2": b64(64) }, v2],
    "our names beside a wrap that is not ours": [{ "x-amz-wrap-alg": "kms+context" }, v2],
    "a wrap by a raw RSA key": [{ "x-amz-wrap-alg": "RSA-OAEP-SHA1" }, v2],
    "names of the format, and no key": [
      { "x-amz-key-v2": undefined, "sealift-key": undefined, "sealift-aad": undefined },
      v2,
    ],
    "an unbound wrap relabelled as CBC": [{ ...UNBOUND, "x-amz-cek-alg": CBC }, v2],
  };
  for (const [name, [change, make]] of Object.entries(attacks)) {
    it(`is refused: ${name}; nothing is opened, nothing repaired, nothing written`, async () => {
      const listed = await relabelled(change, make);
      const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf({ fallback: "seal" }), quick));
      expect(error.code).toMatch(/^SEAL_(MALFORMED|UNSUPPORTED)$/);
      expect(kmsCalls()).toEqual([]);
      expect(await headOf(harbour.destination, "a")).toBeUndefined();
    });
  }

  it("is not opened by the KMS where a pair was taken out of the context to which the key is bound", async () => {
    const listed = await relabelled({ "x-amz-matdesc": '{"tenant":"42"}' }, v2);
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("KMS_CANNOT_OPEN");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });

  it("and can be whole all the same, in the one wrap that binds no algorithm, is told to whoever plans the move", async () => {
    // GCM under `kms`, relabelled as CBC with all that CBC needs: no reader can tell, and the note says so.
    const change = { ...UNBOUND, "x-amz-cek-alg": CBC, "x-amz-iv": b64(16), "x-amz-tag-len": undefined };
    const listed = await relabelled(change, v2);
    const plan = await planSource(listed, harbour.shores(), rulesOf({ account: "111122223333" }), NEVER, undefined);
    expect(plan).toMatchObject({ action: "rewrap", content: CBC });
    expect(plan.advisories).toEqual(["cbc", "unbound"]);
  });

  it("(as it was, each of them is moved: the control)", async () => {
    for (const make of [v2, v3]) {
      harbour = new Harbour(ring);
      const listed = await relabelled({}, make);
      expect((await copyObject(listed, harbour.shores(), rulesOf(), quick)).outcome).toBe("rewrapped");
    }
  });
});

describe("somebody else's V3 key under one's own commitment", () => {
  async function swapped(): Promise<ListedObject> {
    await harbour.sealed("other", text, s3ecV3);
    const other = (await headOf(harbour.source, "other"))?.attributes.metadata.get("x-amz-3") ?? "";
    return relabelled({ "x-amz-3": other }, v3);
  }

  it("is found before anything is wrapped again", async () => {
    const listed = await swapped();
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("SEAL_FORGED");
    expect(harbour.destinationKms.calls).toEqual([]);
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });

  it("is found before a rewrap by the provider, where the object is verified", async () => {
    harbour.sourceKms = new RewrappingKms(ring.kms);
    const listed = await swapped();
    const careful = { verify: true, signal: NEVER };
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), careful))).code).toBe("SEAL_FORGED");
    expect(harbour.sourceKms.calls).toEqual(["unwrap"]);
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });

  it("goes along in a rewrap by the provider that is not verified, which never shows us the key; verifying finds it, and so does every reader", async () => {
    harbour.sourceKms = new RewrappingKms(ring.kms);
    const listed = await swapped();
    expect((await copyObject(listed, harbour.shores(), rulesOf(), quick)).outcome).toBe("rewrapped");
    const finding = await verifyObject(listed, harbour.shores(), rulesOf(), { full: false, signal: NEVER });
    expect(["different", "unproven"]).toContain(finding.verdict);
    // The commitment was carried as it stood: nothing vouches for the swapped key.
    const there = await headOf(harbour.destination, "a");
    const here = await headOf(harbour.source, "a");
    expect(there?.attributes.metadata.get("x-amz-d")).toBe(here?.attributes.metadata.get("x-amz-d"));
  });
});

describe("instruction files", () => {
  it("of nobody's envelope are not guessed at, not made and not copied: what has one beside it is refused, and so are they", async () => {
    const bare = await harbour.plain("a", Buffer.alloc(64));
    const beside = await harbour.plain("a.instruction", Buffer.from(`{"x-amz-d":"${b64(28)}"}`));
    const neighbours = neighboursIn([bare, beside]);
    for (const [listed, options] of [
      [bare, { ...quick, neighbours }],
      [bare, quick],
      [beside, quick],
    ] as const) {
      expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), options))).code).toBe("SEAL_MALFORMED");
    }
    expect(harbour.destination.calls.filter((call) => call.startsWith("put"))).toEqual([]);
  });

  it("with a part of an envelope open nothing, and the body is not sealed over", async () => {
    const bare = await harbour.plain("a", Buffer.alloc(64));
    await harbour.plain("a.instruction", Buffer.from(`{"x-amz-key-v2":"${b64(64)}"}`));
    expect((await errorOf(copyObject(bare, harbour.shores(), rulesOf(), quick))).code).toBe("SEAL_MALFORMED");
    expect([kmsCalls(), await headOf(harbour.destination, "a")]).toEqual([[], undefined]);
  });

  it("of another object give its key to no body that is committed to one", async () => {
    const gone = Object.fromEntries(
      ["x-amz-3", "x-amz-w", "x-amz-t", "sealift-key", "sealift-aad"].map((name) => [name, undefined]),
    );
    const listed = await relabelled(gone, v3);
    const file = JSON.stringify({ "x-amz-key-v2": b64(64), "x-amz-wrap-alg": "kms+context", "x-amz-iv": b64(12) });
    await harbour.plain("a.instruction", Buffer.from(file));
    const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick));
    expect([error.code, error.message]).toEqual([
      "SEAL_MALFORMED",
      expect.stringContaining("x-amz-c, x-amz-d, x-amz-i"),
    ]);
    expect([kmsCalls(), await headOf(harbour.destination, "a")]).toEqual([[], undefined]);
  });

  it("are no way out for an envelope that does not fit into the destination's metadata", async () => {
    const small = new Harbour(ring, { destination: { traits: { metadataBytesMax: 600 } } });
    const context = new Map([["note", "x".repeat(600)]]);
    const listed = await small.sealed("a", text, s3ecV2, { context });
    const fit = await errorOf(copyObject(listed, small.shores(), rulesOf(), quick)).catch(() => undefined);
    const keys: string[] = [];
    for await (const page of small.destination.inner.list("", {}, NEVER))
      keys.push(...page.objects.map(({ key }) => key));
    expect([fit?.code, keys]).toEqual(["METADATA_UNFIT", []]);
  });
});

it("a V2 key is never moved into a V3 envelope, nor the other way", async () => {
  for (const make of [v2, v3]) {
    harbour = new Harbour(ring);
    const listed = (await make()) as ListedObject;
    await copyObject(listed, harbour.shores(), rulesOf(), quick);
    const names = (at: Harbour["source"]) =>
      headOf(at, "a").then((head) =>
        [...(head?.attributes.metadata.keys() ?? [])].filter((name) => name.startsWith("x-amz-")),
      );
    expect((await names(harbour.destination)).sort()).toEqual((await names(harbour.source)).sort());
  }
});
