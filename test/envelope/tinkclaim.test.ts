/** Tink ciphertext of other programs: taken for such only where the job says so, of every type of data key. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ENVELOPES, envelopesWith } from "../../src/compose/envelopes.ts";
import { DataKey } from "../../src/core/key.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { hchacha20 } from "../../src/envelope/tink/hchacha.ts";
import { DEKS } from "../../src/envelope/tink/dek.ts";
import { jobJsonSchema } from "../../src/config/shape.ts";
import { recognise, wantedBytes } from "../../src/transfer/recognise.ts";
import {
  codeOf,
  collect,
  GCP_KEY,
  headOf,
  inPieces,
  LOCAL_KEY,
  type Metadata,
  pattern,
  wrappedFor,
} from "./material.ts";
import { objectOf, TYPES, typeOf } from "./tinksealer.ts";

const WRAPPED = Buffer.alloc(115, 0x0a);
const claim = (template: string, prefix: "RAW" | "TINK" | "LEGACY" = "RAW") => ({
  tink: { template, key: GCP_KEY, prefix },
});

/** Key messages that say nothing of their type look alike, to Tink's readers too; AES has two sizes of keys. */
const LOOKALIKES: Readonly<Record<string, readonly string[]>> = {
  AES256_GCM: ["AES128_GCM", "XCHACHA20_POLY1305", "AES256_GCM_SIV"],
  AES128_GCM: ["AES256_GCM", "XCHACHA20_POLY1305", "AES256_GCM_SIV"],
  AES256_GCM_SIV: ["AES256_GCM", "AES128_GCM", "XCHACHA20_POLY1305"],
  XCHACHA20_POLY1305: ["AES256_GCM", "AES256_GCM_SIV"],
};

/** As a store's reader does it: no more of the start is seen than was asked for. */
function recognised(object: Buffer, envelopes = ENVELOPES, metadata: Metadata = {}) {
  const head = headOf(metadata, object.length);
  let start: Buffer = Buffer.alloc(0);
  for (let wanted = wantedBytes(head, start, envelopes); wanted > start.length; )
    [start, wanted] = [object.subarray(0, wanted), wantedBytes(head, object.subarray(0, wanted), envelopes)];
  return recognise(head, start, envelopes);
}

describe.each(Object.keys(TYPES))("%s", (template) => {
  const { message, body, nonceBytes } = typeOf(template);
  const plaintext = pattern(1000);
  const object = objectOf(template, WRAPPED, plaintext);
  const envelopes = envelopesWith(claim(template));

  it("is Tink's by the job's word, and nobody's without", () => {
    const { envelope, seal } = recognised(object, envelopes);
    expect(envelope.id).toBe("tink");
    expect(seal).toMatchObject({ content: template, wrap: "gcp-kms", form: "none", owns: [] });
    expect(seal.wrapped).toMatchObject({ uri: GCP_KEY });
    expect(Buffer.from(seal.wrapped?.bytes ?? []).equals(WRAPPED)).toBe(true);
    expect(seal.start?.length).toBe(4 + 115 + nonceBytes);
    expect(recognised(object).envelope.id).toBe("plain");
  });

  it("moves, its body untouched, and is known again by its mark, whatever the job says", () => {
    const { envelope, seal } = recognised(object, envelopes);
    const moved = withWrapped(envelope.retarget(seal, LOCAL_KEY), wrappedFor(LOCAL_KEY));
    const { metadata } = envelope.write(moved);
    const again = Buffer.concat([envelope.start?.(moved) ?? Buffer.alloc(0), object.subarray(seal.start?.length)]);
    for (const all of [ENVELOPES, envelopes, envelopesWith(claim("CHACHA20_POLY1305", "TINK"))]) {
      const found = recognised(again, all, metadata);
      expect(found.seal).toMatchObject({ format: "tink", content: template, wrapped: { uri: LOCAL_KEY } });
      expect(found.seal.fixed).toEqual(seal.fixed);
    }
  });

  it("opens where this runtime can, whole and byte by byte, and says where it cannot", async () => {
    const { envelope, seal } = recognised(object, envelopes);
    const key = new DataKey(message);
    envelope.check(seal, key);
    const sealed = object.subarray(seal.start?.length);
    if (body === undefined) {
      // What the official client wrote with these is in official.test.ts; this body is any bytes.
      const code = template === "AES256_GCM_SIV" ? "SEAL_UNSUPPORTED" : "SEAL_FORGED";
      expect(await codeOf(() => collect(envelope.open(inPieces(sealed), seal, key)))).toBe(code);
      return;
    }
    for (const sizes of [[sealed.length], [1], [33, 0, 7]])
      expect((await collect(envelope.open(inPieces(sealed, sizes), seal, key))).equals(plaintext)).toBe(true);
    const withData = objectOf(template, WRAPPED, plaintext, "a").subarray(seal.start?.length);
    expect(await codeOf(() => collect(envelope.open(inPieces(withData), seal, key)))).toBe("SEAL_FORGED");
    for (let at = 0; at < sealed.length; at += 9) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(at) ^ 4, at);
      expect(await codeOf(() => collect(envelope.open(inPieces(changed), seal, key))), `byte ${at}`).toBe(
        "SEAL_FORGED",
      );
    }
  });

  it("takes no key message of another type or size, cut or longer", async () => {
    const { envelope, seal } = recognised(object, envelopes);
    for (const [name, type] of Object.entries(TYPES)) {
      const fits = name === template || LOOKALIKES[template]?.includes(name);
      const code = await codeOf(() => envelope.check(seal, new DataKey(type.message)));
      expect(code, name).toBe(fits ? "no error" : "SEAL_FORGED");
    }
    for (let length = 0; length < message.length; length++)
      expect(await codeOf(() => envelope.check(seal, new DataKey(message.subarray(0, length))))).toBe("SEAL_FORGED");
    const longer = Buffer.concat([message, Buffer.of(0x28, 1)]);
    expect(await codeOf(() => envelope.check(seal, new DataKey(longer)))).toBe("SEAL_FORGED");
  });
});

describe("the job's word", () => {
  const envelopes = envelopesWith(claim("AES256_GCM"));
  const object = objectOf("AES256_GCM", WRAPPED, pattern(100));

  it("is not asked about objects that their metadata speaks for", () => {
    const { seal } = s3ecV2.fresh(new Map(), GCP_KEY);
    const { metadata } = s3ecV2.write(withWrapped(seal, wrappedFor(GCP_KEY)));
    const head = headOf(metadata, object.length);
    expect(wantedBytes(head, new Uint8Array(), envelopes)).toBe(0);
    expect(recognise(head, object, envelopes).envelope.id).toBe("s3ec-v2");
  });

  it("does not make Tink's of what does not begin so: that stays plain", () => {
    for (const text of ["", "\0", "text that is longer than four bytes", "\u0000\u0000\u0000\u0000 zero bytes of key"])
      expect(recognised(Buffer.from(text), envelopes).envelope.id, text).toBe("plain");
  });

  it("refuses what begins so and is broken", async () => {
    for (const length of [4, 5, 100, 119, 130, 131 + 15])
      expect(await codeOf(() => recognised(object.subarray(0, length), envelopes)), String(length)).toBe(
        "SEAL_MALFORMED",
      );
  });

  it("holds for prefixes, which are kept", () => {
    for (const [prefix, bytes] of [
      ["TINK", "0111223344"],
      ["LEGACY", "0011223344"],
    ] as const) {
      const prefixed = Buffer.concat([Buffer.from(bytes, "hex"), object]);
      const { envelope, seal } = recognised(prefixed, envelopesWith(claim("AES256_GCM", prefix)));
      const moved = withWrapped(envelope.retarget(seal, LOCAL_KEY), wrappedFor(LOCAL_KEY));
      expect(
        Buffer.from(envelope.start?.(moved) ?? [])
          .subarray(0, 5)
          .toString("hex"),
      ).toBe(bytes);
      const other = prefix === "TINK" ? "LEGACY" : "TINK";
      expect(recognised(prefixed, envelopesWith(claim("AES256_GCM", other))).envelope.id).toBe("plain");
    }
  });

  it("opens a published object's start as Tink lays it out", () => {
    const { kmsEnvelope } = JSON.parse(readFileSync(new URL("../vectors/tink/vectors.json", import.meta.url), "utf8"));
    const [{ ciphertextHex, encDekLength }] = kmsEnvelope;
    const { seal } = recognised(Buffer.from(ciphertextHex, "hex"), envelopes);
    expect(seal.wrapped?.bytes.length).toBe(encDekLength);
  });

  it("does not take published streams for envelopes: their key is elsewhere", () => {
    const { aesGcmHkdfStreaming: streams } = JSON.parse(
      readFileSync(new URL("../vectors/tink/vectors.json", import.meta.url), "utf8"),
    ) as { aesGcmHkdfStreaming: { ciphertextHex: string }[] };
    expect(streams.length).toBe(7);
    for (const { ciphertextHex } of streams)
      expect(recognised(Buffer.from(ciphertextHex, "hex"), envelopes).envelope.id).toBe("plain");
  });

  it("knows every template that a job can name, and no other", () => {
    const schema = JSON.stringify(jobJsonSchema());
    const named = [...DEKS.keys()].filter((name) => schema.includes(`"${name}"`));
    expect(named.sort()).toEqual(Object.keys(TYPES).sort());
    expect([...DEKS.keys()].filter((name) => !named.includes(name))).toEqual(["AES_GCM"]);
  });
});

it("HChaCha20 is the draft's (draft-irtf-cfrg-xchacha, 2.2.1)", () => {
  const key = Buffer.from(Uint8Array.from({ length: 32 }, (_, at) => at));
  const nonce = Buffer.from("000000090000004a0000000031415927", "hex");
  expect(hchacha20(key, nonce).toString("hex")).toBe(
    "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc",
  );
});
