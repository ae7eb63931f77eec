/** What only Cloud Storage's way of joining parts can get wrong: rounds of composing that were cut short, keys, leftovers. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { crc32c } from "../../src/core/crc32c.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { type PocketGcs, startPocketGcs } from "../../src/pocket/gcs.ts";
import { openGcsStore } from "../../src/store/gcs/gcs.ts";
import type { HeldPart, ObjectStore, PartStore, PartUpload } from "../../src/store/store.ts";
import { bare, each, failure, gather, never, pieces, sample } from "./laws/law.ts";

const KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
const PART = 500;

let pocket: PocketGcs;
let store: ObjectStore;
let parts: PartStore;
beforeAll(async () => {
  pocket = await startPocketGcs();
  pocket.createBucket("parts");
  const buffer = new Budget(8 * 1024 * 1024);
  store = await openGcsStore({ bucket: "parts", endpoint: pocket.url, anonymous: true, buffer });
  parts = store.parts as PartStore;
});
afterEach(() => pocket.faults.clear());
afterAll(async () => {
  await store.close();
  await pocket.close();
});

async function upload(key: string, count: number, serverKeyName?: string) {
  const bytes = sample(PART * (count - 1) + 7, count);
  const id = await parts.begin(key, { sizeBytes: bytes.length, attributes: bare, serverKeyName, signal: never });
  const begun: PartUpload = { key, id, serverKeyName };
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  await each(numbers, 8, async (number) => void (await send(begun, bytes, number)));
  return { begun, bytes };
}

function send(begun: PartUpload, bytes: Buffer, number: number): Promise<HeldPart> {
  const piece = bytes.subarray((number - 1) * PART, number * PART);
  return parts.put(begun, number, pieces(piece), { sizeBytes: piece.length, signal: never });
}

async function complete(begun: PartUpload, bytes: Buffer): Promise<void> {
  const held = (await parts.list(begun, never)) ?? [];
  const whole = { parts: held, sizeBytes: bytes.length, crc32c: crc32c(bytes), condition: "absent" as const };
  await parts.complete(begun, { ...whole, signal: never });
}

async function names(): Promise<string[]> {
  const found: string[] = [];
  for await (const page of store.list("", {}, never)) found.push(...page.objects.map(({ key }) => key));
  return found;
}

const isCompose = ({ path }: { path: string }) => path.endsWith("/compose");

describe("parts in Cloud Storage", () => {
  it("are not under the object's name, and named by nothing that could be too long", async () => {
    const long = `${"ä".repeat(500)}/x`;
    const { begun, bytes } = await upload(long, 2);
    const found = await names();
    expect(found).toHaveLength(3);
    for (const name of found)
      expect(name).toMatch(/^\.sealift-parts\/[0-9a-f]{32}\/[0-9a-f]{24}\/(begun|0000[12]-0000[12])$/);
    await complete(begun, bytes);
    expect(await names()).toEqual([long]);
    await store.remove(long, never);
  });

  it.each([0, 1, 2, 3, 36, 37])(
    "joined in rounds that were cut short after %d are joined by whoever comes next",
    async (cut) => {
      // 1,100 parts: 35 groups of 32, two of 1,024, and the object.
      const { begun, bytes } = await upload("rounds", 1100);
      pocket.faults.add({ match: isCompose, skip: cut, answer: { status: 503, body: "" } });
      const error = asSealiftError(await failure(complete(begun, bytes)));
      expect(error).toMatchObject({ retry: "later", object: "rounds" });
      expect(await store.head("rounds", never)).toBeUndefined();
      const held = (await parts.list(begun, never)) ?? [];
      expect(held.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBe(bytes.length);
      // Somebody slow sends a part again that is joined already.
      await send(begun, bytes, 5);
      const group = await parts.list(begun, never, { first: 5, last: 6 });
      expect(group?.[0]?.first).toBeLessThanOrEqual(5);
      expect(group?.at(-1)?.last).toBeGreaterThanOrEqual(6);
      await complete(begun, bytes);
      const { head, body } = await store.open("rounds", { signal: never });
      expect((await gather(body)).equals(bytes)).toBe(true);
      expect(head.crc32c).toBe(crc32c(bytes));
      expect(await names()).toEqual(["rounds"]);
      await store.remove("rounds", never);
    },
  );

  it("are joined by two at once as by one", async () => {
    const { begun, bytes } = await upload("both", 70);
    const ends = await Promise.allSettled([complete(begun, bytes), complete(begun, bytes)]);
    for (let tries = 0; tries < 5 && (await store.head("both", never)) === undefined; tries++) {
      await complete(begun, bytes).catch((error: unknown) => expect(asSealiftError(error).retry).toBe("later"));
    }
    for (const end of ends) {
      if (end.status === "fulfilled") continue;
      const { code, retry } = asSealiftError(end.reason);
      expect(retry === "later" || code === "STORE_EXISTS", String(end.reason)).toBe(true);
    }
    const { body } = await store.open("both", { signal: never });
    expect((await gather(body)).equals(bytes)).toBe(true);
    await parts.abort(begun, never);
    expect(await names()).toEqual(["both"]);
    await store.remove("both", never);
  });

  it("lie under the provider-side key of the object, as the object does", async () => {
    const { begun, bytes } = await upload("keyed", 40, KEY);
    const heads = await Promise.all((await names()).map((name) => store.head(name, never)));
    for (const head of heads) expect(head?.atRest).toMatchObject({ mode: "CMEK" });
    await complete(begun, bytes);
    expect((await store.head("keyed", never))?.atRest).toMatchObject({ mode: "CMEK" });
    await store.remove("keyed", never);
  });

  it("whose composition comes to another CRC32C do not stand", async () => {
    const { begun, bytes } = await upload("wrong", 3);
    const resource = {
      name: "wrong",
      size: String(bytes.length),
      generation: "1",
      etag: "e",
      updated: new Date().toISOString(),
      crc32c: "AAAAAA==",
    };
    pocket.faults.add({ match: isCompose, answer: { status: 200, body: JSON.stringify(resource) } });
    const error = asSealiftError(await failure(complete(begun, bytes)));
    expect(error.code).toBe("STORE_CHECKSUM");
    expect(error.message).toContain("is removed again");
    await parts.abort(begun, never);
  });

  it("of an abort that was cut short are found again", async () => {
    const { begun } = await upload("half", 5);
    pocket.faults.add({ match: ({ method }) => method === "DELETE", skip: 2, times: 3, answer: { status: 503 } });
    await failure(parts.abort(begun, never));
    pocket.faults.clear();
    expect((await parts.uploads("half", never)).map(({ id }) => id)).toEqual([begun.id]);
    await parts.abort(begun, never);
    expect(await names()).toEqual([]);
  });
});
