/** Signed messages under another header: the old signature has to hold, and the new one does. */
import { createHash, createPublicKey, ECDH, verify } from "node:crypto";
import { describe, expect, it } from "vitest";
import { withWrapped } from "../../../src/envelope/envelope.ts";
import { esdkIn } from "../../../src/envelope/esdk/esdk.ts";
import { parseHeader, SIGNER } from "../../../src/envelope/esdk/header.ts";
import { Signer } from "../../../src/envelope/esdk/signer.ts";
import { type Signing, suiteCalled } from "../../../src/envelope/esdk/suites.ts";
import { bodyOf } from "../../../src/transfer/start.ts";
import { codeOf, collect, GCP_KEY, inPieces, wrappedFor } from "../material.ts";
import { file, keyOf, opened, OWN, read, SMALL, VECTORS } from "./vectors.ts";

const place = esdkIn({ place: "in-place" });
const signed = [
  ...VECTORS.filter(
    ({ suite, edks, id }) =>
      /^0[235]/.test(suite) && edks[0]?.providerId !== "aws-kms-hierarchy" && !/^(c4e1d9e3|7dd0f3b0)/.test(id),
  ).map(({ suite, id, file: name, dataKeyHex: key }) => ({
    name: `${suite} ${id.slice(0, 8)}`,
    message: file(name),
    key,
    plaintext: SMALL,
  })),
  ...OWN.filter(({ suite }) => /^0[235]/.test(suite)).map(({ suite, messageHex, dataKeyHex: key, plaintextUtf8 }) => ({
    name: `self-made, in one piece, ${suite}`,
    message: Buffer.from(messageHex, "hex"),
    key,
    plaintext: Buffer.from(plaintextUtf8),
  })),
];

async function rewritten(message: Uint8Array, key: string, sizes?: readonly number[]): Promise<Buffer> {
  const { seal } = read(message);
  const moved = withWrapped(place.retarget(seal, GCP_KEY), wrappedFor(GCP_KEY));
  const start = place.start?.(moved, keyOf(key)) ?? new Uint8Array();
  const ending = place.ending?.(seal, moved);
  if (!ending) throw new Error("it was to be signed anew");
  return Buffer.concat([start, await collect(ending(bodyOf(inPieces(message, sizes), seal), start, keyOf(key)))]);
}

describe.each(signed)("$name", ({ message, key, plaintext }) => {
  it("keeps its body and its size behind the header, and opens with a signature that holds", async () => {
    for (const sizes of [undefined, [1], [4096, 7]]) {
      const again = await rewritten(message, key, sizes);
      expect((await opened(again, keyOf(key))).equals(plaintext)).toBe(true);
      const [old, now] = [parseHeader(message), parseHeader(again)];
      expect(again.length - now.sizeBytes).toBe(message.length - old.sizeBytes);
      expect(now.context.get(SIGNER)).not.toBe(old.context.get(SIGNER));
      expect([...now.context.keys()]).toEqual([...old.context.keys()]);
      expect(now.keys.map(({ provider }) => provider)).toEqual(["gcp-kms"]);
      // Behind the header at most the footer differs.
      const bodyBytes = plaintext.length;
      const [before, after] = [message.subarray(old.sizeBytes), again.subarray(now.sizeBytes)];
      expect(after.subarray(0, bodyBytes).equals(before.subarray(0, bodyBytes))).toBe(true);
    }
  });

  it("is not finished where a byte of body or signature is another, or missing, or too many", async () => {
    const { sizeBytes } = parseHeader(message);
    const changed = (at: number): Buffer => {
      const copy = Buffer.from(message);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    const places = [sizeBytes, sizeBytes + 30, message.length - 1, message.length - 60, message.length - 110];
    for (const at of places)
      expect(await codeOf(() => rewritten(changed(at), key)), `${at}`).toMatch(/^SEAL_(FORGED|MALFORMED)$/);
    expect(await codeOf(() => rewritten(message.subarray(0, -1), key))).toBe("SEAL_FORGED");
    expect(await codeOf(() => rewritten(Buffer.concat([message, Buffer.alloc(1)]), key))).toBe("SEAL_FORGED");
  });

  it("by another data key is not even begun", async () => {
    const size = suiteCalled(parseHeader(message).suite.id)?.keyBytes ?? 0;
    expect(await codeOf(() => rewritten(message, "07".repeat(size)))).toBe("SEAL_FORGED");
  });
});

it("of an unsigned message nothing ends anew", () => {
  const { seal } = read(file(VECTORS.find(({ id }) => id.startsWith("b2de7be8"))?.file ?? ""));
  expect(place.ending?.(seal, place.retarget(seal, GCP_KEY))).toBeUndefined();
});

describe("a signature of an exact length", () => {
  const { signing: p256 } = suiteCalled("0214") ?? {};
  const { signing: p384 } = suiteCalled("0578") ?? {};
  const data = Buffer.from("what was signed");

  it.each([
    [p256, 72],
    [p256, 71],
    [p256, 70],
    [p256, 69],
    [p384, 104],
    [p384, 103],
    [p384, 102],
    [p384, 101],
  ] as [Signing, number][])("%o, %i bytes", async (signing, sizeBytes) => {
    for (let turn = 0; turn < 3; turn++) {
      const signer = new Signer(signing);
      const signature = await signer.sign(signer.begin().update(data).digest(), sizeBytes);
      expect(signature.length).toBe(sizeBytes);
      expect(holds(signing, signer.point, signature, data)).toBe(true);
      expect(holds(signing, signer.point, signature, Buffer.from("something else"))).toBe(false);
      expect(holds(signing, new Signer(signing).point, signature, data)).toBe(false);
    }
  });

  it("that no signature has is refused, not waited for", async () => {
    const signer = new Signer(p256 as Signing);
    expect(await codeOf(() => signer.sign(createHash("sha256").digest(), 73))).toBe("SEAL_UNSUPPORTED");
  }, 120_000);
});

/** By the library alone. */
function holds({ curve, hash }: Signing, point: string, signature: Uint8Array, data: Uint8Array): boolean {
  const bytes = ECDH.convertKey(point, curve, "base64", undefined, "uncompressed") as Buffer;
  const half = (bytes.length - 1) / 2;
  const coordinate = (at: number) => bytes.subarray(at, at + half).toString("base64url");
  const jwk = { kty: "EC", crv: curve === "secp384r1" ? "P-384" : "P-256", x: coordinate(1), y: coordinate(1 + half) };
  return verify(hash, data, { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "der" }, signature);
}
