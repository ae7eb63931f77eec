import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { crc32c } from "../../src/core/crc32c.ts";
import { DataKey, type KeyContext, type KeyUri, keyUri, type WrappedKey } from "../../src/core/key.ts";
import { type GcpKmsOptions, openGcpKms } from "../../src/kms/gcp/gcp.ts";
import { CANONICAL } from "../../src/kms/gcp/refusal.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { kmsSuite } from "./kms.suite.ts";

const never = new AbortController().signal;
const CONTEXT: KeyContext = new Map([["a", "1"]]);
const uriOf = (name: string): KeyUri => keyUri(`gcp-kms://${name}`);
const nameOf = (uri: KeyUri): string => uri.slice("gcp-kms://".length);
const at = (pocket: PocketGcpKms): GcpKmsOptions => ({
  endpoint: pocket.url,
  grpcEndpoint: pocket.grpcUrl,
  anonymous: true,
});

for (const transport of ["rest", "grpc"] as const) {
  kmsSuite(
    `gcp over ${transport}, against the pocket`,
    async () => {
      const pocket = await startPocketGcpKms();
      const [key, otherKey, third] = [pocket.createKey("one"), pocket.createKey("two"), pocket.createKey("three")];
      const kms = openGcpKms({ ...at(pocket), transport });
      const cleanup = async () => {
        await kms.close();
        await pocket.close();
      };
      const disabled = { key: uriOf(third), disable: () => pocket.disable(third) };
      return { kms, key: uriOf(key), otherKey: uriOf(otherKey), unknownKey: uriOf(`${key}0`), disabled, cleanup };
    },
    { skip: { "rewrap opens under the new key and context only": "Google KMS has no ReEncrypt" } },
  );
}

describe("gcp driver", () => {
  let pocket: PocketGcpKms;
  let key: KeyUri;
  const opened: Kms[] = [];
  const open = (options: GcpKmsOptions = {}) => {
    const kms = openGcpKms({ ...at(pocket), ...options });
    opened.push(kms);
    return kms;
  };
  const wrap = async (kms: Kms, under = key, signal = never): Promise<WrappedKey> => {
    using dataKey = new DataKey(Buffer.alloc(32, 5));
    return await kms.wrap(under, dataKey, CONTEXT, signal);
  };
  const answer = (body: object | string, status = 200, headers: Record<string, string> = {}) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    pocket.faults.add({ match: () => true, answer: { status, headers, body: text } });
  };

  beforeEach(async () => {
    pocket = await startPocketGcpKms();
    key = uriOf(pocket.createKey("one"));
  });
  afterEach(async () => {
    for (const kms of opened.splice(0)) await kms.close();
    await pocket.close();
  });

  it("reads over one transport what it wrapped over the other, also after a rotation", async () => {
    const [rest, grpc] = [open({ transport: "rest" }), open({ transport: "grpc" })];
    const wrapped = [await wrap(rest), await wrap(grpc)];
    pocket.rotate(nameOf(key));
    for (const one of wrapped) {
      expect(one.bytes.length).toBe(113);
      for (const kms of [rest, grpc]) expect((await kms.unwrap(one, CONTEXT, never))?.by).toBe(key);
    }
  });

  it("says what is missing where the envelope names no key", async () => {
    const { scheme, bytes } = await wrap(open());
    const attempt = open().unwrap({ scheme, bytes }, CONTEXT, never);
    await expect(attempt).rejects.toMatchObject({ code: "KMS_CANNOT_OPEN", message: /does not name/ });
  });

  const sealedBytes = Buffer.alloc(113, 1);
  const sound = () => ({
    name: `${nameOf(key)}/cryptoKeyVersions/1`,
    ciphertext: sealedBytes.toString("base64"),
    ciphertextCrc32c: String(crc32c(sealedBytes)),
    verifiedPlaintextCrc32c: true,
    verifiedAdditionalAuthenticatedDataCrc32c: true,
  });
  it("takes a sound answer", async () => {
    answer(sound());
    expect(Buffer.from((await wrap(open())).bytes)).toEqual(sealedBytes);
  });
  it.each([
    ["unverified data key", { verifiedPlaintextCrc32c: false }, "KMS_CORRUPTED"],
    ["data key without a word", { verifiedPlaintextCrc32c: undefined }, "KMS_CORRUPTED"],
    ["unverified context", { verifiedAdditionalAuthenticatedDataCrc32c: undefined }, "KMS_CORRUPTED"],
    ["wrong checksum", { ciphertextCrc32c: "1" }, "KMS_CORRUPTED"],
    ["no checksum", { ciphertextCrc32c: undefined }, "KMS_CORRUPTED"],
    ["checksum that is no number", { ciphertextCrc32c: "x" }, "KMS_CORRUPTED"],
    ["changed ciphertext", { ciphertext: Buffer.alloc(113, 2).toString("base64") }, "KMS_CORRUPTED"],
    ["broken base64", { ciphertext: "A" }, "PROVIDER_ERROR"],
    ["no ciphertext", { ciphertext: undefined }, "PROVIDER_ERROR"],
    ["another key", { name: "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1" }, "PROVIDER_ERROR"],
    ["no key", { name: undefined }, "PROVIDER_ERROR"],
  ])("refuses to wrap on an answer with %s", async (_, change, code) => {
    answer({ ...sound(), ...change });
    await expect(wrap(open())).rejects.toMatchObject({ code, retry: "later" });
  });

  it("refuses a data key that differs from its checksum, without showing it", async () => {
    const kms = open();
    const wrapped = await wrap(kms);
    const plaintext = Buffer.alloc(32, 5).toString("base64");
    for (const plaintextCrc32c of ["1", undefined]) {
      answer({ plaintext, plaintextCrc32c });
      const thrown: unknown = await kms.unwrap(wrapped, CONTEXT, never).catch((error: unknown) => error);
      expect(thrown).toMatchObject({ code: "KMS_CORRUPTED" });
      expect(String(thrown)).not.toContain(plaintext);
    }
    for (const body of [
      "",
      "<html>",
      '{"plaintext":',
      { plaintextCrc32c: "0" },
      { plaintext: "", plaintextCrc32c: "0" },
    ]) {
      answer(body);
      await expect(kms.unwrap(wrapped, CONTEXT, never)).rejects.toMatchObject({ code: "PROVIDER_ERROR" });
    }
  });

  const google = (status: string, message = "m") => ({ error: { code: 0, status, message } });
  it.each([
    ["RESOURCE_EXHAUSTED", 429, "THROTTLED", "throttled"],
    ["UNAVAILABLE", 503, "PROVIDER_ERROR", "later"],
    ["INTERNAL", 500, "PROVIDER_ERROR", "later"],
    ["ABORTED", 409, "PROVIDER_ERROR", "later"],
    ["DEADLINE_EXCEEDED", 504, "NET_TIMEOUT", "later"],
    ["FAILED_PRECONDITION", 400, "KMS_KEY_UNUSABLE", "never"],
    ["NOT_FOUND", 404, "KMS_KEY_UNUSABLE", "never"],
    ["PERMISSION_DENIED", 403, "ACCESS_DENIED", "never"],
    ["UNAUTHENTICATED", 401, "CREDENTIALS_EXPIRED", "later"],
    ["INVALID_ARGUMENT", 400, "KMS_CANNOT_OPEN", "never"],
    ["OUT_OF_RANGE", 400, "PROVIDER_REFUSED", "never"],
  ])("%s (HTTP %d) is %s, and is not tried again here", async (name, http, code, retry) => {
    const kms = open();
    const wrapped = await wrap(kms);
    pocket.counts.clear();
    answer(google(name), http);
    await expect(kms.unwrap(wrapped, CONTEXT, never)).rejects.toMatchObject({ code, retry });
    expect(pocket.counts.get("POST")).toBe(1);
  });

  it("numbers the canonical codes as gRPC does", () => {
    expect(CANONICAL.map((name) => status[name])).toEqual(CANONICAL.map((_, number) => number));
  });

  it("knows a lost checksum and a bad request from a key that does not open", async () => {
    const kms = open();
    const wrapped = await wrap(kms);
    answer(google("INVALID_ARGUMENT", "The checksum in field ciphertext_crc32c did not match the data."), 400);
    await expect(kms.unwrap(wrapped, CONTEXT, never)).rejects.toMatchObject({ code: "KMS_CORRUPTED" });
    answer(google("INVALID_ARGUMENT"), 400);
    await expect(wrap(kms)).rejects.toMatchObject({ code: "PROVIDER_REFUSED" });
  });

  it("judges answers that are not Google's by their status", async () => {
    const kms = open();
    const wrapped = await wrap(kms);
    const expected = { 400: "PROVIDER_REFUSED", 401: "CREDENTIALS_EXPIRED", 429: "THROTTLED", 502: "PROVIDER_ERROR" };
    for (const [status, code] of Object.entries(expected)) {
      answer("<html>proxy", Number(status), { "retry-after": "3" });
      await expect(kms.unwrap(wrapped, CONTEXT, never)).rejects.toMatchObject({ code, retryAfterMs: 3000 });
    }
    pocket.faults.add({ match: () => true, loseAnswer: true });
    await expect(wrap(kms)).rejects.toMatchObject({ code: "NET_UNREACHABLE" });
  });

  it("does not repeat a message that repeats the data key", async () => {
    const plain = Buffer.alloc(32, 5).toString("base64");
    answer(google("INVALID_ARGUMENT", `bad ${plain}`), 400);
    await expect(wrap(open())).rejects.toMatchObject({ message: expect.not.stringContaining(plain) });
  });

  it.each(["rest", "grpc"] as const)(
    "checks what may be done over %s, with or without the right to look",
    async (transport) => {
      const kms = open({ transport });
      const [blind, sealer, opener] = ["blind", "sealer", "opener"].map((name) => pocket.createKey(name));
      pocket.deny(blind as string, "get");
      pocket.deny(sealer as string, "useToDecrypt");
      pocket.deny(opener as string, "useToEncrypt", "get");
      const check = (name: string | undefined, use: "wrap" | "unwrap") => kms.check(uriOf(name as string), use, never);
      await check(blind, "wrap");
      await check(blind, "unwrap");
      await check(sealer, "wrap");
      await check(opener, "unwrap");
      await expect(check(sealer, "unwrap")).rejects.toMatchObject({ code: "ACCESS_DENIED", message: /useToDecrypt/ });
      await expect(check(opener, "wrap")).rejects.toMatchObject({ code: "ACCESS_DENIED", message: /useToEncrypt/ });
    },
  );

  it("refuses a key of another purpose, or without a primary version", async () => {
    answer({ purpose: "ASYMMETRIC_SIGN" });
    await expect(open().check(key, "wrap", never)).rejects.toThrow(/ASYMMETRIC_SIGN/);
    answer({ purpose: "ENCRYPT_DECRYPT" });
    await expect(open().check(key, "wrap", never)).rejects.toThrow(/missing/);
  });

  it.each(["rest", "grpc"] as const)("names an unreachable server over %s", async (transport) => {
    const kms = open({ transport });
    await pocket.close();
    await expect(wrap(kms)).rejects.toMatchObject({ retry: "later" });
    pocket = await startPocketGcpKms();
  });

  it("refuses plain http away from this machine, over either transport", async () => {
    expect(() => openGcpKms({ anonymous: true, endpoint: "http://kms.example.com" })).toThrow(/http/);
    const grpc = { anonymous: true, transport: "grpc", grpcEndpoint: "http://kms.example.com:80" } as const;
    expect(() => openGcpKms(grpc)).toThrow(/http/);
  });

  it("stops a call that is under way", async () => {
    const stop = new AbortController();
    const reason = new Error("enough");
    pocket.faults.add({ match: () => true, delayMs: 5000 });
    const waiting = wrap(open(), key, stop.signal);
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });
});
