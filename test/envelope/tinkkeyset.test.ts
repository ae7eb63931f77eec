/** Tink's encrypted keysets: the published one, both ways to write them, and what is taken for none. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ENVELOPES, envelopesWith } from "../../src/compose/envelopes.ts";
import { DataKey } from "../../src/core/key.ts";
import { type Seal, withWrapped } from "../../src/envelope/envelope.ts";
import { keysetWith, tinkKeyset } from "../../src/envelope/tink/keyset.ts";
import { recognise, wantedBytes } from "../../src/transfer/recognise.ts";
import { ALL_KEYS, codeOf, collect, GCP_KEY, headOf, inPieces, type Metadata, wrappedFor } from "./material.ts";
import { openRawGcm } from "./tinkreader.ts";

interface Published {
  readonly kekUri: string;
  readonly encryptedKeysetB64: string;
  readonly primaryKeyId: number;
}
const { encryptedKeyset: published }: { encryptedKeyset: Published } = JSON.parse(
  readFileSync(new URL("../vectors/tink/vectors.json", import.meta.url), "utf8"),
);
const WRAPPED = Buffer.from(published.encryptedKeysetB64, "base64");

const INFO = { primaryKeyId: published.primaryKeyId, keyInfo: [{ keyId: published.primaryKeyId, status: "ENABLED" }] };
const asJson = (wrapped: string) =>
  Buffer.from(`{"encryptedKeyset": "${wrapped}",\n "keysetInfo": ${JSON.stringify(INFO)} }\n`);
const field = (number: number, bytes: Buffer) => {
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length % 128) + 128, bytes.length >> 7];
  return Buffer.concat([Buffer.of(number * 8 + 2, ...length), bytes]);
};
const asBinary = (wrapped: Buffer) => Buffer.concat([field(2, wrapped), field(3, Buffer.of(8, 1, 0x12, 2, 8, 9))]);

const WAYS = { JSON: asJson(published.encryptedKeysetB64), BINARY: asBinary(WRAPPED) } as const;
const CLAIM = { keyset: "JSON", key: GCP_KEY } as const;
const claiming = (format: "JSON" | "BINARY") => envelopesWith({ tinkKeysets: { format, key: GCP_KEY } });

/** As a store's reader does it: no more of the start is seen than was asked for. */
function recognised(object: Buffer, envelopes = ENVELOPES, metadata: Metadata = {}) {
  const head = headOf(metadata, object.length);
  let start: Buffer = Buffer.alloc(0);
  for (let wanted = wantedBytes(head, start, envelopes); wanted > start.length; )
    [start, wanted] = [object.subarray(0, wanted), wantedBytes(head, object.subarray(0, wanted), envelopes)];
  return recognise(head, start, envelopes);
}

describe.each(["JSON", "BINARY"] as const)("in %s", (format) => {
  const object = WAYS[format];
  const envelopes = claiming(format);

  it("is one by the job's word, and the wrapped keyset is found", () => {
    const { envelope, seal } = recognised(object, envelopes);
    expect([envelope.id, recognised(object).envelope.id]).toEqual(["tink-keyset", "plain"]);
    expect(seal).toMatchObject({ content: `KEYSET/${format}`, form: "none", wrapped: { uri: GCP_KEY } });
    expect(Buffer.from(seal.wrapped?.bytes ?? []).equals(WRAPPED)).toBe(true);
    expect(Buffer.from(envelope.start?.(seal) ?? []).equals(object)).toBe(true);
    const other = format === "JSON" ? "BINARY" : "JSON";
    expect(recognised(object, claiming(other)).envelope.id).toBe("plain");
  });

  it("is written again with another wrapped keyset and no other change, and known by its mark", () => {
    const { envelope, seal } = recognised(object, envelopes);
    for (const to of ALL_KEYS) {
      const moved = withWrapped(envelope.retarget(seal, to), wrappedFor(to));
      const again = Buffer.from(envelope.start?.(moved) ?? []);
      const { bytes } = wrappedFor(to);
      const expected = format === "JSON" ? asJson(Buffer.from(bytes).toString("base64")) : asBinary(Buffer.from(bytes));
      expect(again.equals(expected)).toBe(true);
      const { metadata, startBytes } = envelope.write(moved);
      expect(startBytes).toBe(again.length);
      const found = recognised(again, ENVELOPES, metadata);
      expect(found.seal).toMatchObject({ format: "tink-keyset", wrapped: { uri: to }, fixed: seal.fixed });
    }
  });

  it("cut anywhere, or longer, it is none: plain by the job's word, broken under a mark", async () => {
    const { envelope, seal } = recognised(object, envelopes);
    const { metadata } = envelope.write(seal);
    for (let length = 0; length < object.length - 1; length++) {
      const cut = object.subarray(0, length);
      const isWholeField = format === "BINARY" && length === field(2, WRAPPED).length;
      expect(recognised(cut, envelopes).envelope.id, `${length} bytes`).toBe(isWholeField ? "tink-keyset" : "plain");
      if (!isWholeField) expect(await codeOf(() => recognised(cut, ENVELOPES, metadata))).toBe("SEAL_MALFORMED");
    }
    const longer = Buffer.concat([object, Buffer.of(0x31)]);
    expect(recognised(longer, envelopes).envelope.id).toBe("plain");
    expect(await codeOf(() => recognised(longer, ENVELOPES, metadata))).toBe("SEAL_MALFORMED");
  });
});

describe("the keys within", () => {
  const { seal } = recognised(WAYS.JSON, claiming("JSON"));

  it("the published keyset opens and is one; anything else is forged", async () => {
    const kek = Buffer.from(published.kekUri.slice("fake-kms://".length), "base64url");
    const key = kek.subarray(kek.indexOf(Buffer.of(0x1a, 0x20)) + 2).subarray(0, 32);
    const keyset = openRawGcm(key, WRAPPED.subarray(5));
    tinkKeyset.check(seal, new DataKey(keyset));
    for (const wrong of [
      keyset.subarray(1),
      keyset.subarray(0, -1),
      Buffer.alloc(32, 1),
      Buffer.of(8, 1),
      Buffer.alloc(0),
    ])
      expect(await codeOf(() => tinkKeyset.check(seal, new DataKey(wrong)))).toBe("SEAL_FORGED");
    const two = Buffer.concat([keyset, field(2, Buffer.alloc(40, 1))]);
    tinkKeyset.check(seal, new DataKey(two));
    const large = Buffer.concat([keyset, ...Array.from({ length: 50 }, () => field(2, Buffer.alloc(100)))]);
    expect(await codeOf(() => tinkKeyset.check(seal, new DataKey(large)))).toBe("SEAL_UNSUPPORTED");
  });

  it("are printed nowhere: the object has no other plaintext", async () => {
    const key = new DataKey(Buffer.alloc(32));
    expect((await collect(tinkKeyset.open(inPieces(Buffer.alloc(0)), seal, key))).length).toBe(0);
    expect(await codeOf(() => collect(tinkKeyset.open(inPieces(Buffer.alloc(1)), seal, key)))).toBe("SEAL_FORGED");
    expect([tinkKeyset.sealedSize(0, seal), tinkKeyset.plainSize(0, seal)]).toEqual([0, 0]);
    expect(await codeOf(() => tinkKeyset.sealedSize(1, seal))).toBe("TOO_LARGE");
    expect(await codeOf(() => tinkKeyset.plainSize(1, seal))).toBe("SEAL_MALFORMED");
    expect(await codeOf(() => tinkKeyset.fresh(new Map(), GCP_KEY))).toBe("SEAL_UNSUPPORTED");
  });
});

describe("what is none", () => {
  it("JSON of another kind stays plain", () => {
    for (const text of [
      "{}",
      '{"encryptedKeyset":7,"keysetInfo":{"a":1}}',
      '{"encryptedKeyset":"AAAA"}',
      '{"encryptedKeyset":"A!AA","keysetInfo":{"a":1}}',
      '{"encryptedKeyset":"AAAA","encryptedKeyset":"AAAB","keysetInfo":{"a":1}}',
      '{"more":{"encryptedKeyset":"AAAA"},"keysetInfo":{"a":1}}',
      "[1]",
    ])
      expect(recognised(Buffer.from(text), claiming("JSON")).envelope.id, text).toBe("plain");
  });

  it("a wrapped keyset of nothing, or of more than any key service makes, is refused", async () => {
    for (const [wrapped, code] of [
      ["", "SEAL_MALFORMED"],
      [Buffer.alloc(6145).toString("base64"), "SEAL_UNSUPPORTED"],
    ] as const)
      expect(await codeOf(() => recognised(asJson(wrapped), claiming("JSON")))).toBe(code);
  });

  it("a large object is not read for it", () => {
    const head = headOf({}, 10_000_000);
    const wants = (one: typeof head, start: string) => keysetWith(CLAIM).wants(one, Buffer.from(start));
    expect([wants(head, "{"), wants(headOf({}, 1000), "text"), wants(headOf({}, 1000), "{")]).toEqual([0, 4, 1000]);
  });

  it("any bytes are plain, or read and written again the same", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.uint8Array({ maxLength: 60 }).map((one) => Buffer.concat([Buffer.of(0x12, one.length), one])),
      fc.json().map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(bytes, (one) => {
        for (const format of ["JSON", "BINARY"] as const) {
          const found: { envelope: { id: string }; seal: Seal } | undefined = quietly(() =>
            recognised(Buffer.from(one), claiming(format)),
          );
          if (found?.envelope.id !== "tink-keyset") continue;
          expect(Buffer.from(tinkKeyset.start?.(found.seal) ?? []).equals(Buffer.from(one))).toBe(true);
        }
      }),
    );
  });
});

function quietly<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
