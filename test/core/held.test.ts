/** Bodies in slabs: what was filled is what is there, the allowance is kept, and slabs that come back hurt nobody. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { Held } from "../../src/core/held.ts";
import { HttpClient } from "../../src/wire/http.ts";

const KIB = 1024;
const SLAB = 256 * KIB;
const { signal } = new AbortController();
const sizes = fc.oneof(
  fc.constantFrom(0, 1, 64 * KIB, 64 * KIB + 1, SLAB - 1, SLAB, SLAB + 1, 3 * SLAB),
  fc.integer({ min: 0, max: 900 * KIB }),
);

/** In pieces of `step` bytes; returns what did not fit. */
function pour(held: Held, bytes: Buffer, step: number): number {
  for (let at = 0; at < bytes.length; at += step) {
    const rest = held.fill(bytes.subarray(at, at + step));
    if (rest.length > 0) return bytes.length - Math.min(at + step, bytes.length) + rest.length;
  }
  return 0;
}

describe("bytes that are held", () => {
  it("are those that were filled in, whatever the sizes, also while others come and go", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(sizes, { maxLength: 5 }), fc.integer({ min: 1, max: 700 * KIB }), async (all, step) => {
        const budget = new Budget(64 * 1024 * KIB);
        const bodies: { held: Held; bytes: Buffer }[] = [];
        for (const size of all) {
          const held = await Held.room(size, budget, signal);
          const bytes = randomBytes(size);
          expect(pour(held, bytes, step)).toBe(0);
          bodies.push({ held, bytes });
          if (bodies.length > 2) bodies.shift()?.held.release();
        }
        for (const { held, bytes } of bodies) expect(Buffer.concat(held.pieces).equals(bytes)).toBe(true);
        for (const { held } of bodies) held.release();
      }),
      { numRuns: 60 },
    );
  });

  it("are no more than there is room for", async () => {
    const held = await Held.room(SLAB + 10, new Budget(4 * SLAB), signal);
    expect(pour(held, randomBytes(SLAB + 13), 100 * KIB)).toBe(3);
    held.release();
  });

  it("wait for the allowance, by the slabs they take; a second release gives nothing back", async () => {
    const budget = new Budget(3 * SLAB);
    const one = await Held.room(SLAB + 1, budget, signal);
    let came = false;
    const two = Held.room(2 * SLAB, budget, signal).then((held) => {
      came = true;
      return held;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(came).toBe(false);
    one.release();
    one.release();
    (await two).release();
    expect(one.pieces).toEqual([]);
    // All of it is there again, and not more.
    (await Held.room(3 * SLAB, budget, signal)).release();
  });
});

describe("a body in pieces", () => {
  it("goes out as one, with its length stated", async () => {
    const seen: { length: string | undefined; encoding: string | undefined; body: Buffer }[] = [];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { "content-length": length, "transfer-encoding": encoding } = request.headers;
        seen.push({ length, encoding, body: Buffer.concat(chunks) });
        response.end("ok");
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = new HttpClient({ origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    try {
      for (const sizeList of [[], [0], [5], [0, 7, 0], [SLAB, SLAB, 3], [1, 300 * KIB]]) {
        const body = sizeList.map((size) => randomBytes(size));
        const whole = Buffer.concat(body);
        const response = await client.send({ method: "PUT", path: "/x", headers: {}, body, signal });
        expect(await response.text()).toBe("ok");
        const { body: arrived, ...stated } = seen.pop() ?? {};
        expect(stated).toEqual({ length: String(whole.length), encoding: undefined });
        expect(arrived?.equals(whole)).toBe(true);
      }
    } finally {
      await client.close();
      server.close();
    }
  });
});
