/** What a lost ledger may be written again from: proof by looking, where absence is not read from a listing that broke. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { KeyRange, ListedObject } from "../../src/core/object.ts";
import { neighboursIn } from "../../src/transfer/divided.ts";
import { copyPage } from "../../src/transfer/page.ts";
import { provePage } from "../../src/transfer/prove.ts";
import { Harbour, headOf, inFlight, type KeyRing, makeKeyRing, rulesOf } from "./harness.ts";
import { failing, NEVER, WaywardStore } from "./wayward.ts";

/** As S3 lists: rows without heads. */
class Headless extends WaywardStore {
  override async *list(prefix: string, range: KeyRange, signal: AbortSignal) {
    for await (const page of super.list(prefix, range, signal)) {
      yield { ...page, objects: page.objects.map(({ head: _head, ...row }) => row) };
    }
  }
}

let ring: KeyRing;
let harbour: Harbour;
let page: ListedObject[];
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(async () => {
  harbour = new Harbour(ring);
  page = [];
  for (const key of ["a", "b", "c", "d"]) page.push(await harbour.sealed(key, Buffer.from(`text of ${key}`)));
  await copyPage(page, {}, harbour.shores(), rulesOf(), inFlight());
  harbour.destination.calls.length = 0;
});

const prove = (change = {}, objects = page) => {
  const options = { atOnce: 4, neighbours: neighboursIn(objects), signal: NEVER };
  return provePage(objects, harbour.shores(), rulesOf(change), options);
};
const outcomes = async (change = {}) => {
  const proof = await prove(change);
  return "receipts" in proof ? proof.receipts.map(({ key, outcome }) => `${key} ${outcome}`) : proof.doubt;
};

describe("a page that has arrived", () => {
  it("is proven from one listing where listings carry heads, and nothing is opened", async () => {
    expect(await outcomes()).toEqual(["a already", "b already", "c already", "d already"]);
    expect(harbour.destination.calls.filter((call) => /^(head|open)/.test(call))).toEqual(["head a"]);
    expect(harbour.sourceKms.leaked() + harbour.destinationKms.leaked()).toBe(0);
  });

  it("is proven with a HEAD for each that is there, where they do not", async () => {
    const headless = new Headless();
    for (const { key } of page) {
      const opened = await harbour.destination.inner.open(key, { signal: NEVER });
      const { sizeBytes, attributes } = opened.head;
      await headless.inner.put(key, opened.body, { sizeBytes, attributes, condition: "any", signal: NEVER });
    }
    await headless.inner.remove("d", NEVER);
    harbour.destination = headless;
    expect(await outcomes()).toMatchObject({ key: "d", why: "missing" });
    expect(headless.calls).not.toContain("head d");
  });

  it("counts what the job filters as filtered, there or not", async () => {
    await harbour.destination.inner.remove("b", NEVER);
    const filter = ({ key }: ListedObject) => key !== "b";
    expect(await outcomes({ filter })).toEqual(["a already", "b filtered", "c already", "d already"]);
  });

  it("opens keys where the job verifies", async () => {
    const proof = await prove({ verify: "full" });
    expect("receipts" in proof && proof.receipts.map(({ verified }) => verified)).toEqual([true, true, true, true]);
    expect(harbour.leaked()).toBe(0);
  });
});

describe("a page that is in doubt", () => {
  it("for an object of another migration, whatever else is right", async () => {
    expect(await outcomes({ migration: "m-2" })).toMatchObject({ key: "a", why: "different" });
  });

  it("for a stamp without the object", async () => {
    const head = await headOf(harbour.destination, "c");
    await harbour.raw(harbour.destination, "c", Buffer.alloc(head?.sizeBytes ?? 0), head?.attributes);
    expect(await outcomes()).toMatchObject({ key: "c", why: "different", message: expect.stringMatching(/CRC32C/) });
  });

  it("for another object's key, where keys are opened", async () => {
    const [b, c] = [await headOf(harbour.destination, "b"), await headOf(harbour.destination, "c")];
    const name = "x-amz-3";
    const metadata = new Map([...(c?.attributes.metadata ?? []), [name, b?.attributes.metadata.get(name) ?? ""]]);
    const { body } = await harbour.destination.inner.open("c", { signal: NEVER });
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(Uint8Array.from(chunk));
    await harbour.raw(harbour.destination, "c", Buffer.concat(chunks), { ...c?.attributes, metadata });
    expect(await outcomes({ verify: "full" })).toMatchObject({ key: "c", why: "different" });
  });

  it("for an object that changed at the source since it was listed", async () => {
    await harbour.sealed("b", Buffer.from("newer"));
    expect(await outcomes()).toMatchObject({ key: "b", why: "STORE_CHANGED" });
  });

  it("for a name that the destination cannot have", async () => {
    const narrow = { keyBytesMax: 3 };
    harbour.destination = new WaywardStore({ traits: narrow });
    const long = await harbour.plain("long", Buffer.from("x"));
    expect(await prove({}, [long])).toMatchObject({ doubt: { key: "long", why: "missing" } });
  });
});

describe("what is no doubt but a fault is thrown", () => {
  it("a listing that breaks: nothing is taken for missing", async () => {
    harbour.destination.beforeList = () => {
      throw failing("LIST_BROKEN");
    };
    await expect(prove()).rejects.toMatchObject({ code: "LIST_BROKEN" });
  });

  it("rights that are not there: not one object after the other is taken for lost", async () => {
    harbour.source.beforeHead = () => {
      throw failing("ACCESS_DENIED");
    };
    await expect(prove()).rejects.toMatchObject({ code: "ACCESS_DENIED" });
  });
});
