/** inspect, cat and init on a directory with local keys: the whole program but the clouds. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createLocalKey } from "../../src/compose.ts";
import { DataKey, type KeyUri } from "../../src/core/key.ts";
import type { ByteStream } from "../../src/core/object.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { openFileStore } from "../../src/store/file.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import { objectOf, typeOf } from "../envelope/tinksealer.ts";
import { perform } from "./stage.ts";

const { signal } = new AbortController();

let home = "";
let key: KeyUri;
let store: ObjectStore;
const place = (name: string) => join(home, name);

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "sealift-cli-"));
  key = await createLocalKey(place("keys"), "first");
  store = await openFileStore({ root: place("bucket"), fsync: false });
  await put("plain.txt", Buffer.from("plain\n"), new Map([["note", "a\u001bb"]]));
  await put("empty", Buffer.alloc(0), new Map());
});

afterAll(async () => {
  await store.close();
  await rm(home, { recursive: true });
});

async function* once(bytes: Uint8Array): ByteStream {
  yield bytes;
}

async function put(name: string, bytes: Uint8Array, metadata: ReadonlyMap<string, string>): Promise<void> {
  await store.put(name, once(bytes), { sizeBytes: bytes.length, attributes: { metadata }, condition: "any", signal });
}

interface RubyVector {
  readonly name: string;
  readonly metadata: object;
  readonly body_hex: string;
  readonly plaintext_hex: string;
  readonly wrapping_key: { readonly base64?: string };
  readonly instruction_file?: { readonly text: string };
}

const vectors = (file: string) =>
  JSON.parse(readFileSync(new URL(`../vectors/s3ec/${file}.json`, import.meta.url), "utf8"));
const RSA: string = vectors("11-jce-key-wraps").rsa_private_key_pem;

function rubyVector(name: string): RubyVector {
  const all: RubyVector[] = vectors("10-official-ruby-writer-output").cases;
  const vector = all.find((one) => one.name === name);
  if (!vector) throw new Error("no such vector");
  return vector;
}

/** Seals and puts; `forge` may change the sealed bytes on the way. */
async function putSealed(name: string, plaintext: Uint8Array, forge: (sealed: Buffer) => void = () => undefined) {
  const context = new Map([["tenant", "acme"]]);
  const { seal, dataKey } = s3ecV3.fresh(context, key);
  const kms = openLocalKms({ directory: place("keys") });
  const wrapped = await kms.wrap(key, dataKey, seal.context, signal);
  const chunks: Uint8Array[] = [];
  for await (const chunk of s3ecV3.seal(once(plaintext), seal, dataKey)) chunks.push(Uint8Array.from(chunk));
  const sealed = Buffer.concat(chunks);
  forge(sealed);
  await put(name, sealed, s3ecV3.write(withWrapped(seal, wrapped)).metadata);
  dataKey.wipe();
  await kms.close();
  return { wrapped };
}

const object = (verb: string, name: string, ...more: string[]) =>
  perform([verb, `file://${place("bucket")}`, "--object", name, ...more]);
const cat = (name: string, ...more: string[]) => object("cat", name, "--key-directory", place("keys"), ...more);

describe("inspect", () => {
  test("says how an object is sealed, and never shows the wrapped key", async () => {
    const { wrapped } = await putSealed("sealed.bin", randomBytes(1000));
    const { code, stdout } = await object("inspect", "sealed.bin", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      object: "sealed.bin",
      sizeBytes: 1016,
      plainBytes: 1000,
      format: "s3ec-v3",
      wrap: "local-kms+context",
      key,
      wrappedKeyBytes: wrapped.bytes.length,
      context: { tenant: "acme" },
    });
    const forPeople = await object("inspect", "sealed.bin");
    expect(forPeople.stdout).toMatch(/^format +s3ec-v3$/m);
    expect(forPeople.stdout).toMatch(/^context +tenant = acme$/m);
    for (const text of [stdout, forPeople.stdout]) {
      expect(text).not.toContain(Buffer.from(wrapped.bytes).toString("base64"));
    }
  });

  test("plain objects are plain, with or without bytes", async () => {
    for (const name of ["plain.txt", "empty"]) {
      expect(JSON.parse((await object("inspect", name, "--json")).stdout)).toMatchObject({
        object: name,
        format: "plain",
      });
    }
  });

  test("needs no key, and so no key directory", async () => {
    await putSealed("sealed.bin", Buffer.from("x"));
    expect((await object("inspect", "sealed.bin")).code).toBe(0);
  });

  test("broken envelopes are refused under their name", async () => {
    await put("broken", Buffer.from("x"), new Map([["x-amz-key-v2", "!"]]));
    const { code, stderr, stdout } = await object("inspect", "broken");
    expect([code, stdout]).toEqual([6, ""]);
    expect(stderr).toMatch(/^sealift: SEAL_(MALFORMED|UNSUPPORTED) "broken": /);
  });
});

describe("an object of Tink's", () => {
  const flags = (...more: string[]) => ["--tink-template", "AES256_CTR_HMAC_SHA256", "--tink-key", key, ...more];
  const plaintext = Buffer.from("as Tink's own clients write it");

  beforeAll(async () => {
    const kms = openLocalKms({ directory: place("keys") });
    const dek = new DataKey(typeOf("AES256_CTR_HMAC_SHA256").message);
    const { bytes } = await kms.wrap(key, dek, new Map(), signal, "none");
    await put("tink", objectOf("AES256_CTR_HMAC_SHA256", bytes, plaintext), new Map());
    await kms.close();
  });

  test("is inspected and printed where flags say how it is sealed, and plain bytes without them", async () => {
    const inspected = JSON.parse((await object("inspect", "tink", "--json", ...flags())).stdout);
    expect(inspected).toMatchObject({ format: "tink", wrap: "local", key, plainBytes: plaintext.length });
    expect((await cat("tink", ...flags())).stdout).toBe(plaintext.toString());
    expect(JSON.parse((await object("inspect", "tink", "--json")).stdout)).toMatchObject({ format: "plain" });
    const prefixed = await object("inspect", "tink", "--json", ...flags("--tink-prefix", "TINK"));
    expect(JSON.parse(prefixed.stdout)).toMatchObject({ format: "plain" });
  });

  test("half of the flags, or flags that name nothing, are refused", async () => {
    for (const wrong of [
      ["--tink-template", "AES256_GCM"],
      ["--tink-key", key],
      ["--tink-template", "AES", "--tink-key", key],
      ["--tink-template", "AES256_GCM", "--tink-key", "gcp-kms://k"],
    ]) {
      const { code, stderr } = await object("inspect", "tink", ...wrong);
      expect([code, stderr]).toEqual([2, expect.stringContaining("--tink-")]);
    }
  });
});

describe("cat", () => {
  test("prints the plaintext, byte for byte, and nothing else", async () => {
    const plaintext = randomBytes(200_000);
    await putSealed("sealed.bin", plaintext);
    for (const more of [[], ["--unverified"]]) {
      const { code, stdoutBytes, stderr } = await cat("sealed.bin", ...more);
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdoutBytes.equals(plaintext)).toBe(true);
    }
  });

  test("prints plain objects as they are, without any key", async () => {
    expect(await object("cat", "plain.txt")).toMatchObject({ code: 0, stdout: "plain\n" });
    expect(await object("cat", "empty")).toMatchObject({ code: 0, stdout: "" });
  });

  test.each([
    "ruby-v1-aes256-cbc-100B",
    "ruby-v1-rsa2048-pkcs1-40B",
    "ruby-v2-aesgcmwrap-gcm-100B",
    "ruby-v2-rsa-oaep-sha1-40B",
    "ruby-v1-aes256-instruction-file-40B",
    "ruby-v2-aesgcmwrap-instruction-file-40B",
  ])("opens what the official Ruby client sealed under a bare key: %s", async (name) => {
    const vector = rubyVector(name);
    await put(name, Buffer.from(vector.body_hex, "hex"), new Map(Object.entries(vector.metadata)));
    const file = `${name}.instruction`;
    if (vector.instruction_file) await put(file, Buffer.from(vector.instruction_file.text), new Map());
    const keyFile = vector.wrapping_key.base64 === undefined ? "app.pem" : "app.key";
    await writeFile(join(place("keys"), keyFile), vector.wrapping_key.base64 ?? RSA, { mode: 0o600 });
    const { code, stdoutBytes, stderr } = await cat(name);
    expect([code, stderr, stdoutBytes.toString("hex")]).toEqual([0, "", vector.plaintext_hex]);
    const { stdout } = await object("inspect", name);
    expect(stdout).toMatch(/^key +local(-rsa)?:.*a bare key/m);
    expect(/^envelopeIn +(.*)$/m.exec(stdout)?.[1]).toBe(vector.instruction_file && file);
    if (vector.instruction_file) expect(await object("inspect", file)).toMatchObject({ code: 6, stdout: "" });
    await rm(join(place("keys"), keyFile));
    expect(await cat(name)).toMatchObject({ code: 6, stdout: "" });
  });

  // Below and above what is held in memory: one read, and two.
  test.each([
    ["small", 100_000],
    ["large", 33 * 1024 * 1024],
  ])("of a %s forged object prints nothing and ends with 7", async (name, sizeBytes) => {
    const plaintext = Buffer.alloc(sizeBytes, "forged ");
    await putSealed(name, plaintext);
    expect((await cat(name)).stdoutBytes.equals(plaintext)).toBe(true);
    await putSealed(name, plaintext, (sealed) => {
      sealed[sealed.length - 20] = (sealed.at(-20) ?? 0) ^ 1;
    });
    const verified = await cat(name);
    expect([verified.code, verified.stdoutBytes.length]).toEqual([7, 0]);
    expect(verified.stderr).toMatch(new RegExp(`^sealift: SEAL_FORGED "${name}": `));
    const unverified = await cat(name, "--unverified");
    expect(unverified.code).toBe(7);
    expect(unverified.stdoutBytes.length).toBeGreaterThan(0);
  });

  test("says which object is missing, and which flag", async () => {
    expect(await cat("none")).toMatchObject({
      code: 6,
      stderr: expect.stringMatching(/STORE_NOT_FOUND "none"/) as string,
    });
    await putSealed("sealed.bin", Buffer.from("x"));
    const { code, stderr } = await object("cat", "sealed.bin");
    expect([code, stderr]).toEqual([2, expect.stringMatching(/--key-directory/)]);
  });

  test("a key file that others can read is refused", async () => {
    await putSealed("sealed.bin", Buffer.from("x"));
    await chmod(join(place("keys"), "first.key"), 0o644);
    const { code, stderr } = await cat("sealed.bin");
    await chmod(join(place("keys"), "first.key"), 0o600);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/KEY_FILE/)]);
  });
});

describe("the way to an object", () => {
  const job = async () => {
    const path = place("job.yaml");
    const lines = [
      "apiVersion: sealift/v1",
      "kind: Migration",
      `source: { url: "file://${place("bucket")}" }`,
      'destination: { url: "s3://elsewhere" }',
      `keys: { wrapWith: "${key}", localDirectory: "${place("keys")}" }`,
    ];
    await writeFile(path, lines.join("\n"));
    return path;
  };

  test("can be taken from a job file", async () => {
    await putSealed("deep/er/sealed.bin", Buffer.from("from a job"));
    const url = `file://${place("bucket")}`;
    const path = await job();
    expect(await perform(["cat", `${url}/deep/er/sealed.bin`, "--job", path])).toMatchObject({ stdout: "from a job" });
    expect(await perform(["cat", url, "--object", "plain.txt", "--job", path])).toMatchObject({ stdout: "plain\n" });
    const elsewhere = await perform(["cat", "s3://third/x", "--job", path]);
    expect([elsewhere.code, elsewhere.stderr]).toEqual([2, expect.stringMatching(/neither in the source nor/)]);
    const both = await perform(["cat", `${url}/plain.txt`, "--job", path, "--region", "r"]);
    expect([both.code, both.stderr]).toEqual([2, expect.stringMatching(/--region and --job/)]);
  });

  test.each<[string[], RegExp]>([
    [["inspect"], /name the object/],
    [["inspect", "file:///tmp"], /names no object/],
    [["inspect", "s3://bucket"], /names no object/],
    [["inspect", "http://bucket/x"], /begins with s3:/],
    [["inspect", "gs://bucket/x", "--region", "r"], /region: means nothing for gs/],
    [["inspect", "s3://bucket/x", "--endpoint", "host"], /flags: endpoint: must be scheme/],
    [["inspect", "s3://bucket/x", "--customer-key", "c2VjcmV0"], /customerKeys\[0\]: must be a reference/],
    [["cat", "s3://bucket/x", "--kms-transport", "carrier-pigeon"], /kms.transport: /],
    [["cat", "s3://bucket/x", "--job", "/does/not/exist"], /\/does\/not\/exist cannot be read/],
  ])("%j is refused before anything is asked of anyone", async (args, message) => {
    const { code, stderr } = await perform(args);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(stderr).not.toContain("c2VjcmV0");
  });
});

describe("init", () => {
  test("writes the example once, and prints it without a file", async () => {
    const example = await readFile(new URL("../../config/migration.example.yaml", import.meta.url), "utf8");
    expect((await perform(["init"])).stdout).toBe(example);
    const path = place("new.yaml");
    expect((await perform(["init", path])).code).toBe(0);
    expect(await readFile(path, "utf8")).toBe(example);
    await writeFile(path, "mine");
    expect((await perform(["init", path])).code).toBe(2);
    expect(await readFile(path, "utf8")).toBe("mine");
  });

  test("creates a local key in a directory of its own, once", async () => {
    const directory = place("new-keys");
    const make = () => perform(["init", "--key", "local://fresh", "--directory", directory, "--json"]);
    expect(await make()).toMatchObject({ code: 0, stdout: `${JSON.stringify({ key: "local://fresh", directory })}\n` });
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    const before = await readFile(join(directory, "fresh.key"));
    expect(await make()).toMatchObject({ code: 2, stderr: expect.stringMatching(/KEY_FILE/) as string });
    expect((await readFile(join(directory, "fresh.key"))).equals(before)).toBe(true);
  });

  test.each<[string[], RegExp]>([
    [["--key", "aws-kms://alias/x", "--directory", "d"], /only local:\/\/ keys/],
    [["--key", "local://a/b", "--directory", "d"], /not a key URI/],
    [["--key", "local://a"], /--directory is required/],
    [["job.yaml", "--key", "local://a", "--directory", "d"], /not both/],
    [["--directory", "d"], /belongs to --key/],
  ])("init %j is refused", async (args, message) => {
    const { code, stderr } = await perform(["init", ...args]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  });
});

describe("schema", () => {
  test("prints both, and nothing else", async () => {
    expect(JSON.parse((await perform(["schema"])).stdout)).toHaveProperty("properties.keys");
    expect((await perform(["schema", "errors"])).stdout).toMatch(/^\| code \|[^]*\| `USAGE` \|/);
    expect((await perform(["schema", "cats"])).code).toBe(2);
  });
});
