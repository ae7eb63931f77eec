/** Combining is arithmetic: it is held to the native CRC32C over bytes, and above what fits in memory to its own laws. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { combineCrc32c, crc32c, crc32cInPassing, crc32cOfEnd } from "../../src/core/crc32c.ts";

const TIB = 1024 ** 4;
const crc = fc.integer({ min: 0, max: 0xffffffff });
const length = fc.integer({ min: 0, max: 5 * TIB });

describe("two CRC32Cs combined", () => {
  it("are that of the bytes joined", () => {
    const bytes = fc.uint8Array({ maxLength: 5000 });
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(combineCrc32c(crc32c(a), crc32c(b), b.length)).toBe(crc32c(Buffer.concat([a, b])));
      }),
      { numRuns: 500 },
    );
  });

  it("are that of the bytes joined also where the parts are large", () => {
    const block = Buffer.alloc(3 * 1024 * 1024 + 1, "sealift");
    const whole = crc32c(block, crc32c(block));
    expect(combineCrc32c(crc32c(block), crc32c(block), block.length)).toBe(whole);
    expect(combineCrc32c(whole, crc32c(block), block.length)).toBe(crc32c(block, whole));
  });

  it("do not depend on how the parts were grouped, up to 5 TiB", () => {
    fc.assert(
      fc.property(crc, crc, length, crc, length, (a, b, bBytes, c, cBytes) => {
        const left = combineCrc32c(combineCrc32c(a, b, bBytes), c, cBytes);
        const right = combineCrc32c(a, combineCrc32c(b, c, cBytes), bBytes + cBytes);
        expect(left).toBe(right);
      }),
      { numRuns: 300 },
    );
  });

  it("of 10,000 equal parts are what doubling comes to: 5 TiB without moving them", () => {
    const partBytes = 525 * 1024 ** 2;
    const part = 0x9ae0daaf;
    let one = 0;
    for (let i = 0; i < 10_000; i++) one = combineCrc32c(one, part, partBytes);
    let doubled = 0;
    let done = 0;
    for (const bit of (10_000).toString(2)) {
      doubled = combineCrc32c(doubled, doubled, done);
      done *= 2;
      if (bit === "0") continue;
      doubled = combineCrc32c(doubled, part, partBytes);
      done += partBytes;
    }
    expect(done).toBe(10_000 * partBytes);
    expect(done).toBeGreaterThan(5 * TIB);
    expect(doubled).toBe(one);
  });

  it("with nothing are themselves", () => {
    fc.assert(fc.property(crc, (a) => combineCrc32c(a, 0, 0) === a));
    fc.assert(fc.property(crc, length, (b, bytes) => combineCrc32c(0, b, bytes) === b));
  });

  it("of the end of a run are what is left of the whole", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(crc32cOfEnd(crc32c(b, crc32c(a)), crc32c(a), b.length)).toBe(crc32c(b));
      }),
    );
  });

  it("in passing are the same, whoever asks again and after whatever came before", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1 })), crc, (chunks, other) => {
        for (const start of [0, 0, other]) {
          let [sum, passing] = [start, start];
          for (const chunk of chunks) [sum, passing] = [crc32c(chunk, sum), crc32cInPassing(chunk, passing)];
          expect(passing).toBe(sum);
        }
      }),
    );
  });
});
