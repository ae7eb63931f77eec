/** What is taken, what is refused and under which code: recognition is strict, and nothing is repaired or taken for plain. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import type { Code } from "../../src/core/error.ts";
import { plain } from "../../src/envelope/plain.ts";
import { s3ecV1 } from "../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { codeOf, GCP_KEY, headOf } from "./material.ts";

const GCM_V2 = {
  "x-amz-key-v2": Buffer.alloc(184, 1).toString("base64"),
  "x-amz-iv": Buffer.alloc(12, 2).toString("base64"),
  "x-amz-matdesc": '{"aws:x-amz-cek-alg":"AES/GCM/NoPadding","tenant":"42"}',
  "x-amz-wrap-alg": "kms+context",
  "x-amz-cek-alg": "AES/GCM/NoPadding",
  "x-amz-tag-len": "128",
};
const CBC_V2 = {
  ...GCM_V2,
  "x-amz-iv": Buffer.alloc(16, 2).toString("base64"),
  "x-amz-matdesc": '{"kms_cmk_id":"k"}',
  "x-amz-wrap-alg": "kms",
  "x-amz-cek-alg": "AES/CBC/PKCS5Padding",
  "x-amz-tag-len": "0",
};
const V3 = {
  "x-amz-3": Buffer.alloc(184, 1).toString("base64"),
  "x-amz-w": "12",
  "x-amz-c": "115",
  "x-amz-t": '{"aws:x-amz-cek-alg":"115"}',
  "x-amz-d": Buffer.alloc(28, 3).toString("base64"),
  "x-amz-i": Buffer.alloc(28, 4).toString("base64"),
};
const ours = (wrap: string, key: string = GCP_KEY, aad = "rfc8785") => ({
  "x-amz-wrap-alg": wrap,
  "sealift-key": key,
  "sealift-aad": aad,
});

/** Wrapped keys of the lengths that bare keys make. */
const BARE_BYTES: Readonly<Record<string, number>> = {
  AESWrap: 40,
  "AES/GCM": 60,
  "RSA-OAEP-SHA1": 256,
  "RSA/ECB/OAEPWithSHA-256AndMGF1Padding": 512,
};
const bare = (wrap: string, sizeBytes = BARE_BYTES[wrap] ?? 0) => ({
  "x-amz-wrap-alg": wrap,
  "x-amz-matdesc": '{"keyId":"tenant-1"}',
  "x-amz-key-v2": Buffer.alloc(sizeBytes, 1).toString("base64"),
});
const v1 = (sizeBytes: number, more: Record<string, string | undefined> = {}) => ({
  "x-amz-key": Buffer.alloc(sizeBytes, 1).toString("base64"),
  "x-amz-iv": Buffer.alloc(16, 2).toString("base64"),
  "x-amz-matdesc": "{}",
  ...more,
});
const bareV3 = (wrap: string, sizeBytes: number, more: Record<string, string | undefined> = {}) => ({
  "x-amz-w": wrap,
  "x-amz-3": Buffer.alloc(sizeBytes, 1).toString("base64"),
  "x-amz-t": undefined,
  ...more,
});

type Answer = Code | "s3ec-v1" | "s3ec-v2" | "s3ec-v3" | "plain";

/** Asks all three in both orders: whoever is asked first, the answer is the same and exactly one takes the object. */
function answer(metadata: Readonly<Record<string, string | undefined>>, sizeBytes = 64, key?: string): Answer {
  const present = Object.entries(metadata).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  const head = headOf(Object.fromEntries(present), sizeBytes, key);
  const answers = [s3ecV3, s3ecV2, s3ecV1, plain].map((envelope): Answer | undefined => {
    try {
      return envelope.read(head, new Uint8Array()) && (envelope.id as Answer);
    } catch (thrown) {
      const error = asSealiftError(thrown);
      expect(error.object).toBe(head.key);
      return error.code;
    }
  });
  const given = new Set(answers.filter((one) => one !== undefined));
  expect(given.size, JSON.stringify(answers)).toBe(1);
  return [...given][0] ?? "INTERNAL";
}

type Row = readonly [name: string, expected: Answer, metadata: Record<string, string | undefined>, sizeBytes?: number];

function table(title: string, rows: readonly Row[]): void {
  const cases = rows.map(([name, expected, metadata, sizeBytes]) => ({ name, expected, metadata, sizeBytes }));
  describe(title, () => {
    it.each(cases)("$name: $expected", ({ expected, metadata, sizeBytes }) => {
      expect(answer(metadata, sizeBytes)).toBe(expected);
    });
  });
}

table("whole envelopes", [
  ...[32, 48, 128, 256, 1024].map(
    (sizeBytes) => [`V1, a wrapped key of ${sizeBytes}`, "s3ec-v1", v1(sizeBytes)] as const,
  ),
  ["V1 with its length", "s3ec-v1", v1(48, { "x-amz-unencrypted-content-length": "63" })],
  ["V1 without description", "s3ec-v1", v1(48, { "x-amz-matdesc": undefined })],
  ["V1 with empty V2 names", "s3ec-v1", v1(48, { "x-amz-key-v2": "", "x-amz-wrap-alg": "", "x-amz-m": "" })],
  ["V2 GCM", "s3ec-v2", GCM_V2],
  ["V2 GCM without tag length (Go)", "s3ec-v2", { ...GCM_V2, "x-amz-tag-len": undefined }],
  ["V2 GCM with its length", "s3ec-v2", { ...GCM_V2, "x-amz-unencrypted-content-length": "48" }],
  ["V2 with empty V3 names", "s3ec-v2", { ...GCM_V2, "x-amz-m": "", "x-amz-3": "", "x-amz-key": "" }],
  ["V2 without context, wrap kms", "s3ec-v2", { ...CBC_V2, "x-amz-matdesc": undefined }],
  ["V2 CBC, tag length 0 (C++)", "s3ec-v2", CBC_V2],
  ["V2 CBC, no tag length", "s3ec-v2", { ...CBC_V2, "x-amz-tag-len": undefined }],
  ["V2 CBC with its length", "s3ec-v2", { ...CBC_V2, "x-amz-unencrypted-content-length": "63" }],
  ["V2 under Google KMS", "s3ec-v2", { ...GCM_V2, ...ours("gcp-kms+context") }],
  ["V2 under a local key", "s3ec-v2", { ...CBC_V2, ...ours("local-kms+context", "local://k") }],
  ...Object.keys(BARE_BYTES).map(
    (wrap) => [`V2 GCM wrapped by ${wrap}`, "s3ec-v2", { ...GCM_V2, ...bare(wrap) }] as const,
  ),
  ...["AESWrap", "RSA/ECB/OAEPWithSHA-256AndMGF1Padding"].map(
    (wrap) => [`V2 CBC wrapped by ${wrap}`, "s3ec-v2", { ...CBC_V2, ...bare(wrap) }] as const,
  ),
  ["V2 wrapped by AES/GCM, no description", "s3ec-v2", { ...GCM_V2, ...bare("AES/GCM"), "x-amz-matdesc": undefined }],
  ["V3", "s3ec-v3", V3],
  ["V3 under an AES key", "s3ec-v3", { ...V3, ...bareV3("02", 60, { "x-amz-m": '{"a":"b"}' }) }],
  ["V3 under an AES key, nothing described", "s3ec-v3", { ...V3, ...bareV3("02", 60, { "x-amz-m": "" }) }],
  ["V3 under an AES key, described in x-amz-t (C++)", "s3ec-v3", { ...V3, ...bareV3("02", 60, { "x-amz-t": "{}" }) }],
  ["V3 under an RSA key", "s3ec-v3", { ...V3, ...bareV3("22", 256, { "x-amz-m": "{}" }) }],
  ["V3 with empty V2 names (Go)", "s3ec-v3", { ...V3, "x-amz-unencrypted-content-length": "", "x-amz-m": "" }],
  ["nothing", "plain", {}],
  ["other names of AWS", "plain", { "x-amz-storage-class": "STANDARD", "x-amz-meta-note": "x", "x-amz-keys": "y" }],
]);

table("mixed versions are malformed", [
  ["V1 and V2 keys", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-key": "AAAA" }],
  ["V2 and V3 keys", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-3": "AAAA" }],
  ["V2 with x-amz-c", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-c": "115" }],
  ["V2 with x-amz-w", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-w": "12" }],
  ["V3 with x-amz-iv", "SEAL_MALFORMED", { ...V3, "x-amz-iv": "AAAA" }],
  ["V3 with the plaintext length", "SEAL_MALFORMED", { ...V3, "x-amz-unencrypted-content-length": "48" }],
  ["V1 with x-amz-cek-alg", "SEAL_MALFORMED", { "x-amz-key": "AAAA", "x-amz-cek-alg": "AES/GCM/NoPadding" }],
  ["V3 commitment beside V2 names, no key", "SEAL_MALFORMED", { "x-amz-d": "AAAA", "x-amz-iv": "AAAA" }],
  ["one name in two spellings", "SEAL_MALFORMED", { ...GCM_V2, "X-Amz-Iv": GCM_V2["x-amz-iv"] }],
  ["our key beside a wrap by AWS", "SEAL_MALFORMED", { ...GCM_V2, "sealift-key": GCP_KEY }],
]);

table("known forms that are not carried", [
  ["V2 in an instruction file", "SEAL_UNSUPPORTED", { "x-amz-unencrypted-content-length": "48" }],
  ["iv and cek-alg alone", "SEAL_UNSUPPORTED", { "x-amz-iv": "AAAA", "x-amz-cek-alg": "AES/GCM/NoPadding" }],
  ["V3 in an instruction file", "SEAL_UNSUPPORTED", { "x-amz-c": "115", "x-amz-d": "AAAA", "x-amz-i": "AAAA" }],
  ...["AES", "RSA", "AES/GCM/NoPadding", "aeswrap", "RSA-OAEP-SHA256", "02", "KMS", "12"].map(
    (wrap) => [`V2 wrapped by ${wrap}`, "SEAL_UNSUPPORTED", { ...GCM_V2, "x-amz-wrap-alg": wrap }] as const,
  ),
  ...["01", "11", "21", "2", "012", "AES/GCM", "kms+context"].map(
    (wrap) => [`V3 wrapped by ${wrap}`, "SEAL_UNSUPPORTED", { ...V3, "x-amz-w": wrap }] as const,
  ),
  ...["AES/GCM", "RSA-OAEP-SHA1"].map(
    (wrap) =>
      [`V2 CBC wrapped by ${wrap}`, "SEAL_UNSUPPORTED", { ...CBC_V2, ...bare(wrap), "x-amz-tag-len": "0" }] as const,
  ),
  ["V2 content in CTR", "SEAL_UNSUPPORTED", { ...GCM_V2, "x-amz-cek-alg": "AES/CTR/NoPadding" }],
  ["V3 of another suite", "SEAL_UNSUPPORTED", { ...V3, "x-amz-c": "116" }],
  ["another way to bind", "SEAL_UNSUPPORTED", { ...GCM_V2, ...ours("gcp-kms+context", GCP_KEY, "cbor") }],
  ["Alibaba OSS", "SEAL_UNSUPPORTED", { "client-side-encryption-key": "AAAA" }],
  ["an instruction file", "SEAL_UNSUPPORTED", { "x-amz-crypto-instr-file": "" }],
]);

table("broken envelopes", [
  ...[0, 16, 31, 40, 49, 64, 127, 1025].map(
    (sizeBytes) =>
      [
        `V1, a wrapped key of ${sizeBytes}`,
        "SEAL_MALFORMED",
        v1(sizeBytes, sizeBytes === 0 ? { "x-amz-key": "====" } : {}),
      ] as const,
  ),
  ["V1 without iv", "SEAL_MALFORMED", v1(48, { "x-amz-iv": undefined })],
  ["V1 with the iv of GCM", "SEAL_MALFORMED", v1(48, { "x-amz-iv": GCM_V2["x-amz-iv"] })],
  ["V1 with a tag length", "SEAL_MALFORMED", v1(48, { "x-amz-tag-len": "128" })],
  ["V1 with a commitment", "SEAL_MALFORMED", v1(48, { "x-amz-d": V3["x-amz-d"] })],
  ["V1 with our key", "SEAL_MALFORMED", v1(48, { "sealift-key": "local://k", "sealift-aad": "rfc8785" })],
  ["V1 with a false length", "SEAL_MALFORMED", v1(48, { "x-amz-unencrypted-content-length": "64" })],
  ["V1 described in a list", "SEAL_MALFORMED", v1(48, { "x-amz-matdesc": "[]" })],
  ["V1 bound to GCM", "SEAL_MALFORMED", v1(48, { "x-amz-matdesc": GCM_V2["x-amz-matdesc"] })],
  ["V1, a body of 63", "SEAL_MALFORMED", v1(48), 63],
  ...["x-amz-iv", "x-amz-wrap-alg", "x-amz-cek-alg"].map(
    (name) => [`V2 without ${name}`, "SEAL_MALFORMED", { ...GCM_V2, [name]: undefined }] as const,
  ),
  ...["x-amz-w", "x-amz-c", "x-amz-d", "x-amz-i", "x-amz-t"].map(
    (name) => [`V3 without ${name}`, "SEAL_MALFORMED", { ...V3, [name]: undefined }] as const,
  ),
  ["only empty names", "SEAL_MALFORMED", { "x-amz-key-v2": "", "x-amz-iv": "" }],
  ["a part of V3", "SEAL_MALFORMED", { "x-amz-c": "115" }],
  ["our names beside an instruction file's", "SEAL_MALFORMED", { "x-amz-iv": "AAAA", "sealift-key": GCP_KEY }],
  ["our names alone", "SEAL_MALFORMED", { "sealift-key": GCP_KEY }],
  ["relabelled as CBC, kms+context", "SEAL_MALFORMED", { ...CBC_V2, "x-amz-wrap-alg": "kms+context" }],
  [
    "relabelled as CBC, bound as GCM",
    "SEAL_MALFORMED",
    { ...CBC_V2, "x-amz-matdesc": GCM_V2["x-amz-matdesc"], ...ours("gcp-kms+context") },
  ],
  ["kms+context that binds nothing", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-matdesc": "{}" }],
  ["V3 bound to a V2 algorithm", "SEAL_MALFORMED", { ...V3, "x-amz-t": GCM_V2["x-amz-matdesc"] }],
  ["V3 materials beside a KMS", "SEAL_MALFORMED", { ...V3, "x-amz-m": "{}" }],
  ["V3 materials and context", "SEAL_MALFORMED", { ...V3, ...bareV3("02", 60, { "x-amz-m": "{}", "x-amz-t": "{}" }) }],
  ["V3 context beside an RSA key", "SEAL_MALFORMED", { ...V3, ...bareV3("22", 256, { "x-amz-t": "{}" }) }],
  [
    "V3 bound to another algorithm",
    "SEAL_MALFORMED",
    { ...V3, ...bareV3("02", 60, { "x-amz-m": GCM_V2["x-amz-matdesc"] }) },
  ],
  ["V3, a wrapped key of 44 bytes", "SEAL_MALFORMED", { ...V3, ...bareV3("02", 44) }],
  [
    "V2 description that names another algorithm",
    "SEAL_MALFORMED",
    { ...GCM_V2, ...bare("AESWrap"), "x-amz-matdesc": '{"aws:x-amz-cek-alg":"115"}' },
  ],
  ["our key beside a bare one", "SEAL_MALFORMED", { ...GCM_V2, ...bare("AES/GCM"), "sealift-key": "local://k" }],
  ...(
    [
      ["AESWrap", 39],
      ["AESWrap", 48],
      ["AES/GCM", 59],
      ["AES/GCM", 61],
      ["RSA-OAEP-SHA1", 127],
      ["RSA-OAEP-SHA1", 1025],
    ] as const
  ).map(
    ([wrap, sizeBytes]) =>
      [
        `${sizeBytes} bytes that ${wrap} does not make`,
        "SEAL_MALFORMED",
        { ...GCM_V2, ...bare(wrap, sizeBytes) },
      ] as const,
  ),
  ["tag length 96", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-tag-len": "96" }],
  ["tag length 0 on GCM", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-tag-len": "0" }],
  ["tag length 128 on CBC", "SEAL_MALFORMED", { ...CBC_V2, "x-amz-tag-len": "128" }],
  ["IV of 16 on GCM", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-iv": CBC_V2["x-amz-iv"] }],
  ["IV of 12 on CBC", "SEAL_MALFORMED", { ...CBC_V2, "x-amz-iv": GCM_V2["x-amz-iv"] }],
  ["base64 with a line break", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-key-v2": `${GCM_V2["x-amz-key-v2"]}\n` }],
  ["base64 of the URL alphabet", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-key-v2": "-_-_" }],
  ["base64 with stray bits", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-key-v2": "AB==" }],
  ["a wrapped key beyond any KMS", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-key-v2": "A".repeat(8196) }],
  ["commitment of 27 bytes", "SEAL_MALFORMED", { ...V3, "x-amz-d": Buffer.alloc(27, 1).toString("base64") }],
  ["message id of zeros", "SEAL_MALFORMED", { ...V3, "x-amz-i": Buffer.alloc(28).toString("base64") }],
  ["our wrap without key", "SEAL_MALFORMED", { ...GCM_V2, ...ours("gcp-kms+context", "") }],
  ["our wrap without scheme", "SEAL_MALFORMED", { ...GCM_V2, ...ours("gcp-kms+context", GCP_KEY, "") }],
  ["our wrap, no URI", "SEAL_MALFORMED", { ...GCM_V2, ...ours("gcp-kms+context", "k") }],
  ["our wrap, key of another KMS", "SEAL_MALFORMED", { ...GCM_V2, ...ours("gcp-kms+context", "local://k") }],
  ["GCM body of 15", "SEAL_MALFORMED", GCM_V2, 15],
  ["GCM body beyond the limit", "SEAL_MALFORMED", GCM_V2, 2 ** 36 - 15],
  ["V3 body of 15", "SEAL_MALFORMED", V3, 15],
  ["CBC body of 0", "SEAL_MALFORMED", CBC_V2, 0],
  ["CBC body of 63", "SEAL_MALFORMED", CBC_V2, 63],
  ["false length, GCM", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-unencrypted-content-length": "47" }],
  ["false length, CBC", "SEAL_MALFORMED", { ...CBC_V2, "x-amz-unencrypted-content-length": "64" }],
  ["length that is none", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-unencrypted-content-length": "0x30" }],
  ["length beyond numbers", "SEAL_MALFORMED", { ...GCM_V2, "x-amz-unencrypted-content-length": "9".repeat(16) }],
]);

describe("edges of recognition", () => {
  it("the largest GCM body is whole", () => {
    expect(answer(GCM_V2, 2 ** 36 - 16)).toBe("s3ec-v2");
    expect(answer(V3, 16)).toBe("s3ec-v3");
  });
  it("a name ending in .instruction is not plain", () => {
    expect(answer({}, 64, "tenant/a.bin.instruction")).toBe("SEAL_UNSUPPORTED");
    expect(answer({}, 64, "tenant/instruction")).toBe("plain");
  });
  it("one stray name of the format is enough not to be plain", () => {
    for (const name of Object.keys({ ...GCM_V2, ...V3, "x-amz-key": "", "sealift-aad": "" })) {
      for (const spelled of [name, name.toUpperCase()]) expect(answer({ [spelled]: "x" })).toMatch(/^SEAL_/);
    }
  });
  it("owns every name of the format, as it is spelled, and no other", () => {
    const metadata = {
      ...GCM_V2,
      "x-amz-m": "",
      "X-Amz-Unencrypted-Content-Md5": "AAAA",
      tenant: "42",
      "x-amz-note": "",
    };
    const seal = s3ecV2.read(headOf(metadata, 64), new Uint8Array());
    const expected = [...Object.keys(GCM_V2), "x-amz-m", "X-Amz-Unencrypted-Content-Md5"];
    expect([...(seal?.owns ?? [])].toSorted()).toEqual(expected.toSorted());
    expect(seal?.notes.join()).toContain("md5");
    expect(seal && [...s3ecV2.write(seal).metadata.keys()]).not.toContain("x-amz-unencrypted-content-md5");
  });
  it("weaknesses are noted", () => {
    const weak = (metadata: Record<string, string>) => s3ecV2.read(headOf(metadata, 64), new Uint8Array())?.advisories;
    expect(weak(CBC_V2)).toEqual(["cbc", "unbound"]);
    expect(weak(GCM_V2)).toEqual(["uncommitted"]);
    expect(s3ecV3.read(headOf(V3, 64), new Uint8Array())?.advisories ?? []).toEqual([]);
  });
  it("any metadata at all ends in a seal or in a code", () => {
    const names = fc.constantFrom(...Object.keys({ ...GCM_V2, ...V3, ...ours("") }), "x-amz-key", "other");
    const known = fc.constantFrom(
      "",
      "12",
      "115",
      "128",
      "kms",
      "02",
      "AESWrap",
      "{}",
      ...Object.values({ ...GCM_V2, ...CBC_V2, ...V3 }),
    );
    const values = fc.oneof({ weight: 4, arbitrary: known }, { weight: 1, arbitrary: fc.string() });
    fc.assert(
      fc.property(
        fc.dictionary(names, values, { maxKeys: 9 }),
        fc.integer({ min: 0, max: 80 }),
        (changes, sizeBytes) => {
          for (const base of [{}, v1(48), GCM_V2, CBC_V2, V3, { ...GCM_V2, ...bare("AES/GCM") }]) {
            expect(answer({ ...base, ...changes }, sizeBytes)).toMatch(
              /^(SEAL_MALFORMED|SEAL_UNSUPPORTED|s3ec-v[123]|plain)$/,
            );
          }
        },
      ),
      { numRuns: 500 },
    );
  });
  it("plain seals nothing", async () => {
    expect(await codeOf(() => plain.fresh(new Map(), GCP_KEY))).toBe("SEAL_UNSUPPORTED");
  });
});
