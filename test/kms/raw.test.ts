/** Data keys that clients wrapped by keys of their own: opened by key files, under one error for every way to fail. */
import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
} from "node:crypto";
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { DataKey, type KeyUri, keyUri, type RawWrap, type WrappedKey } from "../../src/core/key.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { fromOaep, fromPkcs1, fromTextbook } from "../../src/kms/local/padding.ts";
import { openRsaKms } from "../../src/kms/local/rsa.ts";

interface Jce {
  readonly data_key_base64: string;
  readonly aes_wrapping_key_base64: string;
  readonly rsa_private_key_pem: string;
  readonly cases: readonly { provider: string; transformation: string; len: number; wrapped_base64: string }[];
}
const jce: Jce = JSON.parse(readFileSync(new URL("../vectors/s3ec/11-jce-key-wraps.json", import.meta.url), "utf8"));
const dataKey = Buffer.from(jce.data_key_base64, "base64");
const privateKey = createPrivateKey(jce.rsa_private_key_pem);
const publicKey = createPublicKey(privateKey);
const never = new AbortController().signal;
const GCM = "AES/GCM/NoPadding";

const ALGORITHMS: Readonly<Record<string, RawWrap["algorithm"]>> = {
  AES: "AES",
  AESWrap: "AESWrap",
  RSA: "RSA",
  "RSA/ECB/OAEPWithSHA-256AndMGF1Padding": "RSA-OAEP-SHA256",
};
const wraps = jce.cases.flatMap(({ provider, transformation, wrapped_base64 }) => {
  const algorithm = ALGORITHMS[transformation];
  return algorithm
    ? [{ name: `${transformation} (${provider})`, algorithm, bytes: Buffer.from(wrapped_base64, "base64") }]
    : [];
});

/** As the S3 Encryption Client wraps for `RSA-OAEP-SHA1`. */
const named = (bound: string, key: Uint8Array = dataKey) =>
  publicEncrypt(
    { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" },
    Buffer.concat([Buffer.from([key.length]), key, Buffer.from(bound)]),
  );

const wrappedKey = (algorithm: RawWrap["algorithm"], bytes: Uint8Array, bound = GCM): WrappedKey => ({
  scheme: algorithm.startsWith("RSA") ? "local-rsa" : "local",
  raw: { algorithm, bound },
  bytes,
});

let directory = "";
let local: Kms;
let rsa: Kms;
const write = (name: string, text: string, mode = 0o600) => writeFile(join(directory, name), text, { mode });

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealift-raw-"));
  await write("aes.key", `${jce.aes_wrapping_key_base64}\n`);
  await write("short.key", `${Buffer.alloc(16, 1).toString("base64")}\n`);
  await write("rsa.pem", jce.rsa_private_key_pem);
  await write(
    "other.pem",
    generateKeyPairSync("rsa", {
      modulusLength: 2048,
      privateKeyEncoding: { type: "pkcs1", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    }).privateKey,
  );
  local = openLocalKms({ directory });
  rsa = openRsaKms({ directory });
});
afterAll(async () => {
  await local.close();
  await rsa.close();
  await rm(directory, { recursive: true });
});

const of = (wrapped: WrappedKey): Kms => (wrapped.scheme === "local" ? local : rsa);

async function opened(wrapped: WrappedKey, kms: Kms = of(wrapped)): Promise<string> {
  try {
    const unwrapped = await kms.unwrap(wrapped, new Map(), never);
    if (!unwrapped) return "not mine";
    using key = unwrapped.dataKey;
    return key.equals(new DataKey(dataKey)) ? unwrapped.by : "another key";
  } catch (thrown) {
    const { code, message } = asSealiftError(thrown);
    return `${code} ${message}`;
  }
}

describe("wraps of Java's ciphers", () => {
  it("has its vectors", () => expect(wraps.length).toBe(8));
  it.each(wraps)("$name opens, whatever other keys are there", async ({ algorithm, bytes }) => {
    const by = algorithm.startsWith("RSA") ? "local-rsa://rsa" : "local://aes";
    expect(await opened(wrappedKey(algorithm, bytes))).toBe(by);
  });
  it("OAEP by SHA-1 without the length and the algorithm is none of the client's", async () => {
    const bare = jce.cases.filter(({ transformation }) => transformation.includes("SHA-1And"));
    expect(bare.length).toBe(2);
    for (const { wrapped_base64 } of bare) {
      const bytes = Buffer.from(wrapped_base64, "base64");
      expect(await opened(wrappedKey("RSA-OAEP-SHA1", bytes))).toMatch(/^KMS_CANNOT_OPEN /);
      const block = privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, bytes);
      expect(fromOaep(block, "sha1", "sha1")?.equals(dataKey)).toBe(true);
    }
  });
});

describe("RSA-OAEP-SHA1 binds the content algorithm", () => {
  it("opens with it", async () => {
    expect(await opened(wrappedKey("RSA-OAEP-SHA1", named(GCM)))).toBe("local-rsa://rsa");
    expect(await opened(wrappedKey("RSA-OAEP-SHA1", named("115"), "115"))).toBe("local-rsa://rsa");
  });
  it.each(["115", "", `${GCM} `, GCM.slice(1), "AES/CBC/PKCS5Padding"])("not with %j", async (bound) => {
    expect(await opened(wrappedKey("RSA-OAEP-SHA1", named(bound)))).toMatch(/^KMS_CANNOT_OPEN /);
  });
  it("not where length and key disagree", async () => {
    const lies = [17, 0, 31, 33, 255].map((size) => Buffer.concat([Buffer.from([size]), dataKey, Buffer.from(GCM)]));
    for (const message of lies) {
      const bytes = publicEncrypt(
        { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" },
        message,
      );
      expect(await opened(wrappedKey("RSA-OAEP-SHA1", bytes))).toMatch(/^KMS_CANNOT_OPEN /);
    }
    for (const size of [15, 17, 64]) {
      expect(await opened(wrappedKey("RSA-OAEP-SHA1", named(GCM, Buffer.alloc(size, 1))))).toMatch(/^KMS_CANNOT_OPEN /);
    }
  });
});

/** The key's own blocks under ECB: nothing protects them, only the padding after them. */
const ECB_KEY_BYTES = 32;

describe("there is one way to fail", () => {
  const all = [
    ...wraps.map(({ algorithm, bytes }) => ({ algorithm, bytes })),
    { algorithm: "RSA-OAEP-SHA1", bytes: named(GCM) } as const,
  ];
  it("a changed bit, a lost byte, another algorithm, an absurd length", async () => {
    const answers = new Map<string, Set<string>>([
      ["local", new Set()],
      ["local-rsa", new Set()],
    ]);
    for (const { algorithm, bytes } of all) {
      const tried: Buffer[] = [
        Buffer.alloc(0),
        Buffer.alloc(1),
        Buffer.concat([bytes, bytes]),
        Buffer.alloc(bytes.length, 0xff),
        Buffer.alloc(bytes.length),
      ];
      for (let bit = algorithm === "AES" ? ECB_KEY_BYTES * 8 : 0; bit < bytes.length * 8; bit += 17) {
        const changed = Buffer.from(bytes);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        tried.push(changed);
      }
      for (const at of [0, 1, bytes.length - 1])
        tried.push(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]));
      for (const one of tried) {
        const wrapped = wrappedKey(algorithm, one);
        answers.get(wrapped.scheme)?.add(await opened(wrapped));
      }
    }
    for (const { algorithm } of all) {
      for (const { algorithm: true_, bytes } of all) {
        if (true_ === algorithm) continue;
        const wrapped = wrappedKey(algorithm, bytes);
        answers.get(wrapped.scheme)?.add(await opened(wrapped));
      }
    }
    for (const said of answers.values()) {
      expect([...said].length, [...said].join("\n")).toBe(1);
      expect([...said][0]).toMatch(/^KMS_CANNOT_OPEN /);
    }
  }, 60_000);
  it("a key of the right shape that the directory does not hold", async () => {
    const stranger = createPublicKey(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey);
    const bytes = publicEncrypt(
      { key: stranger, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
      dataKey,
    );
    expect(await opened(wrappedKey("RSA-OAEP-SHA256", bytes))).toMatch(/^KMS_CANNOT_OPEN /);
  });
  it("two keys that both open prove neither", async () => {
    await write("twin.pem", jce.rsa_private_key_pem);
    const kms = openRsaKms({ directory });
    for (const { algorithm, bytes } of wraps.filter((wrap) => wrap.algorithm.startsWith("RSA"))) {
      expect(await opened(wrappedKey(algorithm, bytes), kms)).toMatch(/^KMS_CANNOT_OPEN /);
    }
    await rm(join(directory, "twin.pem"));
    await kms.close();
  });
});

describe("which keys are tried", () => {
  it("only those that are named, where any are", async () => {
    const [aes] = wraps.filter(({ algorithm }) => algorithm === "AESWrap");
    const [oaep] = wraps.filter(({ algorithm }) => algorithm === "RSA-OAEP-SHA256");
    for (const [raw, code] of [
      [["local://short"], "KMS_CANNOT_OPEN"],
      [[], "KMS_CANNOT_OPEN"],
      [["local://short", "local://aes"], "local://aes"],
    ] as const) {
      const kms = openLocalKms({ directory, raw: raw.map(keyUri) });
      expect(await opened(wrappedKey("AESWrap", aes?.bytes ?? Buffer.alloc(0)), kms)).toContain(code);
      await kms.close();
    }
    const kms = openRsaKms({ directory, raw: [keyUri("local-rsa://other")] });
    expect(await opened(wrappedKey("RSA-OAEP-SHA256", oaep?.bytes ?? Buffer.alloc(0)), kms)).toContain(
      "KMS_CANNOT_OPEN",
    );
    await kms.close();
  });
  it("a driver leaves the other's alone", async () => {
    expect(await opened(wrappedKey("RSA", Buffer.alloc(256)), local)).toBe("not mine");
    expect(await opened(wrappedKey("AES", Buffer.alloc(48)), rsa)).toBe("not mine");
    expect(await opened({ scheme: "local-rsa", bytes: Buffer.alloc(256) }, rsa)).toBe("not mine");
  });
});

describe("key files", () => {
  const uri = (name: string) => `local-rsa://${name}` as KeyUri;
  it("a private key opens and does not wrap", async () => {
    await rsa.check(uri("rsa"), "unwrap", never);
    await rsa.check(uri("other"), "unwrap", never);
    await expect(rsa.check(uri("rsa"), "wrap", never)).rejects.toMatchObject({ code: "KMS_KEY_UNUSABLE" });
    await expect(rsa.wrap(uri("rsa"), new DataKey(dataKey), new Map(), never)).rejects.toMatchObject({
      code: "KMS_KEY_UNUSABLE",
    });
  });
  it("a short AES key opens and does not wrap", async () => {
    await local.check("local://short" as KeyUri, "unwrap", never);
    await expect(local.check("local://short" as KeyUri, "wrap", never)).rejects.toMatchObject({ code: "KEY_FILE" });
    await expect(local.wrap("local://short" as KeyUri, new DataKey(dataKey), new Map(), never)).rejects.toMatchObject({
      code: "KEY_FILE",
    });
    const ours = { scheme: "local", uri: "local://short" as KeyUri, bytes: Buffer.alloc(69, 1) } as const;
    await expect(local.unwrap(ours, new Map(), never)).rejects.toMatchObject({ code: "KEY_FILE" });
  });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" });
  const small = generateKeyPairSync("rsa", { modulusLength: 512 }).privateKey.export({ type: "pkcs8", format: "pem" });
  const sealed = privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" });
  it.each([
    ["missing", undefined, 0o600],
    ["open to others", jce.rsa_private_key_pem, 0o644],
    ["empty", "", 0o600],
    ["a public key", publicKey.export({ type: "spki", format: "pem" }), 0o600],
    ["cut", jce.rsa_private_key_pem.slice(0, 900), 0o600],
    ["encrypted", sealed, 0o600],
    ["of another kind", ec, 0o600],
    ["too small a key", small, 0o600],
    ["endless", jce.rsa_private_key_pem + "x".repeat(100_000), 0o600],
  ])("one that is %s is refused, without showing it", async (_, text, mode) => {
    if (text !== undefined) await write("bad.pem", String(text), mode);
    if (text !== undefined) await chmod(join(directory, "bad.pem"), mode);
    const kms = openRsaKms({ directory, raw: [uri("bad")] });
    await expect(kms.check(uri("bad"), "unwrap", never)).rejects.toMatchObject({
      code: "KEY_FILE",
      message: expect.not.stringMatching(/MII|BEGIN|asn1|DECODER/),
    });
    await expect(kms.unwrap(wrappedKey("RSA", Buffer.alloc(256)), new Map(), never)).rejects.toMatchObject({
      code: "KEY_FILE",
    });
    await kms.close();
    await rm(join(directory, "bad.pem"), { force: true });
  });
  it("a link is not followed", async () => {
    await symlink(join(directory, "rsa.pem"), join(directory, "link.pem"));
    const kms = openRsaKms({ directory });
    await expect(kms.check(uri("link"), "unwrap", never)).rejects.toMatchObject({ code: "KEY_FILE" });
    await rm(join(directory, "link.pem"));
    await kms.check(uri("rsa"), "unwrap", never);
    await kms.close();
  });
});

/** RFC 8017, B.2.1. */
function mgf1(seed: Uint8Array, sizeBytes: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(sizeBytes / 20) }, (_, turn) =>
    createHash("sha1")
      .update(seed)
      .update(Buffer.from([0, 0, 0, turn]))
      .digest(),
  );
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}
const xored = (a: Uint8Array, b: Uint8Array): Buffer => Buffer.from(a.map((byte, at) => byte ^ (b[at] ?? 0)));

describe("unpadding", () => {
  const k = 256;
  const rawBlock = (bytes: Uint8Array) => privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, bytes);
  const SIZES = [16, 24, 32];
  const pkcs1 = (message: Uint8Array, filler = 7) =>
    Buffer.concat([Buffer.from([0, 2]), Buffer.alloc(k - 3 - message.length, filler), Buffer.from([0]), message]);

  it("OAEP by the library opens, of every length and both hashes; another mask does not", () => {
    for (const hash of ["sha1", "sha256"] as const) {
      const longest = k - 2 - 2 * (hash === "sha1" ? 20 : 32);
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: longest }), (message) => {
          const bytes = publicEncrypt(
            { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash },
            message,
          );
          expect(fromOaep(rawBlock(bytes), hash, hash)?.equals(message)).toBe(true);
          expect(fromOaep(rawBlock(bytes), hash, hash === "sha1" ? "sha256" : "sha1")).toBeUndefined();
        }),
        { numRuns: 25 },
      );
    }
  });
  it("OAEP of random blocks, and of blocks too short for it, does not open", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        (block) => fromOaep(Buffer.from(block), "sha1", "sha1") === undefined,
      ),
    );
  });
  it("one wrong byte of OAEP's frame is enough", () => {
    const label = createHash("sha1").digest();
    const framed = (body: Uint8Array, first = 0) => {
      const seed = Buffer.alloc(20, 3);
      const hidden = xored(body, mgf1(seed, body.length));
      return Buffer.concat([Buffer.from([first]), xored(seed, mgf1(hidden, 20)), hidden]);
    };
    const body = Buffer.concat([label, Buffer.alloc(k - 21 - 20 - 1 - 32), Buffer.from([1]), dataKey]);
    expect(fromOaep(framed(body), "sha1", "sha1")?.equals(dataKey)).toBe(true);
    for (const first of [1, 2, 0x80, 0xff]) expect(fromOaep(framed(body, first), "sha1", "sha1")).toBeUndefined();
    for (let at = 0; at < body.length - 32; at++) {
      // In the padding a 01 would only end it earlier.
      const changed = Buffer.from(body);
      changed[at] = (changed[at] ?? 0) ^ 2;
      expect(fromOaep(framed(changed), "sha1", "sha1"), `byte ${at}`).toBeUndefined();
    }
    const endless = Buffer.concat([label, Buffer.alloc(body.length - 20)]);
    expect(fromOaep(framed(endless), "sha1", "sha1")).toBeUndefined();
  });
  it("PKCS #1 opens for the three sizes of data keys, and for no other", () => {
    for (let size = 0; size <= k - 11; size++) {
      // No zero in the message: one would be the end of a longer padding for whoever reads more loosely.
      const found = fromPkcs1(pkcs1(Buffer.alloc(size, 9)), SIZES);
      expect(found?.length).toBe(SIZES.includes(size) ? size : undefined);
    }
    const bytes = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, dataKey);
    expect(fromPkcs1(rawBlock(bytes), SIZES)?.equals(dataKey)).toBe(true);
  });
  it("one wrong byte of PKCS #1's frame is enough", () => {
    const block = pkcs1(dataKey);
    for (let at = 0; at < k - 32; at++) {
      const changed = Buffer.from(block);
      changed[at] = at < 2 || at === k - 33 ? 0xff : 0;
      expect(fromPkcs1(changed, SIZES), `byte ${at}`).toBeUndefined();
    }
  });
  it("a block without padding opens only where nothing else could be meant", () => {
    const bare = (key: Uint8Array) => Buffer.concat([Buffer.alloc(k - key.length), key]);
    expect(fromTextbook(bare(dataKey))?.equals(dataKey)).toBe(true);
    for (const key of [
      Buffer.alloc(0),
      Buffer.alloc(16, 1),
      Buffer.alloc(24, 1),
      Buffer.alloc(33, 1),
      Buffer.alloc(64, 1),
    ]) {
      expect(fromTextbook(bare(key))).toBeUndefined();
    }
    expect(fromTextbook(pkcs1(dataKey))).toBeUndefined();
  });
});
