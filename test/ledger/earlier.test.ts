/** A listing that goes the way of an earlier migration, whose shards and pages were cut anywhere. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareKeys, type ListedObject } from "../../src/core/object.ts";
import { NOTHING_STOOD, stoodAs } from "../../src/core/stood.ts";
import { Earlier, halvesOf, type Ledger, type Shard } from "../../src/ledger/ledger.ts";
import { emptyLedger, MID, object, signal, writePages } from "./story.ts";

const facts = { sealed: true, advisories: [] };
const one = (name: string) => object(name);
const stoodOf = (key: string) => stoodAs(object(key), facts);

/** Cuts sorted keys at the given places; pieces may be empty. */
function cut<T>(all: readonly T[], places: readonly number[]): T[][] {
  const at = [...new Set(places.map((place) => place % (all.length + 1)))].sort((a, b) => a - b);
  return [...at, all.length].map((end, index) => all.slice(at[index - 1] ?? 0, end));
}

/** One migration over the keys, in shards and pages cut as told; `unknown` keys have nothing in their standing record. */
async function migrated(
  keys: readonly string[],
  shardCuts: readonly number[],
  pageCuts: readonly number[],
  unknown: ReadonlySet<string>,
): Promise<Ledger> {
  const pieces = cut(keys, shardCuts).filter((piece) => piece.length > 0);
  const shards = (pieces.length === 0 ? [[]] : pieces).map((_, index, all) => {
    const after = all[index - 1]?.at(-1);
    const until = index === all.length - 1 ? undefined : all[index]?.at(-1);
    const sid = `s${String(index + 1).padStart(4, "0")}`;
    return { sid, ...(after === undefined ? {} : { after }), ...(until === undefined ? {} : { until }) };
  });
  const { ledger } = await emptyLedger(shards);
  for (const [index, shard] of shards.entries()) {
    const all = cut(pieces[index] ?? [], pageCuts).filter((page) => page.length > 0);
    for (const page of await writePages(ledger, shard, all.length === 0 ? [[]] : all)) {
      const { mid, sid, seq } = page.header;
      const objects = page.objects.map(({ key }) => (unknown.has(key) ? NOTHING_STOOD : stoodOf(key))).join("");
      await ledger.hints.putStanding({ v: 1, mid, sid, seq, epoch: 0, objects, pageSha256: page.sha256 }, signal);
    }
  }
  return ledger;
}

const key = fc.stringMatching(/^[a-d\u00e4\uffff]{1,4}$/);
const keysOf = fc.uniqueArray(key, { maxLength: 60 }).map((keys) => keys.sort(compareKeys));
const cuts = fc.array(fc.nat(60), { maxLength: 6 });

describe("an earlier migration", () => {
  it("is remembered for exactly those objects that are as they were, however both are cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        keysOf,
        keysOf,
        fc.record({ shards: cuts, pages: cuts, batches: cuts, lists: cuts }),
        fc.func(fc.constantFrom("same", "same", "changed", "unknown")),
        async (then, now, at, fate) => {
          const unknown = new Set(then.filter((one) => fate(one) === "unknown"));
          const ledger = await migrated(then, at.shards, at.pages, unknown);
          const earlier = new Earlier(ledger, MID);
          const listed = now.map((one) =>
            fate(one) === "changed" ? { ...object(one), lastModifiedMs: 1 } : object(one),
          );
          const found: ListedObject[] = [];
          for (const [number, part] of cut(listed, at.lists).entries()) {
            for (const batch of cut(part, at.batches))
              found.push(...(await earlier.recall(`s${number}`, batch, signal)));
          }
          const expected = listed.map((one) =>
            then.includes(one.key) && fate(one.key) === "same" ? { ...one, stood: stoodOf(one.key) } : one,
          );
          expect(found).toEqual(expected);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("reads each page once while it is followed, and few where it is joined in the middle", async () => {
    const keys = Array.from({ length: 4000 }, (_, index) => `k${String(index).padStart(6, "0")}`);
    const ledger = await migrated(
      keys,
      [],
      Array.from({ length: 400 }, (_, index) => index * 10),
      new Set(),
    );
    let reads = 0;
    const counting = new Proxy(ledger, {
      get: (whole, name) => {
        if (name === "page") return (...args: Parameters<Ledger["page"]>) => (reads++, whole.page(...args));
        const value: unknown = Reflect.get(whole, name, whole);
        return typeof value === "function" ? value.bind(whole) : value;
      },
    });
    const earlier = new Earlier(counting, MID);
    for (let at = 0; at < keys.length; at += 25) {
      const found = await earlier.recall(
        "s0001",
        keys.slice(at, at + 25).map((one) => object(one)),
        signal,
      );
      expect(found.every(({ stood }) => stood !== undefined)).toBe(true);
    }
    // One more for the shard's last page, and a search for the first.
    expect(reads).toBeLessThan(400 + 20);
    reads = 0;
    await earlier.recall(
      "s0002",
      keys.slice(2000, 2010).map((one) => object(one)),
      signal,
    );
    expect(reads).toBeLessThan(14);
  });

  it("whose shard was split goes on in the halves", async () => {
    const { ledger } = await emptyLedger();
    const parent = { sid: "s0001" };
    const header = { v: 1 as const, mid: MID, sid: "s0001", bytes: 2 };
    const first = await ledger.putPage(
      { ...header, seq: 1, end: "b", count: 2, isLast: false },
      ["a", "b"].map(one),
      signal,
    );
    const chain = { after: "b", end: "b", prevSha256: first.sha256, split: { at: "d" } };
    const end = await ledger.putPage({ ...header, ...chain, seq: 2, count: 0, bytes: 0, isLast: true }, [], signal);
    const [left, right] = halvesOf(parent, end.header);
    const pages = [first];
    for (const [half, keys] of [
      [left, ["c", "d"]],
      [right, ["e"]],
    ] as const) {
      await ledger.nameShard(MID, half as Shard, signal);
      pages.push(...(await writePages(ledger, half as Shard, [keys])));
    }
    for (const {
      header: { mid, sid, seq },
      objects: on,
      sha256,
    } of pages) {
      const objects = on.map(({ key }) => stoodOf(key)).join("");
      await ledger.hints.putStanding({ v: 1, mid, sid, seq, epoch: 0, objects, pageSha256: sha256 }, signal);
    }
    const found = await new Earlier(ledger, MID).recall("s0001", ["a", "b", "bb", "c", "d", "e", "f"].map(one), signal);
    expect(found.flatMap(({ key, stood }) => (stood === stoodOf(key) ? [key] : []))).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("is not believed about another page than the one its record was written for", async () => {
    const { ledger } = await emptyLedger();
    await writePages(ledger, { sid: "s0001" }, [["a"]]);
    const strange = { v: 1 as const, mid: MID, sid: "s0001", seq: 1, epoch: 0, objects: stoodOf("a") };
    await ledger.hints.putStanding({ ...strange, pageSha256: "0".repeat(64) }, signal);
    const [found] = await new Earlier(ledger, MID).recall("s0001", [object("a")], signal);
    expect(found?.stood).toBeUndefined();
  });
});
