import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { crc32c } from "../../src/core/crc32c.ts";
import type { Code } from "../../src/core/error.ts";
import { SealiftError } from "../../src/core/error.ts";
import { compareKeys, type ListedObject } from "../../src/core/object.ts";
import type { Receipt } from "../../src/core/receipt.ts";
import { copyPage, type PageLimits } from "../../src/transfer/page.ts";
import type { Rules } from "../../src/transfer/shores.ts";
import { bytesOf, errorOf, Harbour, headOf, inFlight, type KeyRing, makeKeyRing, rulesOf } from "./harness.ts";
import { failing } from "./wayward.ts";

let ring: KeyRing;
let harbour: Harbour;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
});

const copy = (objects: readonly ListedObject[], change: Partial<Rules> = {}, limits: Partial<PageLimits> = {}) => {
  const range = { after: undefined, until: objects.at(-1)?.key };
  return copyPage(objects, range, harbour.shores(), rulesOf(change), { ...inFlight(), ...limits });
};

const sealedPage = async (count: number): Promise<ListedObject[]> => {
  const page: ListedObject[] = [];
  for (let i = 0; i < count; i++)
    page.push(await harbour.sealed(`k${String(i).padStart(3, "0")}`, randomBytes(50 + i)));
  return page;
};

const outcomes = (receipts: readonly Receipt[]) => receipts.map(({ outcome }) => outcome);
const countCalls = (calls: readonly string[], verb: string) => calls.filter((call) => call.startsWith(verb)).length;

describe("a page", () => {
  it("gives one receipt for every object, in its order, each as its error says", async () => {
    const page = [
      await harbour.sealed("a", Buffer.from("a")),
      await harbour.plain("b", Buffer.from("b")),
      await harbour.plain("c", Buffer.from("c")),
      await harbour.sealed("d", Buffer.from("d")),
      await harbour.raw(harbour.source, "e", Buffer.from("e"), { metadata: new Map([["x-amz-iv", "AAAA"]]) }),
      await harbour.sealed("f", Buffer.from("f")),
      await harbour.sealed("g", Buffer.from("g")),
      await harbour.sealed("h", Buffer.from("h")),
    ];
    await harbour.raw(harbour.destination, "d", Buffer.from("precious"));
    await harbour.source.inner.remove("f", inFlight().signal);
    await copy(page.slice(6, 7));
    const receipts = await copy(page, { filter: ({ key }) => key !== "b" });
    expect(receipts.map(({ key }) => key)).toEqual(page.map(({ key }) => key));
    expect(outcomes(receipts)).toEqual(
      "rewrapped filtered resealed conflict refused failed already rewrapped".split(" "),
    );
    expect(
      receipts
        .slice(0, 3)
        .concat(receipts.slice(6))
        .flatMap(({ code }) => code ?? []),
    ).toEqual([]);
    expect(receipts.slice(3, 6).map(({ code }) => code)).toEqual([
      "CONFLICT",
      expect.stringMatching(/^SEAL_/),
      "STORE_NOT_FOUND",
    ]);
    expect(await headOf(harbour.destination, "b")).toBeUndefined();
    expect(await bytesOf(harbour.destination, "d")).toEqual(Buffer.from("precious"));
  });

  it("of nothing, or of nothing that takes part, asks nobody", async () => {
    expect(await copy([])).toEqual([]);
    const page = await sealedPage(3);
    expect(outcomes(await copy(page, { filter: () => false }))).toEqual(["filtered", "filtered", "filtered"]);
    expect([...harbour.source.calls, ...harbour.destination.calls]).toEqual([]);
  });

  const refusals: Code[] = [
    "SEAL_FORGED",
    "METADATA_UNFIT",
    "NAME_UNFIT",
    "TOO_LARGE",
    "KMS_KEY_NOT_ALLOWED",
    "KEY_CONTEXT",
  ];
  const failures: Code[] = ["ACCESS_DENIED", "KMS_KEY_UNUSABLE", "KMS_CANNOT_OPEN", "STORE_ARCHIVED", "INTERNAL"];
  it("tells refusals from failures", async () => {
    for (const code of [...refusals, ...failures]) {
      const [object] = await sealedPage(1);
      harbour.source.beforeOpen = () => {
        throw failing(code, "x".repeat(1000));
      };
      const [receipt] = object ? await copy([object]) : [];
      expect([code, receipt?.outcome]).toEqual([code, refusals.includes(code) ? "refused" : "failed"]);
      expect(receipt).toMatchObject({ code, attempts: 1, bytes: 0, verified: false });
      expect(receipt?.message).toHaveLength(300);
    }
  });

  it("asks for one listing, not for one HEAD an object", async () => {
    const page = await sealedPage(20);
    await copy(page);
    expect([countCalls(harbour.destination.calls, "list"), countCalls(harbour.destination.calls, "head")]).toEqual([
      1, 0,
    ]);
    await copy(page);
    expect([countCalls(harbour.destination.calls, "list"), countCalls(harbour.destination.calls, "head")]).toEqual([
      2, 20,
    ]);
    expect(countCalls(harbour.destination.calls, "put")).toBe(20);
  });

  describe("that an earlier migration left at the destination", () => {
    /** A second pass, its objects listed as the first one left them. */
    const again = async (count: number) => {
      const page = await sealedPage(count);
      const left = new Map((await copy(page)).map(({ key, stood }) => [key, stood]));
      harbour.destination.calls.length = 0;
      harbour.source.calls.length = 0;
      return page.map((object) => ({ ...object, stood: left.get(object.key) }));
    };

    it("costs one listing where nothing has changed since, and is remembered once more", async () => {
      const page = await again(20);
      const receipts = await copy(page);
      expect(new Set(outcomes(receipts))).toEqual(new Set(["already"]));
      expect([...harbour.source.calls, ...harbour.destination.calls]).toHaveLength(1);
      expect(receipts.map(({ stood }) => stood)).toEqual(page.map(({ stood }) => stood));
    });

    it("is asked about where it was written since, deleted, or where the job wants every key opened", async () => {
      const page = await again(4);
      const [key, gone] = [page[1]?.key ?? "", page[2]?.key ?? ""];
      const bytes = await bytesOf(harbour.destination, key);
      await harbour.raw(harbour.destination, key, bytes, { metadata: new Map([["owner", "else"]]) });
      await harbour.destination.inner.remove(gone, inFlight().signal);
      expect(outcomes(await copy(page))).toEqual(["already", "conflict", "rewrapped", "already"]);
      harbour = new Harbour(ring);
      const asked = await again(2);
      expect((await copy(asked, { verify: "full" })).map(({ verified }) => verified)).toEqual([true, true]);
    });

    it("is asked about where it has no envelope and a file that could be one stands beside it now, or could", async () => {
      const [a, b] = [await harbour.plain("a", Buffer.from("a")), await harbour.plain("b", Buffer.from("b"))];
      const left = await copy([a, b]);
      const listed = [a, b].map((object, index) => ({ ...object, stood: left[index]?.stood }));
      harbour.destination.calls.length = 0;
      await copy(listed);
      // Behind the last key of the page a listing shows nothing.
      expect(harbour.destination.calls.filter((call) => call.startsWith("head"))).toHaveLength(1);
      const file = await harbour.plain("a.instruction", Buffer.from("{}"));
      harbour.destination.calls.length = 0;
      await copy([listed[0] as ListedObject, file, listed[1] as ListedObject]);
      expect(harbour.destination.calls.filter((call) => call.startsWith("head"))).toHaveLength(2);
    });
  });

  it("takes no broken listing for an empty destination", async () => {
    const page = await sealedPage(3);
    await copy(page);
    harbour.destination.beforeList = () => {
      throw failing("LIST_BROKEN");
    };
    expect(outcomes(await copy(page))).toEqual(["already", "already", "already"]);
    expect(countCalls(harbour.destination.calls, "put")).toBe(3);
  });

  it("is not held up by a destination that holds far more than it does", async () => {
    const page = await sealedPage(2);
    await copy(page);
    const [first, last] = [page[0]?.key ?? "", page[1]?.key ?? ""];
    for (let i = 0; i < 5000; i++)
      await harbour.raw(harbour.destination, `${first}/${String(i).padStart(5, "0")}`, Buffer.alloc(0));
    expect(compareKeys(`${first}/00000`, last)).toBeLessThan(0);
    harbour.destination.calls.length = 0;
    expect(outcomes(await copy(page))).toEqual(["already", "already"]);
  });

  it("works under its prefixes and from where the page begins", async () => {
    const page: ListedObject[] = [];
    for (const key of ["in/a", "in/b", "in/c"]) page.push(await harbour.sealed(key, Buffer.from(key)));
    await harbour.raw(harbour.destination, "out/a", Buffer.from("precious"));
    const shores = harbour.shores({ source: "in/", destination: "out/" });
    const receipts = await copyPage(page.slice(1), { after: "in/a", until: "in/c" }, shores, rulesOf(), inFlight());
    expect(outcomes(receipts)).toEqual(["rewrapped", "rewrapped"]);
    const again = await copyPage(page, { after: "before/", until: "in/c" }, shores, rulesOf(), inFlight());
    expect(outcomes(again)).toEqual(["conflict", "already", "already"]);
  });
});

describe("what may succeed later", () => {
  it("is tried again from byte 0, as often as the job says", async () => {
    const page = [await harbour.sealed("a", randomBytes(400_000))];
    let failures = 2;
    harbour.source.changeBody = async function* (body) {
      for await (const chunk of body) {
        yield chunk;
        if (failures-- > 0) throw failing("NET_UNREACHABLE");
      }
    };
    expect(await copy(page, { attempts: 3 })).toMatchObject([{ outcome: "rewrapped", attempts: 3 }]);
    expect((await bytesOf(harbour.destination, "a")).equals(await bytesOf(harbour.source, "a"))).toBe(true);
    harbour = new Harbour(ring);
    const other = [await harbour.sealed("a", Buffer.from("text"))];
    harbour.source.beforeOpen = () => {
      throw failing("NET_UNREACHABLE");
    };
    expect(await copy(other, { attempts: 3 })).toMatchObject([
      { outcome: "failed", code: "NET_UNREACHABLE", attempts: 3 },
    ]);
    expect(countCalls(harbour.source.calls, "open")).toBe(3);
  });

  it("asks the destination again once a put may have happened", async () => {
    const page = await sealedPage(1);
    harbour.destination.afterPut = () => {
      harbour.destination.afterPut = () => {};
      throw failing("NET_TIMEOUT");
    };
    expect(await copy(page)).toMatchObject([{ outcome: "already", attempts: 2 }]);
    expect(countCalls(harbour.destination.calls, "put")).toBe(1);
    expect(countCalls(harbour.destination.calls, "remove")).toBe(0);
  });

  it("outlives more throttling than errors", async () => {
    const page = await sealedPage(1);
    let throttles = 12;
    harbour.sourceKms.before = () => {
      if (throttles-- > 0) throw failing("THROTTLED");
    };
    expect(await copy(page, { attempts: 3 })).toMatchObject([{ outcome: "rewrapped", attempts: 13 }]);
    harbour.sourceKms.before = () => {
      throw failing("THROTTLED");
    };
    harbour.destination = new Harbour(ring).destination;
    expect(await copy(page, { attempts: 1 })).toMatchObject([{ outcome: "failed", code: "THROTTLED" }]);
  });

  it("waits as long as the provider asks", async () => {
    const page = await sealedPage(1);
    const asked: number[] = [];
    harbour.sourceKms.before = () => {
      asked.push(Date.now());
      if (asked.length === 1) throw new SealiftError("THROTTLED", "slow down", { retryAfterMs: 60 });
    };
    await copy(page);
    const [first = 0, second = 0] = asked;
    // Timers and the clock may differ by a millisecond.
    expect(second - first).toBeGreaterThanOrEqual(58);
  });
});

describe("verifying", () => {
  const verified = (receipts: readonly Receipt[]) =>
    receipts.filter((receipt) => receipt.verified).map(({ key }) => key);

  it("takes none, all, or the first and one in a hundred by name", async () => {
    const page: ListedObject[] = [];
    for (let i = 0; i < 300; i++) page.push(await harbour.plain(`k${String(i).padStart(3, "0")}`, Buffer.from("x")));
    const chosen = page.filter(({ key }) => crc32c(Buffer.from(key)) % 100 === 0).map(({ key }) => key);
    expect(chosen.length).toBeGreaterThan(0);
    const skipped = (object: ListedObject) => object.key !== "k000";
    const fresh = async (verify: Rules["verify"]) => {
      harbour.destination = new Harbour(ring).destination;
      return verified(await copy(page, { verify, filter: skipped }));
    };
    expect(await fresh("none")).toEqual([]);
    expect(await fresh("full")).toHaveLength(299);
    expect(await fresh("sample")).toEqual([...new Set(["k001", ...chosen])].sort());
  });
});

describe("stopping", () => {
  it("by the signal throws INTERRUPTED once everything in hand has ended", async () => {
    const page = await sealedPage(10);
    const stop = new AbortController();
    let inHand = 0;
    harbour.destination.beforePut = async () => {
      inHand++;
      stop.abort();
      await new Promise((resolve) => setTimeout(resolve, 20));
      inHand--;
    };
    expect((await errorOf(copy(page, {}, { signal: stop.signal }))).code).toBe("INTERRUPTED");
    expect(inHand).toBe(0);
    expect(harbour.leaked()).toBe(0);
    expect((await errorOf(copy(page, {}, { signal: stop.signal }))).code).toBe("INTERRUPTED");
  });

  it("while waiting to try again does not wait any longer", async () => {
    const page = await sealedPage(1);
    const stop = new AbortController();
    harbour.source.beforeOpen = () => {
      setTimeout(() => stop.abort(), 10);
      throw failing("NET_UNREACHABLE");
    };
    const error = await errorOf(copy(page, { delayMs: 3_600_000 }, { signal: stop.signal }));
    expect(error.code).toBe("INTERRUPTED");
  });

  it("by its owner begins no other object and lets those in hand arrive", async () => {
    const page = await sealedPage(10);
    let begun = 0;
    const onObject = async () => {
      if (++begun > 3) throw failing("INTERRUPTED", "the worker is ending");
    };
    const error = await errorOf(copy(page, {}, { onObject, objects: new Budget(2) }));
    expect([error.code, error.message]).toEqual(["INTERRUPTED", "the worker is ending"]);
    expect(begun).toBeLessThanOrEqual(5);
    const arrived = await Promise.all(page.map(({ key }) => headOf(harbour.destination, key)));
    expect(arrived.filter((head) => head !== undefined)).toHaveLength(3);
  });
});

it("objects in flight keep to the budget, and to one where the page is suspect", async () => {
  const page = await sealedPage(12);
  for (const [serial, most] of [
    [false, 3],
    [true, 1],
  ] as const) {
    harbour.destination = new Harbour(ring).destination;
    let now = 0;
    let peak = 0;
    const begun: string[] = [];
    const onObject = async (key: string) => {
      begun.push(key);
    };
    harbour.destination.beforePut = async () => {
      peak = Math.max(peak, ++now);
      await new Promise((resolve) => setTimeout(resolve, 2));
      now--;
    };
    await copy(page, {}, { objects: new Budget(3), serial, onObject });
    expect(peak).toBe(most);
    expect(begun).toEqual(page.map(({ key }) => key));
  }
});
