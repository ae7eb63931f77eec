/**
 * Row 3. Whoever can write to the source learns from our answers how a changed object fails (padding and Bleichenbacher oracles).
 * There are two answers and no third: the wrapped key does not open (said by the KMS, whose wraps are authenticated), and key and
 * body do not belong together. Within each of them every way of failing is the same to the letter.
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DataKey } from "../../src/core/key.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { type Seal, withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { copyPage } from "../../src/transfer/page.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { perform } from "../cli/stage.ts";
import {
  bytesOf,
  collect,
  errorOf,
  Harbour,
  headOf,
  inFlight,
  type KeyRing,
  makeKeyRing,
  OLD,
  once,
  rulesOf,
} from "../transfer/harness.ts";
import { NEVER } from "../transfer/wayward.ts";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openFileStore } from "../../src/store/file.ts";
import { flipped } from "./proxy.ts";

let ring: KeyRing;
let harbour: Harbour;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
});

const KEY = randomBytes(32);
const IV = randomBytes(16);
const cbcSeal: Seal = {
  format: "s3ec-v2",
  content: "AES/CBC/PKCS5Padding",
  wrap: "local-kms+context",
  context: new Map(),
  fixed: new Map([["x-amz-iv", IV.toString("base64")]]),
  owns: [],
  notes: [],
};
/** Blocks as they are, without padding of ours. */
const cbc = (blocks: Buffer): Buffer => {
  const cipher = createCipheriv("aes-256-cbc", KEY, IV).setAutoPadding(false);
  return Buffer.concat([cipher.update(blocks), cipher.final()]);
};

/** What opening a body gives before it ends, and how it ends. */
async function opened(body: Buffer, seal = cbcSeal, envelope = s3ecV2): Promise<{ bytes: number; end: string }> {
  let bytes = 0;
  using key = new DataKey(KEY);
  try {
    for await (const chunk of envelope.open(once(body), seal, key)) bytes += chunk.length;
    return { bytes, end: "opened" };
  } catch (error) {
    const { name, message, cause } = error as Error;
    return { bytes, end: JSON.stringify([name, message, cause ?? null, (error as { code?: string }).code]) };
  }
}

describe("padding", () => {
  it("that is wrong ends the same for every last byte and every place at which it breaks", async () => {
    const ends = new Map<string, number>();
    const count = (end: string) => ends.set(end, (ends.get(end) ?? 0) + 1);
    for (let last = 0; last < 256; last++) {
      const block = Buffer.alloc(32, 0xee);
      block[31] = last;
      if (last === 1) continue; // one byte of padding that says so: right
      const { bytes, end } = await opened(cbc(block));
      count(`${bytes} ${end}`);
    }
    for (let length = 2; length <= 16; length++) {
      for (let wrong = 1; wrong < length; wrong++) {
        const block = Buffer.alloc(32, length);
        block[31 - wrong] = length ^ 0x80;
        const { bytes, end } = await opened(cbc(block));
        count(`${bytes} ${end}`);
      }
    }
    expect([...ends.keys()]).toEqual([expect.stringMatching(/^16 .*SEAL_FORGED/)]);
    expect([...ends.values()][0]).toBe(255 + (15 * 16) / 2);
  });

  it("that is right opens, whatever its length: the control", async () => {
    for (let length = 1; length <= 16; length++) {
      const block = Buffer.alloc(32, 0xee).fill(length, 32 - length);
      expect(await opened(cbc(block))).toEqual({ bytes: 32 - length, end: "opened" });
    }
  });

  it("and a cut body, an empty one, a wrong tag, a wrong key length and a broken commitment are one error", async () => {
    const ends = new Set<string>();
    const text = Buffer.alloc(48, 1);
    ends.add((await opened(cbc(Buffer.alloc(32, 0xee)))).end);
    ends.add((await opened(cbc(Buffer.alloc(32, 0xee)).subarray(0, 31))).end);
    ends.add((await opened(Buffer.alloc(0))).end);
    for (const envelope of [s3ecV2, s3ecV3]) {
      const { seal, dataKey } = envelope.fresh(new Map(), OLD);
      const body = await collect(envelope.seal(once(text), seal, dataKey));
      const under = async (bytes: Buffer, key: DataKey) => {
        const error = await errorOf(collect(envelope.open(once(bytes), seal, key)));
        ends.add(JSON.stringify([error.name, error.message, error.cause ?? null, error.code]));
      };
      for (const at of [0, body.length - 17, body.length - 16, body.length - 1])
        await under(flipped(body, at), dataKey);
      await under(body.subarray(0, body.length - 1), dataKey);
      await under(body.subarray(0, 10), dataKey);
      await under(body, new DataKey(randomBytes(32)));
      await under(body, new DataKey(randomBytes(31)));
      dataKey.wipe();
    }
    expect([...ends]).toHaveLength(1);
  });
});

describe("receipts, and the store at the far side", () => {
  /** The object with one metadata value changed, byte for byte. */
  async function changed(key: string, name: string, change: (bytes: Buffer) => Buffer): Promise<ListedObject> {
    const listed = await harbour.sealed(key, Buffer.from("the same text"), s3ecV3);
    const metadata = new Map((await headOf(harbour.source, key))?.attributes.metadata);
    metadata.set(name, change(Buffer.from(metadata.get(name) ?? "", "base64")).toString("base64"));
    const put = await harbour.raw(harbour.source, key, await bytesOf(harbour.source, key), { metadata });
    expect(listed.key).toBe(key);
    return put;
  }

  /** What a page makes of them: everything that reaches the ledger, a log, or the destination. */
  async function observed(objects: readonly ListedObject[]): Promise<string[]> {
    const receipts = await copyPage(objects, {}, harbour.shores(), rulesOf({ verify: "full" }), inFlight());
    expect(harbour.destination.calls.filter((call) => call.startsWith("put"))).toEqual([]);
    return receipts.map(({ key: _key, ...rest }) => JSON.stringify(rest));
  }

  it("say the same of every wrapped key that does not open", async () => {
    const whole = (bytes: Buffer) => bytes;
    const wrapped = "x-amz-3";
    const objects = [
      await changed("a", wrapped, (bytes) => flipped(bytes, 0)),
      await changed("b", wrapped, (bytes) => flipped(bytes, 4)),
      await changed("c", wrapped, (bytes) => flipped(bytes, 15)),
      await changed("d", wrapped, (bytes) => flipped(bytes, bytes.length - 1)),
      await changed("e", wrapped, (bytes) => bytes.subarray(0, bytes.length - 1)),
      await changed("f", wrapped, (bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
      await changed("g", wrapped, () => randomBytes(77)),
      await changed("h", wrapped, () => Buffer.alloc(1)),
    ];
    expect(await changed("z", wrapped, whole)).toMatchObject({ key: "z" });
    expect(new Set(await observed(objects))).toEqual(new Set([expect.stringContaining("KMS_CANNOT_OPEN")]));
  });

  it("say the same of every key that opens and is not the body's", async () => {
    await harbour.sealed("other", Buffer.from("other"), s3ecV3);
    const other = Buffer.from(
      (await headOf(harbour.source, "other"))?.attributes.metadata.get("x-amz-3") ?? "",
      "base64",
    );
    const objects = [
      await changed("a", "x-amz-3", () => other),
      await changed("b", "x-amz-d", (bytes) => flipped(bytes, 0)),
      await changed("c", "x-amz-d", (bytes) => flipped(bytes, 27)),
      await changed("d", "x-amz-i", (bytes) => flipped(bytes, 13)),
    ];
    expect(new Set(await observed(objects))).toEqual(new Set([expect.stringContaining("SEAL_FORGED")]));
  });
});

describe("where bodies are opened", () => {
  it("verify says of a CBC body that its padding is wrong no more than that it does not open", async () => {
    const findings = new Set<string>();
    for (const [key, last] of Object.entries({ a: 0, b: 2, c: 17, d: 255 })) {
      const block = Buffer.alloc(32, 0xee);
      block[31] = last;
      using dataKey = new DataKey(KEY);
      const seal = withWrapped(cbcSeal, await ring.kms.wrap(OLD, dataKey, cbcSeal.context, NEVER));
      const listed = await harbour.raw(harbour.source, key, cbc(block), { metadata: s3ecV2.write(seal).metadata });
      await copyPage([listed], {}, harbour.shores(), rulesOf(), inFlight());
      const { key: _key, ...finding } = await verifyObject(listed, harbour.shores(), rulesOf(), {
        full: true,
        signal: NEVER,
      });
      findings.add(JSON.stringify(finding));
    }
    expect([...findings]).toEqual([expect.stringContaining("SEAL_FORGED")]);
  });

  it("cat prints not a byte of a body whose end does not prove it, and ends the same way each time", async () => {
    const home = await mkdtemp(join(tmpdir(), "sealift-oracle-"));
    try {
      const store = await openFileStore({ root: join(home, "near") });
      const { seal, dataKey } = s3ecV3.fresh(new Map(), OLD);
      const whole = withWrapped(seal, await ring.kms.wrap(OLD, dataKey, seal.context, NEVER));
      const body = await collect(s3ecV3.seal(once(Buffer.alloc(5000, 65)), whole, dataKey));
      const ends = new Set<string>();
      for (const at of [0, 2500, body.length - 1]) {
        const attributes = { metadata: s3ecV3.write(whole).metadata };
        const put = { sizeBytes: body.length, attributes, condition: "any" as const, signal: NEVER };
        await store.put("x", once(flipped(body, at)), put);
        const args = ["cat", `file://${home}/near`, "--object", "x", "--key-directory", ring.directory];
        const { code, stdoutBytes, stderr } = await perform(args);
        ends.add(JSON.stringify([code, stdoutBytes.length, stderr]));
      }
      dataKey.wipe();
      expect([...ends]).toEqual([expect.stringMatching(/^\[7,0,.*SEAL_FORGED/)]);
    } finally {
      await rm(home, { recursive: true });
    }
  });
});
