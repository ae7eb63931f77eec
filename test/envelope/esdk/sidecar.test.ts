/** What stands beside a message has to be about that message, and to be whole. */
import { describe, expect, it } from "vitest";
import { contextBytes, type KeyUri } from "../../../src/core/key.ts";
import { type Seal, withWrapped, wrappedKeys } from "../../../src/envelope/envelope.ts";
import { esdk } from "../../../src/envelope/esdk/esdk.ts";
import { esdkSidecar } from "../../../src/envelope/esdk/sidecar.ts";
import { ALL_KEYS, AWS_KEY, codeOf, GCP_KEY, LOCAL_KEY, wrappedFor } from "../material.ts";
import { file, read, VECTORS } from "./vectors.ts";

const vector = (id: string): Buffer => {
  const found = VECTORS.find((each) => each.id.startsWith(id));
  if (!found) throw new Error(`no vector ${id}`);
  return file(found.file);
};
const message = vector("9abd86d3");
const other = vector("8b30be2b");

const besideUnder = (bytes: Uint8Array, to: KeyUri): { seal: Seal; metadata: Record<string, string> } => {
  const { seal, envelope } = read(bytes);
  const moved = withWrapped(envelope.retarget(seal, to), wrappedFor(to));
  return { seal: moved, metadata: Object.fromEntries(esdkSidecar.write(moved).metadata) };
};
const { metadata } = besideUnder(message, GCP_KEY);

describe("a message and its sidecar", () => {
  it("is read as what was written, under every key, and binds the message", () => {
    for (const to of ALL_KEYS) {
      const { seal, metadata: written } = besideUnder(message, to);
      const { envelope, seal: again } = read(message, written);
      expect(envelope.id).toBe("esdk-sidecar");
      expect(again.wrapped).toEqual(seal.wrapped);
      expect([...again.context]).toEqual([...seal.context]);
      expect(again.context.get("sealift:esdk-message")).toMatch(/^0478\/[\w+/]{43}=$/);
      expect(again.others).toBeUndefined();
      expect(Object.fromEntries(esdkSidecar.write(again).metadata)).toEqual(written);
    }
  });

  it("has no name that an S3 Encryption Client reads", () => {
    expect(Object.keys(metadata).sort()).toEqual([
      "sealift-esdk-key",
      "sealift-esdk-message",
      "sealift-esdk-uri",
      "sealift-esdk-wrap",
    ]);
  });

  it.each([
    ["another message", other, {}],
    ["no message", Buffer.from("just text, and long enough"), {}],
    ["an empty object", Buffer.alloc(0), {}],
    ["a cut message", message.subarray(0, 80), {}],
    [
      "a suite that it is not",
      message,
      { "sealift-esdk-message": metadata["sealift-esdk-message"]?.replace("0478", "0178") },
    ],
    ["a key that is not base64", message, { "sealift-esdk-key": "AAA" }],
    ["a key with white space", message, { "sealift-esdk-key": "AAAA " }],
    ["an empty key", message, { "sealift-esdk-key": "" }],
    ["a URI of another wrap", message, { "sealift-esdk-uri": AWS_KEY }],
    ["a URI of nothing", message, { "sealift-esdk-uri": "gcp-kms://x" }],
    ["a name twice", message, { "Sealift-Esdk-Key": "AAAA" }],
    ["names of the S3 Encryption Client", message, { "x-amz-key-v2": "AAAA" }],
  ])("beside %s is malformed", async (_, bytes, change) => {
    const changed = Object.fromEntries(
      Object.entries({ ...metadata, ...change }).map(([name, value]) => [name, value ?? ""]),
    );
    expect(await codeOf(() => read(bytes, changed))).toBe("SEAL_MALFORMED");
  });

  it("without one of its names is malformed, and under a wrap that is not carried unsupported", async () => {
    for (const missing of Object.keys(metadata)) {
      const rest = Object.fromEntries(Object.entries(metadata).filter(([name]) => name !== missing));
      expect(await codeOf(() => read(message, rest)), missing).toBe("SEAL_MALFORMED");
    }
    expect(await codeOf(() => read(message, { ...metadata, "sealift-esdk-wrap": "azure-kv" }))).toBe(
      "SEAL_UNSUPPORTED",
    );
  });

  it("whose own pairs name a message is not carried", async () => {
    const { seal, dataKey } = esdk.fresh(new Map([["sealift:esdk-message", "0478/x"]]), LOCAL_KEY);
    const start = esdk.start?.(withWrapped(seal, wrappedFor(LOCAL_KEY)), dataKey) ?? Buffer.alloc(0);
    const bytes = Buffer.concat([start, Buffer.alloc(48)]);
    const found = read(bytes);
    expect(await codeOf(() => esdk.retarget(found.seal, GCP_KEY))).toBe("SEAL_UNSUPPORTED");
    expect(await codeOf(() => read(bytes, metadata))).toBe("SEAL_MALFORMED");
  });
});

describe("the data keys that a message holds", () => {
  it("are tried in its order, each as its kind wants it", () => {
    const keys = wrappedKeys(read(message).seal);
    expect(keys.map(({ scheme, raw }) => [scheme, raw?.algorithm])).toEqual([
      ["local", "AES/GCM"],
      ["local", "AES/GCM"],
    ]);
    expect(wrappedKeys(read(vector("08ca097e")).seal).map(({ scheme, raw }) => [scheme, raw?.algorithm])).toEqual([
      ["local-rsa", "RSA-unnamed"],
    ]);
  });

  it("are bound to the pairs as bytes, sorted by them", () => {
    const context = new Map([
      ["\u{1f511}", "b"],
      ["\uff5e", "a"],
    ]);
    const bytes = Buffer.from(contextBytes(context, "esdk")).toString("hex");
    expect(bytes).toBe("00020003efbd9e0001610004f09f9491000162");
    expect(contextBytes(new Map(), "esdk").length).toBe(0);
    expect(() => contextBytes(new Map([["a", "x".repeat(65_536)]]), "esdk")).toThrow(/65535/);
  });

  it("a bare AES key is tried with the pairs in both orders where they differ", () => {
    const { seal } = read(besideOrdered());
    const bounds = wrappedKeys(seal).map(({ raw }) => Buffer.from(raw?.bound ?? "").toString("hex"));
    expect(bounds).toEqual(["0002000162000131000161000132", "0002000161000132000162000131"]);
  });
});

/** As a writer that does not sort leaves it: pairs b, a. */
function besideOrdered(): Buffer {
  const bare = vector("8b30be2b");
  const pairs = Buffer.from("0002000162000131000161000132", "hex");
  const cut = 3 + 32;
  const length = Buffer.from([0, pairs.length]);
  return Buffer.concat([bare.subarray(0, cut), length, pairs, bare.subarray(cut + 2)]);
}
