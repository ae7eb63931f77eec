/**
 * Messages as an attacker or a broken disk leaves them: every prefix, every bit of the header, bits of body and footer. Each fails with
 * a code of its own; none is opened, and none is taken for plain once its first bytes say that it is a message.
 */
import { describe, expect, it } from "vitest";
import { asSealiftError, type Code } from "../../../src/core/error.ts";
import { parseHeader } from "../../../src/envelope/esdk/header.ts";
import { isMessage } from "../../../src/envelope/esdk/magic.ts";
import { codeOf } from "../material.ts";
import { COMMITMENTS, file, keyOf, opened, OWN, read, VECTORS, ZERO_KEYS } from "./vectors.ts";

interface Subject {
  readonly name: string;
  readonly message: Buffer;
  readonly key: string;
}

const commitment = (number: number): Subject => {
  const vector = COMMITMENTS[number - 1];
  if (!vector) throw new Error(`no vector ${number}`);
  const key = Buffer.from(vector["decrypted-dek"], "base64").toString("hex");
  return { name: vector.comment, message: Buffer.from(vector.ciphertext, "base64"), key };
};
const zero = (name: string, keyBytes: number): Subject => {
  const found = ZERO_KEYS.find((vector) => vector.name === name);
  return { name, message: Buffer.from(found?.base64 ?? "", "base64"), key: "00".repeat(keyBytes) };
};

/** Short ones of every shape: both versions, framed and not, signed and not. */
const SHORT: readonly Subject[] = [
  commitment(1),
  commitment(27),
  commitment(32),
  commitment(24),
  commitment(28),
  zero("base64CiphertextAlgAes256GcmIv12Tag16HkdfWith4Frames", 32),
  zero("base64Ciphertext4BytesWith4KFrameLength", 32),
  zero("fourEdksMessage", 16),
  ...OWN.map(({ suite, messageHex, dataKeyHex }) => ({
    name: `self-made ${suite}`,
    message: Buffer.from(messageHex, "hex"),
    key: dataKeyHex,
  })),
];

const outcome = (message: Uint8Array, key: string): Promise<Code | "no error"> =>
  codeOf(async () => opened(message, keyOf(key)));

const isRefusal = (code: string): boolean => ["SEAL_MALFORMED", "SEAL_FORGED", "SEAL_UNSUPPORTED"].includes(code);

describe.each(SHORT)("$name", ({ message, key }) => {
  const { sizeBytes: headerBytes } = parseHeader(message);

  it("cut anywhere is refused: within its header as malformed, in its body as that or as forged", async () => {
    for (let length = 0; length < message.length; length++) {
      const cut = message.subarray(0, length);
      if (!isMessage(cut)) {
        expect(length).toBeLessThan(4);
        continue;
      }
      const code = await outcome(cut, key);
      expect(code, `${length} of ${message.length}`).toMatch(
        length < headerBytes ? /^SEAL_MALFORMED$/ : /^SEAL_(MALFORMED|FORGED)$/,
      );
    }
  });

  it("with one byte more is refused", async () => {
    expect(await outcome(Buffer.concat([message, Buffer.alloc(1)]), key)).toMatch(/^SEAL_(MALFORMED|FORGED)$/);
  });

  it("with one bit changed is refused, or is no message any more", async () => {
    // Every bit of the header; of what follows every fifth, which in eight turns is every place in a byte.
    for (let bit = 0; bit < message.length * 8; bit += bit >> 3 < headerBytes ? 1 : 5) {
      const changed = Uint8Array.from(message);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if (!isMessage(changed)) {
        expect(bit).toBeLessThan(32);
        continue;
      }
      const code = await outcome(changed, key);
      expect(isRefusal(code), `bit ${bit}: ${code}`).toBe(true);
      if (bit >> 3 >= headerBytes) expect(code, `bit ${bit}`).toMatch(/^SEAL_(MALFORMED|FORGED)$/);
    }
  });

  it("says the same to every reader, whole or byte by byte", async () => {
    for (let at = 0; at < message.length; at += 7) {
      const changed = Uint8Array.from(message);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      const tell = (sizes?: readonly number[]) =>
        opened(changed, keyOf(key), sizes).catch((error) => asSealiftError(error));
      if (!isMessage(changed)) continue;
      const [whole, bytewise] = [await tell(), await tell([1])];
      expect([whole, bytewise].map(String)[0]).toBe(String(bytewise));
    }
  });
});

describe("the C library's messages", () => {
  it("with one bit of the body changed, at random, are forged", async () => {
    // A fixed seed: the same bits at every run.
    let state = 0x5ea11f7;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state % below;
    };
    for (const vector of VECTORS.filter(({ reproducedEncryptionContext: pairs }) => pairs === null)) {
      for (let turn = 0; turn < 8; turn++) {
        const message = Uint8Array.from(file(vector.file));
        const at = vector.offsets.headerEnd + random(message.length - vector.offsets.headerEnd);
        message[at] = (message[at] ?? 0) ^ (1 << random(8));
        expect(await outcome(message, vector.dataKeyHex), `${vector.id} ${at}`).toMatch(/^SEAL_(FORGED|MALFORMED)$/);
      }
    }
  });
});

describe("what is no honest message", () => {
  const { message } = commitment(1);
  const changed = (at: number, ...bytes: number[]): Buffer => {
    const copy = Buffer.from(message);
    copy.set(bytes, at);
    return copy;
  };

  it("a committing suite under the version without commitments, and the other way round", async () => {
    const old = Buffer.concat([Buffer.from([1, 0x80, 0x04, 0x78]), message.subarray(3)]);
    const late = changed(1, 0x01, 0x78);
    for (const bytes of [old, late]) expect(await codeOf(() => read(bytes))).toBe("SEAL_MALFORMED");
  });

  it("a signed suite without its signer, and a signer without a signed suite", async () => {
    expect(await codeOf(() => read(changed(1, 0x05, 0x78)))).toBe("SEAL_MALFORMED");
    const signed = Buffer.from(commitment(32).message);
    signed.set([0x04, 0x78], 1);
    expect(await codeOf(() => read(signed))).toBe("SEAL_MALFORMED");
  });

  it("no data key, too many, or a header beyond every bound", async () => {
    const keysAt = 3 + 32 + 2;
    expect(await codeOf(() => read(changed(keysAt, 0, 0)))).toBe("SEAL_MALFORMED");
    expect(await codeOf(() => read(changed(keysAt, 0xff, 0xff)))).toBe("SEAL_UNSUPPORTED");
    const huge = Buffer.concat([
      Buffer.from([0, 1, 0x61, 0xff, 0xff]),
      Buffer.alloc(0xffff),
      Buffer.from([0, 1, 0x62]),
    ]);
    const held = Buffer.concat([
      message.subarray(0, keysAt),
      Buffer.from([0, 8]),
      ...Array.from({ length: 8 }, () => huge),
    ]);
    expect(await codeOf(() => read(held))).toBe("SEAL_UNSUPPORTED");
  });

  it("a header that ends where no more is asked for, before a body in one piece", async () => {
    const one = Buffer.from(OWN[0]?.messageHex ?? "", "hex");
    const { sizeBytes, keys } = parseHeader(one);
    const countAt = 4 + 16 + 2 + one.readUInt16BE(20);
    const [before, after] = [one.subarray(0, countAt), one.subarray(countAt + 2)];
    for (let short = 0; short <= 24; short++) {
      // Three keys of the greatest length and one that is made to measure.
      const room = 256 * 1024 - short - sizeBytes - 4 * 7;
      const sizes = [65_535, 65_535, 65_535, room - 3 * 65_535];
      const more = sizes.map((size) =>
        Buffer.concat([Buffer.from([0, 1, 0x61, 0, 0]), Buffer.from([size >> 8, size & 255]), Buffer.alloc(size)]),
      );
      const whole = Buffer.concat([before, Buffer.from([0, keys.length + 4]), ...more, after]);
      const code = await codeOf(() => read(whole));
      expect(code, `${short}`).toBe(short < 20 ? "SEAL_UNSUPPORTED" : "no error");
    }
  });

  it("random bytes, and the names of another format beside a message", async () => {
    expect(read(Buffer.from("01800179", "hex")).envelope.id).toBe("plain");
    expect(await codeOf(() => read(message, { encryptiondata: "{}" }))).toBe("SEAL_UNSUPPORTED");
    expect(await codeOf(() => read(message, { "x-amz-key-v2": "AAAA" }))).toBe("SEAL_MALFORMED");
  });
});
