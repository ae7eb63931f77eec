/** Instruction files as the official clients write them, as they differ, and as nobody writes them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { INSTRUCTION_BYTES_MAX, instructionFile, parseInstruction } from "../../src/envelope/s3ec/instruction.ts";
import { KeyRing, load, type RawVector, read, vectors } from "./keyring.ts";
import { codeOf, headOf } from "./material.ts";

const V2 = {
  "x-amz-key-v2": Buffer.alloc(184, 1).toString("base64"),
  "x-amz-iv": Buffer.alloc(12, 2).toString("base64"),
  "x-amz-matdesc": '{"aws:x-amz-cek-alg":"AES/GCM/NoPadding"}',
  "x-amz-wrap-alg": "kms+context",
  "x-amz-cek-alg": "AES/GCM/NoPadding",
  "x-amz-tag-len": "128",
};
const V3 = { "x-amz-3": Buffer.alloc(184, 1).toString("base64"), "x-amz-w": "12", "x-amz-t": V2["x-amz-matdesc"] };

const parsed = (text: string | Uint8Array) => Object.fromEntries(parseInstruction(Buffer.from(text)));
const inJson = (file: unknown) => parsed(JSON.stringify(file));
const code = (text: string | Uint8Array) => codeOf(() => parsed(text));

describe("the text of an instruction file", () => {
  it("is the envelope, whatever white space stands between", () => {
    expect(inJson(V2)).toEqual(V2);
    expect(parsed(` \r\n\t${JSON.stringify(V3, null, 2)}\n`)).toEqual(V3);
  });

  const samples = load<{ cases: { name: string; instruction_json_text?: string }[] }>("08-metadata-samples").cases;
  it.each(samples.filter(({ instruction_json_text: text }) => text))(
    "the Go client's test: $name",
    ({ name, instruction_json_text: text = "" }) => {
      const { "x-amz-tag-len": tag, "x-amz-unencrypted-content-length": length, ...others } = parsed(text);
      expect([tag, length]).toEqual(/null|absent/.test(name) ? [undefined, undefined] : ["128", "1024"]);
      expect(Object.keys(others)).toHaveLength(5);
    },
  );

  it("may hold whole numbers where PHP writes them, and nowhere else", async () => {
    expect(inJson({ ...V3, "x-amz-w": 12 })).toEqual(V3);
    expect(inJson({ ...V2, "x-amz-unencrypted-content-length": 0 })).toMatchObject({
      "x-amz-unencrypted-content-length": "0",
    });
    for (const name of ["x-amz-key-v2", "x-amz-iv", "x-amz-matdesc", "x-amz-cek-alg"]) {
      expect(await code(JSON.stringify({ ...V2, [name]: 12 }))).toBe("SEAL_MALFORMED");
    }
    for (const number of ["-1", "1.0", "1e2", "012", "0x10", "1234567890123456", "NaN", "+1", "12a"]) {
      expect(await code(`{"x-amz-key-v2":"AAAA","x-amz-tag-len":${number}}`)).toBe("SEAL_MALFORMED");
    }
  });

  it("may leave a name empty, as .NET and Go do: then it is not there", () => {
    expect(inJson({ ...V3, "x-amz-m": null, "x-amz-iv": "" })).toEqual(V3);
  });

  it("is one map in one text, whatever the writer's: what is written to metadata is plain ASCII without white space", () => {
    const context = { tenant: "zürich 7", "aws:x-amz-cek-alg": "AES/GCM/NoPadding" };
    const { "x-amz-matdesc": text = "" } = inJson({ ...V2, "x-amz-matdesc": JSON.stringify(context, null, 1) });
    expect(text).toMatch(/^[!-~]+$/);
    expect(JSON.parse(text)).toEqual(context);
  });

  const broken: Record<string, string | Uint8Array> = {
    nothing: "",
    "white space": " ",
    "a list": "[]",
    "a string": '"x-amz-key-v2"',
    "an empty object": "{}",
    "no wrapped key": '{"x-amz-iv":"AAAA"}',
    "an empty wrapped key": '{"x-amz-key-v2":""}',
    "a wrapped key that is null": '{"x-amz-key-v2":null}',
    "a name twice": '{"x-amz-key-v2":"AAAA","x-amz-iv":"AAAA","x-amz-iv":"AAAA"}',
    "a name twice, once empty": '{"x-amz-key-v2":"AAAA","x-amz-iv":"","x-amz-iv":"AAAA"}',
    "a nested object": '{"x-amz-key-v2":"AAAA","x-amz-matdesc":{}}',
    "a list as a value": '{"x-amz-key-v2":["AAAA"]}',
    true: '{"x-amz-key-v2":true}',
    "a comma too many": '{"x-amz-key-v2":"AAAA",}',
    "something behind it": '{"x-amz-key-v2":"AAAA"}{}',
    "a byte order mark": `\ufeff${JSON.stringify(V2)}`,
    "UTF-16": Buffer.from(JSON.stringify(V2), "utf16le"),
    "bytes that are no UTF-8": Buffer.concat([Buffer.from('{"x-amz-key-v2":"'), Buffer.of(0xff), Buffer.from('"}')]),
    "a lone surrogate": '{"x-amz-key-v2":"\\ud800"}',
    "a line break in a value": JSON.stringify({ ...V2, "x-amz-wrap-alg": "kms\ncontext" }),
    "encoded words, which S3 makes of metadata only": JSON.stringify({ ...V2, "x-amz-matdesc": "=?UTF-8?B?e30=?=" }),
    "a map that is none": JSON.stringify({ ...V2, "x-amz-matdesc": "[]" }),
    "a map that names a pair twice": JSON.stringify({ ...V2, "x-amz-matdesc": '{"a":"b","a":"c"}' }),
    "too many bytes": JSON.stringify(V2) + " ".repeat(INSTRUCTION_BYTES_MAX),
    "the body's part of V3": JSON.stringify({ ...V3, "x-amz-c": "115" }),
    "the body's commitment": JSON.stringify({ ...V3, "x-amz-d": "AAAA" }),
    "the body's message id": JSON.stringify({ ...V3, "x-amz-i": "" }),
  };
  it.each(Object.entries(broken))("is SEAL_MALFORMED: %s", async (_, text) => {
    expect(await code(text)).toBe("SEAL_MALFORMED");
  });

  it.each(["EncryptedEnvelopeKey", "X-Amz-Key-V2", "sealift-key", "note", "__proto__", ""])(
    "is SEAL_UNSUPPORTED with a name that no known writer puts there: %j",
    async (name) => {
      expect(await code(`{"x-amz-key-v2":"AAAA",${JSON.stringify(name)}:"a"}`)).toBe("SEAL_UNSUPPORTED");
    },
  );
});

describe("a body that waits for one", () => {
  const awaits = (metadata: Record<string, string>, key = "a") => instructionFile.awaits(headOf(metadata, 64, key));

  it("shows no wrapped key", () => {
    expect(awaits({})).toBe(true);
    expect(awaits({ owner: "app", "x-amz-unencrypted-content-length": "48" })).toBe(true);
    expect(awaits({ "x-amz-c": "115", "x-amz-d": "A", "x-amz-i": "A", "X-Amz-3": "" })).toBe(true);
    for (const name of ["x-amz-key", "X-Amz-Key-V2", "x-amz-3"]) expect(awaits({ [name]: "AAAA" })).toBe(false);
  });

  it("shows no other format, is no file itself and no folder", () => {
    expect(awaits({ encryptiondata: "{}" })).toBe(false);
    expect(awaits({ "Sealift-Tink": "AES_GCM/RAW" })).toBe(false);
    expect(awaits({ "x-amz-crypto-instr-file": "" })).toBe(false);
    expect(awaits({}, "a.instruction")).toBe(false);
    expect(awaits({}, "folder/")).toBe(false);
    expect(awaits({ "x-amz-c": "115" }, "folder/")).toBe(true);
  });

  it("and its file are called after each other", () => {
    expect(instructionFile.fileOf("a/b")).toBe("a/b.instruction");
    expect(instructionFile.bodyOf("a/b.instruction")).toBe("a/b");
    expect(instructionFile.bodyOf("a/b")).toBeUndefined();
    expect(instructionFile.bodyOf(".instruction")).toBeUndefined();
  });
});

describe("body and file together", () => {
  const join = (metadata: Record<string, string>, file: unknown, sizeBytes = 64) =>
    instructionFile.join(headOf(metadata, sizeBytes), Buffer.from(JSON.stringify(file)));
  const joined = (...parts: Parameters<typeof join>) => Object.fromEntries(join(...parts).attributes.metadata);

  it("are one head: what the body has stays as it is, what the file has is added", () => {
    expect(joined({ owner: "app" }, V2)).toEqual({ owner: "app", ...V2 });
    expect(joined({ "X-Amz-Iv": V2["x-amz-iv"] }, V2)).toEqual({
      "X-Amz-Iv": V2["x-amz-iv"],
      ...V2,
      "x-amz-iv": undefined,
    });
    expect(joined({ "x-amz-wrap-alg": "" }, V2)).toEqual(V2);
    expect(joined({ "x-amz-matdesc": ' {"aws:x-amz-cek-alg": "AES/GCM/NoPadding"}' }, V2)["x-amz-matdesc"]).toMatch(
      /^ /,
    );
  });

  it.each([
    ["another IV", { "x-amz-iv": "AAAA" }, V2],
    ["another context", { "x-amz-matdesc": "{}" }, V2],
    ["our names in the body", { "sealift-key": "local://k" }, V2],
    ["the body's part of V3 beside V2", { "x-amz-c": "115", "x-amz-d": "A", "x-amz-i": "A" }, V2],
    ["a length beside V3", { "x-amz-unencrypted-content-length": "48" }, V3],
    ["two keys", {}, { ...V2, ...V3 }],
    ["a name twice in the body", { "x-amz-iv": V2["x-amz-iv"], "X-Amz-Iv": V2["x-amz-iv"] }, V2],
  ])("are SEAL_MALFORMED where they do not agree: %s", async (_, metadata, file) => {
    expect(await codeOf(() => join(metadata as Record<string, string>, file))).toBe("SEAL_MALFORMED");
  });
});

describe("objects of official writers, their envelopes in files", () => {
  const ring = new KeyRing();
  beforeAll(() => ring.open());
  afterAll(() => ring.close());

  const apart = vectors.filter(({ instruction }) => instruction !== undefined);
  const joined = (vector: RawVector): RawVector => {
    const file = Buffer.from(vector.instruction?.text ?? "");
    const { attributes } = instructionFile.join(headOf(vector.metadata, vector.body.length), file);
    return { ...vector, metadata: Object.fromEntries(attributes.metadata) };
  };

  it("are there", () => expect(apart.length).toBe(7));
  it.each(apart)("$name waits for its file, and opens with it", async (vector) => {
    expect(instructionFile.awaits(headOf(vector.metadata, vector.body.length))).toBe(true);
    const whole = joined(vector);
    expect((await ring.plaintext(whole, whole, [15, 1, 17])).equals(vector.plaintext)).toBe(true);
    const { envelope, seal } = read(whole);
    const again = envelope.read(headOf(envelope.write(seal).metadata, vector.body.length), new Uint8Array());
    expect(again?.wrapped?.bytes).toEqual(seal.wrapped?.bytes);
  });
});
