/** Objects of clients without a KMS, page by page: opened under named keys only, rewrapped, compared, found again. */
import { constants, createCipheriv, generateKeyPairSync, publicEncrypt, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { KeyUri } from "../../src/core/key.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { openRsaKms } from "../../src/kms/local/rsa.ts";
import { copyPage } from "../../src/transfer/page.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import type { Rules, Shores } from "../../src/transfer/shores.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { collect, Harbour, headOf, inFlight, type KeyRing, makeKeyRing, NEW, OLD, OTHER, rulesOf } from "./harness.ts";
import { NEVER, WaywardKms } from "./wayward.ts";

const RSA = "local-rsa://app" as KeyUri;
const PLAINTEXT = Buffer.from("what only its writer and its reader should see");

let ring: KeyRing;
let pair: ReturnType<typeof generateKeyPairSync>;
beforeAll(async () => {
  ring = await makeKeyRing();
  pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await writeFile(join(ring.directory, "app.pem"), pair.privateKey.export({ type: "pkcs8", format: "pem" }), {
    mode: 0o600,
  });
});
afterAll(() => ring.cleanup());

let harbour: Harbour;
let aes: WaywardKms;
let rsa: WaywardKms;
beforeEach(() => {
  harbour = new Harbour(ring);
});

/** The shores as `compose` opens them: only named keys are tried. */
function shoresOf(allow: readonly KeyUri[]): Shores {
  const { directory } = ring;
  aes = new WaywardKms(openLocalKms({ directory, raw: allow.filter((uri) => uri.startsWith("local://")) }));
  rsa = new WaywardKms(openRsaKms({ directory, raw: allow.filter((uri) => uri.startsWith("local-rsa://")) }));
  return { ...harbour.shores(), sourceKms: [aes, rsa] };
}

const wrapByAes = async (dataKey: Uint8Array, key: KeyUri): Promise<Buffer> => {
  const file = await readFile(join(ring.directory, `${key.slice("local://".length)}.key`), "latin1");
  const cipher = createCipheriv("aes-256-gcm", Buffer.from(file, "base64"), Buffer.alloc(12, 1));
  cipher.setAAD(Buffer.from("AES/GCM/NoPadding"));
  return Buffer.concat([Buffer.alloc(12, 1), cipher.update(dataKey), cipher.final(), cipher.getAuthTag()]);
};
const wrapByRsa = async (dataKey: Uint8Array): Promise<Buffer> =>
  publicEncrypt(
    { key: pair.publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" },
    Buffer.concat([Buffer.from([dataKey.length]), dataKey, Buffer.from("AES/GCM/NoPadding")]),
  );

async function put(key: string, wrap: "AES/GCM" | "RSA-OAEP-SHA1", under: KeyUri = OLD): Promise<ListedObject> {
  const bytes = randomBytes(32);
  const wrapped = wrap === "AES/GCM" ? await wrapByAes(bytes, under) : await wrapByRsa(bytes);
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", bytes, iv);
  const body = Buffer.concat([cipher.update(PLAINTEXT), cipher.final(), cipher.getAuthTag()]);
  const metadata = new Map([
    ["x-amz-key-v2", wrapped.toString("base64")],
    ["x-amz-wrap-alg", wrap],
    ["x-amz-cek-alg", "AES/GCM/NoPadding"],
    ["x-amz-tag-len", "128"],
    ["x-amz-iv", iv.toString("base64")],
    ["x-amz-matdesc", '{"keyId":"tenant-1"}'],
    ["owner", "app"],
  ]);
  return harbour.raw(harbour.source, key, body, { metadata });
}

/** As the Ruby client of the first generation: AES/ECB around the key, AES-CBC around the rest, nothing named. */
async function putV1(key: string): Promise<ListedObject> {
  const bytes = randomBytes(32);
  const file = await readFile(join(ring.directory, "old.key"), "latin1");
  const wrap = createCipheriv("aes-256-ecb", Buffer.from(file, "base64"), null);
  const wrapped = Buffer.concat([wrap.update(bytes), wrap.final()]);
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-cbc", bytes, iv);
  const body = Buffer.concat([cipher.update(PLAINTEXT), cipher.final()]);
  const metadata = new Map([
    ["x-amz-key", wrapped.toString("base64")],
    ["x-amz-iv", iv.toString("base64")],
    ["x-amz-matdesc", "{}"],
    ["x-amz-unencrypted-content-length", String(PLAINTEXT.length)],
  ]);
  return harbour.raw(harbour.source, key, body, { metadata });
}

const run = (objects: readonly ListedObject[], shores: Shores, change: Partial<Rules>) =>
  copyPage(objects, {}, shores, rulesOf({ fallback: "refuse", verify: "full", ...change }), inFlight());

const read = async (key: string) => {
  const { head, body } = await harbour.destination.inner.open(key, { signal: NEVER });
  return collect(await openPlaintext(head, body, harbour.shores().envelopes, [ring.kms], NEVER));
};

describe("objects under bare keys", () => {
  it("are rewrapped to the job's key, verified, and found again; nothing of the key stays", async () => {
    const allow = [OLD, RSA];
    const shores = shoresOf(allow);
    const listed = [await put("a", "AES/GCM"), await put("b", "RSA-OAEP-SHA1"), await putV1("c")];
    const receipts = await run(listed, shores, { allow });
    expect(receipts.map(({ outcome, verified, code }) => [outcome, verified, code])).toEqual([
      ["rewrapped", true, undefined],
      ["rewrapped", true, undefined],
      ["rewrapped", true, undefined],
    ]);
    expect(receipts[0]?.notes.join()).toContain("materials description");
    for (const key of ["a", "b", "c"]) {
      expect((await read(key)).equals(PLAINTEXT)).toBe(true);
      const head = await headOf(harbour.destination, key);
      expect(head?.attributes.metadata.get("owner")).toBe(key === "c" ? undefined : "app");
      expect(head?.attributes.metadata.has("x-amz-key")).toBe(false);
      expect(head?.attributes.metadata.get("x-amz-wrap-alg")).toBe("local-kms+context");
    }
    const again = await run(listed, shores, { allow });
    expect(again.map(({ outcome, verified }) => [outcome, verified])).toEqual([
      ["already", true],
      ["already", true],
      ["already", true],
    ]);
    for (const one of listed) {
      const found = await verifyObject(one, shores, rulesOf({ allow }), { full: true, signal: NEVER });
      expect([found.verdict, found.verified, found.opened]).toEqual(["same", true, true]);
    }
    expect(aes.leaked() + rsa.leaked() + harbour.leaked()).toBe(0);
  });

  it("are not opened unless a key is named for them, nor where pairs are required that nothing proves", async () => {
    const objects = [await put("a", "AES/GCM"), await put("b", "RSA-OAEP-SHA1")];
    for (const [allow, requireContext, code] of [
      [[], new Map(), "KMS_KEY_NOT_ALLOWED"],
      [["aws-kms://arn:aws:kms:eu-west-1:111122223333:key/k" as KeyUri], new Map(), "KMS_KEY_NOT_ALLOWED"],
      [[OLD, RSA], new Map([["keyId", "tenant-1"]]), "KEY_CONTEXT"],
    ] as const) {
      const receipts = await run(objects, shoresOf(allow), { allow, requireContext });
      expect(receipts.map(({ outcome, code: found }) => [outcome, found])).toEqual([
        ["refused", code],
        ["refused", code],
      ]);
    }
    expect(harbour.destination.calls.filter((call) => call.startsWith("put"))).toEqual([]);
  });

  it("under a key that is not named do not open, though it is there", async () => {
    const [receipt] = await run([await put("a", "AES/GCM", OTHER)], shoresOf([OLD]), { allow: [OLD] });
    expect([receipt?.outcome, receipt?.code]).toEqual(["failed", "KMS_CANNOT_OPEN"]);
  });

  it("that stand at the destination are nobody's copy, whatever their stamp says", async () => {
    const shores = shoresOf([OLD]);
    const listed = await put("a", "AES/GCM");
    await run([listed], shores, { allow: [OLD] });
    const ours = await headOf(harbour.destination, "a");
    const bare = await headOf(harbour.source, "a");
    const { body } = await harbour.source.inner.open("a", { signal: NEVER });
    const stamps = [...(ours?.attributes.metadata ?? [])].filter(([name]) => name.startsWith("sealift-"));
    const metadata = new Map([
      ...(bare?.attributes.metadata ?? []),
      ...stamps.filter(([name]) => !/key|aad/.test(name)),
    ]);
    await harbour.raw(harbour.destination, "a", await collect(body), { metadata });
    const [receipt] = await run([listed], shores, { allow: [OLD] });
    expect([receipt?.outcome, receipt?.code]).toEqual(["conflict", "CONFLICT"]);
  });

  it("under the job's own key file are rewrapped too: the envelope does not name it", async () => {
    const [receipt] = await run([await put("a", "AES/GCM", NEW)], shoresOf([NEW]), { allow: [NEW] });
    expect(receipt?.outcome).toBe("rewrapped");
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });
});
