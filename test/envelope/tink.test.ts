/** Tink envelopes: published vectors, the twins of S3EC objects, what is refused, and what a changed byte comes to. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SealiftError } from "../../src/core/error.ts";
import { DataKey, type WrappedKey } from "../../src/core/key.ts";
import type { ObjectHead } from "../../src/core/object.ts";
import { type Seal, withWrapped } from "../../src/envelope/envelope.ts";
import { plain } from "../../src/envelope/plain.ts";
import { s3ecV1 } from "../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { tink } from "../../src/envelope/tink/tink.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { load } from "./keyring.ts";
import { AWS_KEY, codeOf, collect, GCP_KEY, headOf, inPieces, LOCAL_KEY, wrappedFor } from "./material.ts";
import { openRawGcm, openTinkEnvelope, wrappedKeyIn } from "./tinkreader.ts";

interface Published {
  readonly kmsEnvelope: readonly {
    readonly kekUri: string;
    readonly ciphertextHex: string;
    readonly associatedData: string;
    readonly plaintext: string;
  }[];
}
interface Twin {
  readonly name: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly bodyHex?: string;
  readonly tinkHex?: string;
  readonly kekHex: string;
  readonly dataKeyHex?: string;
  readonly plaintextUtf8: string;
}

const published: Published = JSON.parse(readFileSync(new URL("../vectors/tink/vectors.json", import.meta.url), "utf8"));
const twins = load<{ vectors: Twin[] }>("14-s3ec-tink-twins").vectors;
const twin = (start: string): Twin => {
  const found = twins.find(({ name }) => name.startsWith(start));
  if (!found) throw new Error(`no twin is called ${start}`);
  return found;
};
const hex = (text: string | undefined): Buffer => Buffer.from(text ?? "", "hex");

const MARK = { "sealift-tink": "AES_GCM/RAW", "sealift-tink-key": GCP_KEY };
const ENVELOPES = [s3ecV3, s3ecV2, s3ecV1, tink, plain];
const never = new AbortController().signal;

/** A key service whose key is an AES-GCM keyset of Tink's: with a prefix, or none. */
function keyService(key: Uint8Array, prefix: Uint8Array = Buffer.alloc(0)): Kms {
  const unwrap = async ({ scheme, bytes }: WrappedKey) => {
    if (scheme !== "gcp-kms") return undefined;
    try {
      if (!Buffer.from(bytes.subarray(0, prefix.length)).equals(prefix)) throw new Error("another key");
      return { dataKey: new DataKey(openRawGcm(key, Buffer.from(bytes.subarray(prefix.length)))), by: GCP_KEY };
    } catch {
      throw new SealiftError("KMS_CANNOT_OPEN", "it does not open");
    }
  };
  const wrap = () => Promise.reject(new Error("wraps nothing"));
  return { scheme: "gcp-kms", unwrap, wrap, check: async () => {}, close: async () => {} };
}

function read(object: Uint8Array, metadata: Readonly<Record<string, string>> = MARK): { head: ObjectHead; seal: Seal } {
  const head = headOf(metadata, object.length);
  const seal = tink.read(head, object.subarray(0, 8192));
  if (!seal) throw new Error("not recognised");
  return { head, seal };
}

const openWith = async (kms: Kms, object: Uint8Array, sizes?: readonly number[]): Promise<Buffer> =>
  collect(await openPlaintext(headOf(MARK, object.length), inPieces(object, sizes), ENVELOPES, [kms], never));

describe("published objects", () => {
  it.each(published.kmsEnvelope)("$kekUri", async ({ kekUri, ciphertextHex, associatedData, plaintext }) => {
    const object = hex(ciphertextHex);
    // The URI of the vector is a keyset in the clear, its key at the only field of 16 bytes.
    const keyset = Buffer.from(kekUri.slice("fake-kms://".length), "base64url");
    const key = keyset.subarray(keyset.indexOf(Buffer.of(0x1a, 0x10)) + 2).subarray(0, 16);
    const kms = keyService(key, hex("013e77cdcd"));
    const { head, seal } = read(object);
    expect(Buffer.from(seal.wrapped?.bytes ?? []).equals(wrappedKeyIn(object))).toBe(true);
    expect(tink.plainSize(head.sizeBytes - (seal.start?.length ?? 0), seal)).toBe(plaintext.length);
    expect(Buffer.from(tink.start?.(seal) ?? []).equals(object.subarray(0, seal.start?.length))).toBe(true);
    // It was sealed with associated data, which is stored nowhere: without it, it must not open.
    expect(await codeOf(() => openWith(kms, object))).toBe("SEAL_FORGED");
    const opened = await kms.unwrap(seal.wrapped as WrappedKey, new Map(), never);
    const dek = Buffer.from(opened?.dataKey.reveal() ?? []);
    expect(openTinkEnvelope(object, dek, associatedData).toString()).toBe(plaintext);
    // Rewrapped, it is the same message to Tink's readers.
    const moved = withWrapped(tink.retarget(seal, GCP_KEY), wrappedFor(GCP_KEY));
    const body = object.subarray(seal.start?.length);
    const again = Buffer.concat([tink.start?.(moved) ?? Buffer.alloc(0), body]);
    expect(openTinkEnvelope(again, dek, associatedData).toString()).toBe(plaintext);
  });
});

describe("twins", () => {
  const ofV2 = twin('Tink twin of "V2');
  const v2 = twin("V2 AES/GCM raw-AES wrap");
  const object = hex(ofV2.tinkHex);
  const kms = keyService(hex(ofV2.kekHex));

  it("the Tink twin of an S3EC object opens to its plaintext, whole and in pieces, and only its start differs", async () => {
    for (const sizes of [[object.length], [1], [3, 0, 70]])
      expect((await openWith(kms, object, sizes)).toString()).toBe(v2.plaintextUtf8);
    const { seal } = read(object);
    expect(object.subarray(seal.start?.length).equals(hex(v2.bodyHex))).toBe(true);
  });

  it("the S3EC object becomes its twin, but for what the key service adds", () => {
    const source = s3ecV2.read(headOf(v2.metadata ?? {}, hex(v2.bodyHex).length), new Uint8Array()) as Seal;
    const key = new DataKey(hex(v2.dataKeyHex));
    const adopted = tink.adopt?.(source, GCP_KEY, hex(v2.bodyHex).length) as Seal;
    const message = tink.adoptKey?.(source, key) as DataKey;
    expect(Buffer.from(message.reveal()).toString("hex")).toBe(`1a20${v2.dataKeyHex}`);
    const wrapped = { scheme: "gcp-kms", uri: GCP_KEY, bytes: wrappedKeyIn(object) } as const;
    const start = tink.start?.(withWrapped(adopted, wrapped)) ?? Buffer.alloc(0);
    expect(Buffer.concat([start, hex(v2.bodyHex)]).equals(object)).toBe(true);
    expect(tink.write(withWrapped(adopted, wrapped)).metadata).toEqual(new Map(Object.entries(MARK)));
  });

  it("and comes back as S3EC V2, IV and body as they were", async () => {
    const { seal } = read(object);
    const back = s3ecV2.adopt?.(seal, AWS_KEY, hex(v2.bodyHex).length) as Seal;
    expect(back).toMatchObject({ format: "s3ec-v2", wrap: "kms+context", content: "AES/GCM/NoPadding" });
    expect(back.fixed.get("x-amz-iv")).toBe(v2.metadata?.["x-amz-iv"]);
    const message = new DataKey(Buffer.concat([hex("1a20"), hex(v2.dataKeyHex)]));
    const key = s3ecV2.adoptKey?.(seal, message) as DataKey;
    expect(Buffer.from(key.reveal()).toString("hex")).toBe(v2.dataKeyHex);
    const { metadata } = s3ecV2.write(withWrapped(back, wrappedFor(AWS_KEY)));
    const again = s3ecV2.read(headOf(metadata, hex(v2.bodyHex).length), new Uint8Array()) as Seal;
    const opened = await collect(s3ecV2.open(inPieces(hex(v2.bodyHex)), again, key));
    expect(opened.toString()).toBe(v2.plaintextUtf8);
    expect(await codeOf(() => s3ecV2.adoptKey?.(seal, key))).toBe("SEAL_FORGED");
  });

  it("the twin of a V3 object does not open: its reader passes associated data", async () => {
    const ofV3 = twin("Tink twin of V3");
    expect(await codeOf(() => openWith(keyService(hex(ofV3.kekHex)), hex(ofV3.tinkHex)))).toBe("SEAL_FORGED");
  });

  it("cut anywhere it is refused: broken before the body's last byte that could be a tag, forged after", async () => {
    const whole = read(object).seal.start?.length ?? 0;
    for (let length = 0; length < object.length; length++) {
      const expected = length < whole + 16 ? "SEAL_MALFORMED" : "SEAL_FORGED";
      expect(await codeOf(() => openWith(kms, object.subarray(0, length))), `${length} bytes`).toBe(expected);
    }
  });

  it("one changed bit is refused: in the length, the wrapped key, the nonce or the body, whole and byte by byte", async () => {
    const nonceAt = 4 + wrappedKeyIn(object).length;
    for (let bit = 0; bit < object.length * 8; bit++) {
      const changed = Buffer.from(object);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const answer = await codeOf(() => openWith(kms, changed));
      if (bit < 32) expect(["SEAL_MALFORMED", "KMS_CANNOT_OPEN"], `bit ${bit}`).toContain(answer);
      else expect(answer, `bit ${bit}`).toBe(bit < nonceAt * 8 ? "KMS_CANNOT_OPEN" : "SEAL_FORGED");
      if (bit % 8 === 0) expect(await codeOf(() => openWith(kms, changed, [1]))).toBe(answer);
    }
  });
});

describe("what is no Tink envelope, or a broken one", () => {
  const object = hex(twin('Tink twin of "V2').tinkHex);
  const answer = (metadata: Readonly<Record<string, string>>, bytes: Uint8Array = object) =>
    codeOf(() => {
      const head = headOf(metadata, bytes.length);
      tink.wants(head, bytes.subarray(0, 3));
      if (!tink.read(head, bytes)) throw new SealiftError("USAGE", "not mine");
    });

  it.each<[string, Readonly<Record<string, string>>, string]>([
    ["without a mark", {}, "USAGE"],
    ["with S3EC's names only", { "x-amz-key-v2": "a" }, "USAGE"],
    ["half a mark", { "sealift-tink": "AES_GCM/RAW" }, "SEAL_MALFORMED"],
    ["the other half", { "sealift-tink-key": GCP_KEY }, "SEAL_MALFORMED"],
    ["a mark twice", { ...MARK, "Sealift-Tink": "AES_GCM/RAW" }, "SEAL_MALFORMED"],
    ["no prefix type", { ...MARK, "sealift-tink": "AES_GCM" }, "SEAL_MALFORMED"],
    ["another prefix type", { ...MARK, "sealift-tink": "AES_GCM/NONE" }, "SEAL_MALFORMED"],
    ["too much in it", { ...MARK, "sealift-tink": "AES_GCM/RAW/" }, "SEAL_MALFORMED"],
    ["an unknown data key", { ...MARK, "sealift-tink": "AES_EAX/RAW" }, "SEAL_UNSUPPORTED"],
    ["no key URI", { ...MARK, "sealift-tink-key": "k" }, "SEAL_MALFORMED"],
    ["a key that wraps nothing", { ...MARK, "sealift-tink-key": "local-rsa://k" }, "SEAL_MALFORMED"],
    ["a prefix that is not there", { ...MARK, "sealift-tink": "AES_GCM/TINK" }, "SEAL_MALFORMED"],
    ["a mark and all of it", MARK, "no error"],
  ])("%s", async (_, metadata, expected) => {
    expect(await answer(metadata)).toBe(expected);
    const isPlain = await codeOf(() => plain.read(headOf(metadata, object.length), object) ?? Promise.reject("no"));
    if (Object.keys(metadata).some((name) => /tink/i.test(name))) expect(isPlain).not.toBe("no error");
  });

  it("lengths that no reader takes", async () => {
    for (const length of [0, 4097, 2 ** 31, 2 ** 32 - 1]) {
      const changed = Buffer.from(object);
      changed.writeUInt32BE(length);
      expect(await answer(MARK, changed), String(length)).toBe("SEAL_MALFORMED");
    }
  });

  it("a prefix is kept as it is", () => {
    for (const [type, prefix] of [
      ["TINK", "01aabbccdd"],
      ["LEGACY", "00aabbccdd"],
    ] as const) {
      const prefixed = Buffer.concat([hex(prefix), object]);
      const { seal } = read(prefixed, { ...MARK, "sealift-tink": `AES_GCM/${type}` });
      const moved = withWrapped(tink.retarget(seal, LOCAL_KEY), wrappedFor(LOCAL_KEY));
      const start = Buffer.from(tink.start?.(moved) ?? []);
      expect(start.subarray(0, 5).toString("hex")).toBe(prefix);
      expect(start.length).toBe(5 + 4 + 113 + 12);
      expect(tink.write(moved).metadata.get("sealift-tink")).toBe(`AES_GCM/${type}`);
    }
  });

  it("any bytes are read, or refused in words of ours", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        try {
          const { seal } = read(bytes);
          expect(Buffer.from(tink.start?.(seal) ?? []).equals(Buffer.from(seal.start ?? []))).toBe(true);
        } catch (error) {
          expect((error as SealiftError).code).toBe("SEAL_MALFORMED");
        }
      }),
    );
  });
});

describe("data keys", () => {
  const { seal } = read(hex(twin('Tink twin of "V2').tinkHex));
  const KEY = "22".repeat(32);

  it.each<[string, string, boolean]>([
    ["of 32 bytes", `1a20${KEY}`, true],
    ["of 16 bytes", `1a10${KEY.slice(0, 32)}`, true],
    ["with a version of 0", `08001a20${KEY}`, true],
    ["of 24 bytes", `1a18${KEY.slice(0, 48)}`, false],
    ["of another version", `08011a20${KEY}`, false],
    ["of another type", `1220${KEY}`, false],
    ["bare", KEY, false],
    ["twice", `1a20${KEY}1a20${KEY}`, false],
    ["with more behind it", `1a20${KEY}2001`, false],
    ["cut", `1a20${KEY.slice(2)}`, false],
    ["with a length beyond all bytes", `1affffffff0f${KEY}`, false],
  ])("%s", async (_, message, fits) => {
    expect(await codeOf(() => tink.check(seal, new DataKey(hex(message))))).toBe(fits ? "no error" : "SEAL_FORGED");
  });

  it("of AES-192 have no Tink key", async () => {
    expect(await codeOf(() => tink.adoptKey?.(seal, new DataKey(Buffer.alloc(24, 1))))).toBe("SEAL_UNSUPPORTED");
  });
});

describe("what is not adopted", () => {
  const why = (seal: Seal) => {
    try {
      tink.adopt?.(seal, GCP_KEY, 1000);
    } catch (error) {
      const { code, message } = error as SealiftError;
      return `${code} ${message}`;
    }
    return "adopted";
  };
  const gcm = withWrapped(s3ecV2.fresh(new Map([["tenant", "42"]]), AWS_KEY).seal, wrappedFor(AWS_KEY));

  it("V3, V1, and AES-CBC, each with its reason", () => {
    expect(why(s3ecV3.fresh(new Map(), AWS_KEY).seal)).toMatch(/^SEAL_UNSUPPORTED .*derived key/);
    expect(why({ ...gcm, content: "AES/CBC/PKCS5Padding" })).toMatch(/^SEAL_UNSUPPORTED .*AES-CBC/);
    expect(why({ ...gcm, format: "s3ec-v1", content: "AES/CBC/PKCS5Padding" })).toMatch(/^SEAL_UNSUPPORTED .*AES-CBC/);
    expect(why(gcm)).toBe("adopted");
  });

  it("what is lost is said: pairs of the context, and comfort above 1 GiB", () => {
    const notes = (bytes: number) => tink.adopt?.(gcm, GCP_KEY, bytes).notes.join("\n");
    expect(notes(1000)).toContain('binds none: "tenant"');
    expect(notes(1000)).not.toContain("1 GiB");
    expect(notes(2 ** 30 + 1)).toContain("1 GiB");
    expect(tink.adopt?.(gcm, GCP_KEY, 1000)).toMatchObject({ form: "none", context: new Map() });
  });

  it("nor is every Tink body S3EC's", async () => {
    const seal = { ...gcm, format: "tink", content: "CHACHA20_POLY1305" };
    expect(await codeOf(() => s3ecV2.adopt?.(seal, AWS_KEY, 100))).toBe("SEAL_UNSUPPORTED");
    const v3 = s3ecV3.fresh(new Map(), AWS_KEY).seal;
    expect(await codeOf(() => s3ecV2.adopt?.(v3, AWS_KEY, 100))).toBe("SEAL_UNSUPPORTED");
  });
});
