import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32c } from "../../src/core/crc32c.ts";
import { Passage } from "../../src/transfer/passage.ts";
import { peek } from "../../src/transfer/recognise.ts";
import { collect, errorOf } from "./harness.ts";
import { failing } from "./wayward.ts";

async function* pieces(chunks: readonly Uint8Array[]) {
  yield* chunks;
}

const anyChunks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 });

describe("a passage", () => {
  it("hands on what it was given, and counts it", async () => {
    await fc.assert(
      fc.asyncProperty(anyChunks, fc.boolean(), async (chunks, stated) => {
        const bytes = Buffer.concat(chunks);
        const passage = new Passage(pieces(chunks), {
          sizeBytes: bytes.length,
          crc32c: stated ? crc32c(bytes) : undefined,
        });
        expect((await collect(passage)).equals(bytes)).toBe(true);
        expect([passage.crc32c, passage.whole, passage.failed]).toEqual([crc32c(bytes), true, false]);
      }),
    );
  });

  it("never hands on all of a body that is not what was promised", async () => {
    await fc.assert(
      fc.asyncProperty(anyChunks, fc.integer({ min: -50, max: 50 }), async (chunks, off) => {
        const bytes = Buffer.concat(chunks);
        const sizeBytes = bytes.length + off;
        const wrongCrc = off === 0;
        fc.pre(sizeBytes >= 0 && (!wrongCrc || bytes.length > 0));
        const promised = { sizeBytes, crc32c: wrongCrc ? crc32c(bytes) ^ 1 : undefined };
        const passage = new Passage(pieces(chunks), promised);
        let handedOn = 0;
        const reading = (async () => {
          for await (const chunk of passage) handedOn += chunk.length;
        })();
        expect((await errorOf(reading)).code).toBe(wrongCrc ? "STORE_CHECKSUM" : "STORE_CUT");
        expect(handedOn).toBeLessThan(Math.max(sizeBytes, 1));
        expect([passage.whole, passage.failed]).toEqual([false, true]);
      }),
    );
  });

  it("passes on the error of its body, and tells it from that of its reader", async () => {
    async function* broken() {
      yield Buffer.from("a");
      throw failing("NET_UNREACHABLE");
    }
    const passage = new Passage(broken(), { sizeBytes: 2 });
    expect((await errorOf(collect(passage))).code).toBe("NET_UNREACHABLE");
    expect(passage.failed).toBe(true);
  });

  it("closes its body when its reader leaves", async () => {
    let closed = false;
    async function* watched() {
      try {
        for (;;) yield Buffer.from("a");
      } finally {
        closed = true;
      }
    }
    const passage = new Passage(watched(), { sizeBytes: 100 });
    for await (const chunk of passage) if (chunk.length > 0) break;
    expect([closed, passage.whole, passage.failed]).toEqual([true, false, false]);
  });
});

it("peeking takes nothing away", async () => {
  await fc.assert(
    fc.asyncProperty(anyChunks, fc.nat({ max: 100 }), async (chunks, sizeBytes) => {
      const bytes = Buffer.concat(chunks);
      const peeked = await peek(pieces(chunks), () => sizeBytes);
      expect(peeked.start.length).toBeGreaterThanOrEqual(Math.min(sizeBytes, bytes.length));
      expect(bytes.subarray(0, peeked.start.length).equals(peeked.start)).toBe(true);
      expect((await collect(peeked.body)).equals(bytes)).toBe(true);
    }),
  );
});
