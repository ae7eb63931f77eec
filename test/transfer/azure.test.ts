/** Azure's envelopes on their way: from a client's own key to a key service, from there to another, and what a second copy finds. */
import { createCipheriv } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type KeyUri, keyUri } from "../../src/core/key.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { azure } from "../../src/envelope/azure/azure.ts";
import { plain } from "../../src/envelope/plain.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { tink } from "../../src/envelope/tink/tink.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import type { Rules, Shores } from "../../src/transfer/shores.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { documentOf, sealBlocks, sealRegions, withProtocol } from "../envelope/azuresealer.ts";
import { bytesOf, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, NEW, OLD, rulesOf } from "./harness.ts";
import { NEVER } from "./wayward.ts";

let ring: KeyRing;
let cloud: PocketGcpKms;
let gcp: Kms;
let gcpKey: KeyUri;
let kek: Buffer;

beforeAll(async () => {
  ring = await makeKeyRing();
  kek = Buffer.from(await readFile(join(ring.directory, "old.key"), "utf8"), "base64");
  cloud = await startPocketGcpKms();
  gcpKey = keyUri(`gcp-kms://${cloud.createKey("k")}`);
  gcp = openGcpKms({ endpoint: cloud.url, anonymous: true });
});
afterAll(async () => {
  await gcp.close();
  await Promise.all([cloud.close(), ring.cleanup()]);
});

let harbour: Harbour;
beforeEach(() => {
  harbour = new Harbour(ring);
});

const KEY = Buffer.alloc(32, 7);
const TEXT = Buffer.from("the quick brown fox ".repeat(20));
const VERIFIED = { verify: true, signal: NEVER };
const FULL = { full: true, signal: NEVER };

function wrapped(what: Uint8Array): Buffer {
  const cipher = createCipheriv("id-aes256-wrap", kek, Buffer.alloc(8, 0xa6));
  return Buffer.concat([cipher.update(what), cipher.final()]);
}

const OBJECTS = {
  "1.0": () => ({
    document: documentOf({ protocol: "1.0", encryptedKey: wrapped(KEY) }),
    body: sealBlocks(TEXT, KEY, Buffer.alloc(16, 2)),
  }),
  "2.0": () => ({
    document: documentOf({ protocol: "2.0", encryptedKey: wrapped(withProtocol("2.0", KEY)) }),
    body: sealRegions(TEXT, KEY, 4_194_304, "python"),
  }),
  "2.1": () => ({
    document: documentOf({ protocol: "2.1", regionBytes: 100, encryptedKey: wrapped(withProtocol("2.1", KEY)) }),
    body: sealRegions(TEXT, KEY, 100, ".net"),
  }),
};

async function stored({ document, body }: { document: string; body: Buffer }): Promise<ListedObject> {
  const metadata = new Map([
    ["encryptiondata", document],
    ["matdesc", "theirs"],
  ]);
  return harbour.raw(harbour.source, "a", body, { metadata });
}

const toGoogle = (change: Partial<Rules> = {}): { shores: Shores; rules: Rules } => ({
  shores: { ...harbour.shores(), envelopes: [s3ecV2, tink, azure, plain], destinationKms: [gcp] },
  rules: rulesOf({ wrapWith: gcpKey, allow: [OLD], ...change }),
});

const documentAt = async (store = harbour.destination) =>
  JSON.parse((await headOf(store, "a"))?.attributes.metadata.get("encryptiondata") ?? "{}");

describe.each(Object.entries(OBJECTS))("protocol %s", (_, make) => {
  it("goes to a key service, its body untouched, and on to another, and back to nobody's surprise", async () => {
    const listed = await stored(make());
    const { shores, rules } = toGoogle();
    const receipt = await copyObject(listed, shores, rules, VERIFIED);
    expect(receipt).toMatchObject({ outcome: "rewrapped", verified: true });
    expect((await bytesOf(harbour.destination, "a")).equals(make().body)).toBe(true);
    const before = JSON.parse(make().document);
    const after = await documentAt();
    expect(after).toEqual({
      ...before,
      WrappedContentKey: { KeyId: gcpKey, Algorithm: "gcp-kms", EncryptedKey: after.WrappedContentKey.EncryptedKey },
    });
    const head = await headOf(harbour.destination, "a");
    expect(head?.attributes.metadata.get("matdesc")).toBe("theirs");
    expect(await copyObject(listed, shores, rules, VERIFIED)).toMatchObject({ outcome: "already", verified: true });
    expect(await verifyObject(listed, shores, rules, FULL)).toMatchObject({ verdict: "same", opened: true });

    const home = new Harbour(ring).destination;
    const onward: Shores = { ...shores, source: harbour.destination, destination: home, sourceKms: [gcp] };
    const there = { ...onward, destinationKms: [ring.kms] };
    const local = rulesOf({ wrapWith: NEW, allow: [gcpKey] });
    if (!head) throw new Error("it did not arrive");
    expect(await copyObject(head, there, local, VERIFIED)).toMatchObject({ outcome: "rewrapped", verified: true });
    expect((await documentAt(home)).WrappedContentKey).toMatchObject({ KeyId: NEW, Algorithm: "local" });
    expect(await verifyObject(head, there, local, FULL)).toMatchObject({ verdict: "same", opened: true });
  });

  it("under a bare key is opened only where the job names the key, and never where a context is demanded", async () => {
    const listed = await stored(make());
    for (const [change, code] of [
      [{ allow: [] }, "KMS_KEY_NOT_ALLOWED"],
      [{ requireContext: new Map([["KeyId", "kek"]]) }, "KEY_CONTEXT"],
      [{ envelope: "tink" }, "SEAL_UNSUPPORTED"],
      [{ envelope: "s3ec-v2" }, "SEAL_UNSUPPORTED"],
    ] as const) {
      const { shores, rules } = toGoogle(change);
      expect((await errorOf(copyObject(listed, shores, rules, VERIFIED))).code).toBe(code);
    }
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });
});

it("a wrapped key of another protocol is not wrapped again", async () => {
  const body = sealRegions(TEXT, KEY, 4_194_304, "java");
  const document = documentOf({ protocol: "2.0", encryptedKey: wrapped(withProtocol("2.1", KEY)) });
  const { shores, rules } = toGoogle();
  expect((await errorOf(copyObject(await stored({ document, body }), shores, rules, VERIFIED))).code).toBe(
    "SEAL_FORGED",
  );
});
