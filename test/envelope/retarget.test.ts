/** Which names and which context an object has under another key, and on its way back. */
import { describe, expect, it } from "vitest";
import { withWrapped } from "../../src/envelope/envelope.ts";
import type { Envelope, Seal } from "../../src/envelope/envelope.ts";
import { keyName, keyUri } from "../../src/core/key.ts";
import type { KeyUri } from "../../src/core/key.ts";
import { s3ecV1 } from "../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { AWS_KEY, codeOf, GCP_KEY, headOf, LOCAL_KEY, wrappedFor } from "./material.ts";

const OLD_ARN = "arn:aws:kms:us-east-1:172259396726:key/a22a4b30-79f4-4b3d-bab4-a26d327a231b";
const KEY = Buffer.alloc(184, 1).toString("base64");
const v2 = (wrap: string, matdesc: string, more: Record<string, string> = {}) => ({
  "x-amz-key-v2": KEY,
  "x-amz-iv": Buffer.alloc(12, 2).toString("base64"),
  "x-amz-matdesc": matdesc,
  "x-amz-wrap-alg": wrap,
  "x-amz-cek-alg": "AES/GCM/NoPadding",
  "x-amz-tag-len": "128",
  ...more,
});
const RESERVED_V2 = '"aws:x-amz-cek-alg":"AES/GCM/NoPadding"';

function read(envelope: Envelope, metadata: Readonly<Record<string, string>>): Seal {
  const seal = envelope.read(headOf(metadata, 64), new Uint8Array());
  if (seal === undefined) throw new Error("not recognised");
  return seal;
}
const under = (envelope: Envelope, seal: Seal, to: KeyUri) => withWrapped(envelope.retarget(seal, to), wrappedFor(to));
const written = (envelope: Envelope, seal: Seal, to: KeyUri) =>
  Object.fromEntries(envelope.write(under(envelope, seal, to)).metadata);

describe("V2", () => {
  const bound = read(s3ecV2, v2("kms+context", `{${RESERVED_V2},"kms_cmk_id":"${OLD_ARN}"}`));
  const unbound = read(s3ecV2, v2("kms", `{"kms_cmk_id":"${OLD_ARN}","tenant":"42"}`));

  it("to Google and to a local key: our wrap, the context whole", () => {
    for (const [to, wrap] of [
      [GCP_KEY, "gcp-kms+context"],
      [LOCAL_KEY, "local-kms+context"],
    ] as const) {
      for (const seal of [bound, unbound]) {
        const moved = s3ecV2.retarget(seal, to);
        expect([moved.wrap, [...moved.context]]).toEqual([wrap, [...seal.context]]);
        expect(written(s3ecV2, seal, to)).toMatchObject({ "sealift-key": to, "sealift-aad": "rfc8785" });
      }
    }
  });
  it("kms+context to AWS: only the wrapped key differs", () => {
    expect(written(s3ecV2, bound, AWS_KEY)).toEqual({
      ...v2("kms+context", `{${RESERVED_V2},"kms_cmk_id":"${OLD_ARN}"}`),
      "x-amz-key-v2": Buffer.from(wrappedFor(AWS_KEY).bytes).toString("base64"),
    });
  });
  it("kms to AWS: kms_cmk_id names the new key, and the run says so", () => {
    const moved = s3ecV2.retarget(unbound, AWS_KEY);
    expect([moved.wrap, [...moved.context]]).toEqual([
      "kms",
      [
        ["kms_cmk_id", keyName(AWS_KEY)],
        ["tenant", "42"],
      ],
    ]);
    expect(moved.notes.join()).toContain("kms_cmk_id");
  });
  it("kms stays kms, though its map has the reserved pair", () => {
    const odd = read(s3ecV2, v2("kms", `{${RESERVED_V2},"kms_cmk_id":"${OLD_ARN}"}`));
    expect(s3ecV2.retarget(odd, AWS_KEY).wrap).toBe("kms");
  });
  it("kms without kms_cmk_id gets none", () => {
    const bare = read(s3ecV2, v2("kms", "{}"));
    expect([...s3ecV2.retarget(bare, AWS_KEY).context]).toEqual([]);
  });
  it("V1 by way of Google: kms names its key, as when it came straight", () => {
    const v1 = read(s3ecV1, {
      "x-amz-key": Buffer.alloc(48, 1).toString("base64"),
      "x-amz-iv": Buffer.alloc(16, 2).toString("base64"),
      "x-amz-matdesc": '{"tenant":"42"}',
    });
    const away = read(s3ecV2, Object.fromEntries(s3ecV2.write(under(s3ecV1, v1, GCP_KEY)).metadata));
    const back = s3ecV2.retarget(away, AWS_KEY);
    expect([back.wrap, [...back.context]]).toEqual([
      "kms",
      [
        ["tenant", "42"],
        ["kms_cmk_id", keyName(AWS_KEY)],
      ],
    ]);
  });
  it("back from Google: the wrap that the context tells of", () => {
    for (const [seal, wrap] of [
      [bound, "kms+context"],
      [unbound, "kms"],
    ] as const) {
      const away = read(s3ecV2, written(s3ecV2, seal, GCP_KEY));
      const back = s3ecV2.retarget(away, AWS_KEY);
      expect(back.wrap).toBe(wrap);
      expect([...back.context]).toEqual([...s3ecV2.retarget(seal, AWS_KEY).context]);
      const { "sealift-key": _key, "sealift-aad": _aad, ...home } = written(s3ecV2, away, AWS_KEY);
      expect(home).toEqual(written(s3ecV2, seal, AWS_KEY));
      expect(new Set(away.owns)).toContain("sealift-key");
    }
  });
  it("a GCM object without tag length is written with it, and the run says so", () => {
    const { "x-amz-tag-len": _, ...without } = v2("kms+context", `{${RESERVED_V2}}`);
    const seal = read(s3ecV2, without);
    expect(seal.notes.join()).toContain("x-amz-tag-len");
    expect(written(s3ecV2, seal, GCP_KEY)["x-amz-tag-len"]).toBe("128");
  });
  it("the stated length stays", () => {
    const seal = read(s3ecV2, v2("kms", "{}", { "x-amz-unencrypted-content-length": "48" }));
    expect(written(s3ecV2, seal, GCP_KEY)["x-amz-unencrypted-content-length"]).toBe("48");
  });
  it("names its key only where the envelope binds a key's full ARN", () => {
    expect(unbound.wrapped).toMatchObject({ scheme: "aws-kms", uri: `aws-kms://${OLD_ARN}` });
    for (const [wrap, id] of [
      ["kms", "test-key-id"],
      ["kms", "alias/app"],
      ["kms", "arn:aws:kms:us-east-1:172259396726:alias/app"],
      ["kms", "arn:aws:kms:us-east-1:{AWS_ACCOUNT_ID}:key/k"],
      ["kms+context", OLD_ARN],
    ] as const) {
      const seal = read(s3ecV2, v2(wrap, `{${RESERVED_V2},"kms_cmk_id":"${id}"}`));
      expect(seal.wrapped?.uri).toBeUndefined();
    }
    const away = read(s3ecV2, written(s3ecV2, unbound, GCP_KEY));
    expect(away.wrapped).toMatchObject({ scheme: "gcp-kms", uri: GCP_KEY });
  });
});

describe("V3", () => {
  const metadata = {
    "x-amz-3": KEY,
    "x-amz-w": "12",
    "x-amz-c": "115",
    "x-amz-t": '{"aws:x-amz-cek-alg":"115","tenant":"42"}',
    "x-amz-d": Buffer.alloc(28, 3).toString("base64"),
    "x-amz-i": Buffer.alloc(28, 4).toString("base64"),
  };
  const seal = read(s3ecV3, metadata);
  const own = { "sealift-aad": "rfc8785", "x-amz-3": Buffer.alloc(113, 0xa5).toString("base64") };

  it("changes the wrapped key and the wrap, nothing else, and comes back", () => {
    expect(written(s3ecV3, seal, GCP_KEY)).toEqual({
      ...metadata,
      ...own,
      "sealift-key": GCP_KEY,
      "x-amz-w": "gcp-kms+context",
    });
    expect(written(s3ecV3, seal, LOCAL_KEY)).toEqual({
      ...metadata,
      ...own,
      "sealift-key": LOCAL_KEY,
      "x-amz-w": "local-kms+context",
    });
    const away = read(s3ecV3, written(s3ecV3, seal, GCP_KEY));
    expect(written(s3ecV3, away, AWS_KEY)).toEqual({ ...metadata, "x-amz-3": own["x-amz-3"] });
  });
});

describe("from bare keys", () => {
  const bare = (wrap: string, sizeBytes: number, matdesc: string) => ({
    ...v2(wrap, matdesc),
    "x-amz-key-v2": Buffer.alloc(sizeBytes, 1).toString("base64"),
  });
  const notes = (envelope: Envelope, metadata: Readonly<Record<string, string>>) =>
    envelope.retarget(read(envelope, metadata), GCP_KEY).notes.join();

  it("V2 GCM: the description becomes the context, which binds the algorithm as any other does", () => {
    const seal = read(s3ecV2, bare("AES/GCM", 60, '{"keyId":"tenant-1"}'));
    expect(seal.wrapped).toMatchObject({ scheme: "local", raw: { algorithm: "AES/GCM", bound: "AES/GCM/NoPadding" } });
    expect(seal.wrapped?.uri).toBeUndefined();
    for (const [to, wrap] of [
      [AWS_KEY, "kms+context"],
      [GCP_KEY, "gcp-kms+context"],
      [LOCAL_KEY, "local-kms+context"],
    ] as const) {
      expect(written(s3ecV2, seal, to)).toMatchObject({
        "x-amz-wrap-alg": wrap,
        "x-amz-matdesc": `{"keyId":"tenant-1",${RESERVED_V2}}`,
        "x-amz-iv": v2("", "")["x-amz-iv"],
      });
    }
    expect(notes(s3ecV2, bare("AES/GCM", 60, '{"keyId":"tenant-1"}'))).toContain("materials description");
    expect(notes(s3ecV2, bare("AES/GCM", 60, "{}"))).not.toContain("materials description");
  });
  it("V2 CBC: under AWS as kms, which names its key; elsewhere as it is described", () => {
    const cbc = {
      ...bare("AESWrap", 40, '{"keyId":"tenant-1"}'),
      "x-amz-iv": Buffer.alloc(16, 2).toString("base64"),
      "x-amz-cek-alg": "AES/CBC/PKCS5Padding",
      "x-amz-tag-len": "0",
    };
    const seal = read(s3ecV2, cbc);
    expect(written(s3ecV2, seal, AWS_KEY)).toMatchObject({
      "x-amz-wrap-alg": "kms",
      "x-amz-matdesc": `{"keyId":"tenant-1","kms_cmk_id":"${keyName(AWS_KEY)}"}`,
      "x-amz-tag-len": "0",
    });
    expect(written(s3ecV2, seal, GCP_KEY)).toMatchObject({
      "x-amz-wrap-alg": "gcp-kms+context",
      "x-amz-matdesc": '{"keyId":"tenant-1"}',
    });
  });
  it("V1: becomes V2, and what V1 could not say is said", () => {
    const metadata = {
      "x-amz-key": Buffer.alloc(48, 1).toString("base64"),
      "x-amz-iv": Buffer.alloc(16, 2).toString("base64"),
      "x-amz-matdesc": '{"queryId":"q","smkId":"7","keySize":"256"}',
      "x-amz-unencrypted-content-length": "63",
    };
    const seal = read(s3ecV1, metadata);
    expect(Object.fromEntries(s3ecV1.write(seal).metadata)).toEqual(metadata);
    expect(new Set(seal.owns)).toEqual(new Set(Object.keys(metadata)));
    for (const [to, wrap, more] of [
      [AWS_KEY, "kms", { kms_cmk_id: keyName(AWS_KEY) }],
      [GCP_KEY, "gcp-kms+context", {}],
      [LOCAL_KEY, "local-kms+context", {}],
    ] as const) {
      const moved = under(s3ecV1, seal, to);
      expect([moved.format, moved.wrap]).toEqual(["s3ec-v2", wrap]);
      expect(moved.advisories).toEqual(["cbc", "unbound"]);
      expect(moved.notes.join()).toMatch(/written as V2/);
      const { "x-amz-key": _, ...body } = metadata;
      const now = Object.fromEntries(s3ecV2.write(moved).metadata);
      expect(now).toMatchObject({
        ...body,
        "x-amz-wrap-alg": wrap,
        "x-amz-cek-alg": "AES/CBC/PKCS5Padding",
        "x-amz-matdesc": JSON.stringify({ queryId: "q", smkId: "7", keySize: "256", ...more }),
      });
      expect(now).not.toHaveProperty("x-amz-tag-len");
      expect(now).not.toHaveProperty("x-amz-key");
    }
  });
  it("V3: m becomes t", () => {
    const metadata = {
      "x-amz-3": Buffer.alloc(60, 1).toString("base64"),
      "x-amz-w": "02",
      "x-amz-c": "115",
      "x-amz-m": '{"keyId":"tenant-1"}',
      "x-amz-d": Buffer.alloc(28, 3).toString("base64"),
      "x-amz-i": Buffer.alloc(28, 4).toString("base64"),
    };
    const seal = read(s3ecV3, metadata);
    expect(Object.fromEntries(s3ecV3.write(seal).metadata)).toEqual(metadata);
    const { "x-amz-m": _, ...moved } = { ...metadata, "x-amz-t": '{"keyId":"tenant-1","aws:x-amz-cek-alg":"115"}' };
    const key = Buffer.from(wrappedFor(AWS_KEY).bytes).toString("base64");
    expect(written(s3ecV3, seal, AWS_KEY)).toEqual({ ...moved, "x-amz-3": key, "x-amz-w": "12" });
    // The C++ client's spelling is read, and not written.
    const cpp = read(s3ecV3, { ...moved, "x-amz-t": metadata["x-amz-m"] });
    expect(Object.fromEntries(s3ecV3.write(cpp).metadata)).toEqual(metadata);
  });
  it("to a bare key: nothing is written under one", async () => {
    const rsa = keyUri("local-rsa://k");
    for (const act of [
      () => s3ecV2.retarget(read(s3ecV2, v2("kms", "{}")), rsa),
      () => s3ecV2.retarget(read(s3ecV2, bare("AES/GCM", 60, "{}")), rsa),
      () => s3ecV3.fresh(new Map(), rsa),
    ]) {
      expect(await codeOf(act)).toBe("SEAL_UNSUPPORTED");
    }
  });
});

describe("fresh seals", () => {
  it("are wrapped as the destination's KMS asks, and bind their algorithm over whatever the caller gave", () => {
    const given = new Map([["aws:x-amz-cek-alg", "something else"]]);
    for (const [envelope, to, wrap, content] of [
      [s3ecV2, AWS_KEY, "kms+context", "AES/GCM/NoPadding"],
      [s3ecV2, GCP_KEY, "gcp-kms+context", "AES/GCM/NoPadding"],
      [s3ecV3, AWS_KEY, "12", "115"],
      [s3ecV3, LOCAL_KEY, "local-kms+context", "115"],
    ] as const) {
      const { seal } = envelope.fresh(given, to);
      expect([seal.wrap, seal.content, seal.context.get("aws:x-amz-cek-alg")]).toEqual([wrap, content, content]);
    }
  });
});

describe("defects of a caller are not written", () => {
  it("a seal of another format, a wrap of another KMS, a key without its name", async () => {
    const seal = read(s3ecV2, v2("kms", "{}"));
    const moved = s3ecV2.retarget(seal, GCP_KEY);
    const { uri: _, ...nameless } = wrappedFor(GCP_KEY);
    for (const act of [
      () => s3ecV3.write(seal),
      () => s3ecV2.write(withWrapped(moved, wrappedFor(AWS_KEY))),
      () => s3ecV2.write(withWrapped(moved, wrappedFor(LOCAL_KEY))),
      () => s3ecV2.write(withWrapped(seal, wrappedFor(GCP_KEY))),
      () => s3ecV2.write(withWrapped(moved, nameless)),
      () => s3ecV2.write(withWrapped(moved, { ...wrappedFor(GCP_KEY), raw: { algorithm: "AES/GCM", bound: "" } })),
      () => s3ecV2.write(withWrapped({ ...seal, wrap: "AES/GCM" }, wrappedFor(LOCAL_KEY))),
      () => s3ecV2.write(withWrapped(moved, { ...nameless, uri: keyUri("local://k") })),
    ]) {
      expect(await codeOf(act)).toBe("INTERNAL");
    }
  });
});
