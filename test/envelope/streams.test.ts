/** What the laws of the contract do not reach: limits, and the padding of AES-CBC. */
import { createCipheriv } from "node:crypto";
import { describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { DataKey } from "../../src/core/key.ts";
import { openCbc } from "../../src/envelope/s3ec/cbc.ts";
import { GCM_PLAIN_BYTES_MAX, gcmPlainSize, gcmSealedSize, openGcm, sealGcm } from "../../src/envelope/s3ec/gcm.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { AWS_KEY, codeOf, collect, inPieces, pattern } from "./material.ts";

const key = Buffer.alloc(32, 1);
const iv = Buffer.alloc(16, 2);
const sealUnpadded = (plaintext: Uint8Array) => {
  const cipher = createCipheriv("aes-256-cbc", key, iv).setAutoPadding(false);
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
};

describe("the limit of AES-GCM", () => {
  const parameters = { key, iv: iv.subarray(0, 12), aad: new Uint8Array(), plainBytesMax: 100 };
  it("holds while sealing and while opening", async () => {
    const body = await collect(sealGcm(inPieces(pattern(100), [33]), parameters));
    expect((await collect(openGcm(inPieces(body, [33]), parameters))).equals(pattern(100))).toBe(true);
    expect(await codeOf(() => collect(sealGcm(inPieces(pattern(101), [33]), parameters)))).toBe("TOO_LARGE");
    const longer = await collect(sealGcm(inPieces(pattern(101)), { ...parameters, plainBytesMax: 101 }));
    expect(await codeOf(() => collect(openGcm(inPieces(longer), parameters)))).toBe("TOO_LARGE");
  });
  it("is known beforehand", async () => {
    expect(gcmSealedSize(GCM_PLAIN_BYTES_MAX)).toBe(68_719_476_720);
    expect(gcmPlainSize(68_719_476_720)).toBe(68_719_476_704);
    expect(await codeOf(() => gcmSealedSize(GCM_PLAIN_BYTES_MAX + 1))).toBe("TOO_LARGE");
    expect(await codeOf(() => gcmPlainSize(68_719_476_721))).toBe("SEAL_MALFORMED");
  });
});

describe("the padding of AES-CBC", () => {
  const open = (plaintext: Uint8Array) => collect(openCbc(inPieces(sealUnpadded(plaintext)), key, iv));
  it("every legal padding is taken off", async () => {
    for (let padding = 1; padding <= 16; padding++) {
      const plaintext = Buffer.concat([pattern(32 - padding), Buffer.alloc(padding, padding)]);
      expect((await open(plaintext)).equals(pattern(32 - padding))).toBe(true);
    }
  });
  it("every other last byte and every wrong byte within is the same SEAL_FORGED", async () => {
    const answers = new Set<string>();
    for (let last = 0; last < 256; last++) {
      const plaintext = Buffer.concat([pattern(16), Buffer.alloc(15, 0xee), Buffer.from([last])]);
      const answer = await open(plaintext).catch(asSealiftError);
      if (last === 1) expect(Buffer.isBuffer(answer)).toBe(true);
      else answers.add(Buffer.isBuffer(answer) ? `opened with ${last}` : `${answer.code} ${answer.message}`);
    }
    for (let padding = 2; padding <= 16; padding++) {
      for (let wrong = 0; wrong < padding - 1; wrong++) {
        const plaintext = Buffer.concat([pattern(32 - padding), Buffer.alloc(padding, padding)]);
        plaintext[32 - padding + wrong] = padding ^ 0x40;
        const answer = await open(plaintext).catch(asSealiftError);
        answers.add(Buffer.isBuffer(answer) ? "opened" : `${answer.code} ${answer.message}`);
      }
    }
    expect([...answers]).toEqual(["SEAL_FORGED the body does not open under this data key and envelope"]);
  });
  it("nothing new is sealed this way", async () => {
    const { seal, dataKey } = s3ecV2.fresh(new Map(), AWS_KEY);
    const cbc = { ...seal, content: "AES/CBC/PKCS5Padding" };
    expect(await codeOf(() => collect(s3ecV2.seal(inPieces(pattern(1)), cbc, dataKey)))).toBe("SEAL_UNSUPPORTED");
  });
});

describe("a swapped key", () => {
  it("is seen by V3 before the body is touched, by V2 only at the end of it", async () => {
    const other = new DataKey(Buffer.alloc(32, 9));
    const three = s3ecV3.fresh(new Map(), AWS_KEY);
    expect(await codeOf(() => s3ecV3.check(three.seal, other))).toBe("SEAL_FORGED");
    expect(await codeOf(() => collect(s3ecV3.seal(inPieces(pattern(1)), three.seal, other)))).toBe("SEAL_FORGED");
    const two = s3ecV2.fresh(new Map(), AWS_KEY);
    expect(await codeOf(() => s3ecV2.check(two.seal, other))).toBe("no error");
    const body = await collect(s3ecV2.seal(inPieces(pattern(64)), two.seal, two.dataKey));
    expect(await codeOf(() => collect(s3ecV2.open(inPieces(body), two.seal, other)))).toBe("SEAL_FORGED");
  });
});
