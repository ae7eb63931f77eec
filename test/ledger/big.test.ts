/** Huge objects in the ledger: a page's outcome is whole only with theirs, for the audit, the rebuild and the sums written down. */
import { describe, expect, it } from "vitest";
import { asSealiftError, type Code } from "../../src/core/error.ts";
import { sumCounts } from "../../src/core/plan.ts";
import {
  type BigDoneRecord,
  type BigRecord,
  bidOf,
  type DoneRecord,
  type Ledger,
  type Page,
  placeOf,
} from "../../src/ledger/ledger.ts";
import { doneOf, emptyLedger, MID, planOf, signal, writePages } from "./story.ts";

const shard = { sid: "s0001" };
const AT = "2026-01-01T00:00:02.000Z";

/** As doneOf, with these keys deferred. */
function deferring(page: Page, keys: readonly string[], epoch = 0): DoneRecord {
  const done = doneOf(page, {}, epoch);
  const deferred = page.objects.flatMap(({ key }, index) => (keys.includes(key) ? [index] : []));
  const letters = done.outcomes.split("").map((letter, index) => (deferred.includes(index) ? "d" : letter));
  const counts = { ...done.counts, rewrapped: done.counts.rewrapped - deferred.length };
  return { ...done, outcomes: letters.join(""), counts, bytes: 0, verified: 0, deferred };
}

function bigDone(page: Page, index: number, change: Partial<BigDoneRecord> = {}, epoch = 0): BigDoneRecord {
  const { sid, seq } = page.header;
  return {
    v: 1,
    mid: MID,
    bid: bidOf({ sid, seq, index, epoch }),
    outcome: "rewrapped",
    bytes: 1000,
    verified: true,
    crc32c: 7,
    pageSha256: page.sha256,
    worker: "test",
    startedAt: AT,
    endedAt: AT,
    ...change,
  };
}

const failed = (key: string): Partial<BigDoneRecord> => ({
  outcome: "failed",
  bytes: 0,
  verified: false,
  problem: { key, outcome: "failed", code: "NET_TIMEOUT", message: "slow", attempts: 3 },
});

async function pages(lists: readonly (readonly string[])[]): Promise<{ ledger: Ledger; written: Page[] }> {
  const { ledger } = await emptyLedger();
  return { ledger, written: await writePages(ledger, shard, lists) };
}

async function codeOf(promise: Promise<unknown>): Promise<Code> {
  return promise.then(
    () => {
      throw new Error("it was expected to fail");
    },
    (error: unknown) => asSealiftError(error).code,
  );
}

const summary = (ledger: Ledger) => ledger.summarize(planOf([shard]), shard, signal);

describe("a page with huge objects", () => {
  it("is open until each of them has ended, and then sums to what was listed", async () => {
    const { ledger, written } = await pages([["a", "b", "c", "d"]]);
    const [page] = written as [Page];
    await ledger.putDone(deferring(page, ["b", "d"]), signal);
    expect((await summary(ledger)).big).toEqual(["s0001.1.1.e0", "s0001.1.3.e0"]);
    expect(await codeOf(ledger.audit(MID, AT, signal))).toBe("INCOMPLETE");
    await ledger.big.putDone(bigDone(page, 1), signal);
    const half = await summary(ledger);
    expect(half.big).toEqual(["s0001.1.3.e0"]);
    expect(half.totals).toMatchObject({ listed: 4, bytes: 1000, verified: 1, counts: { rewrapped: 3 } });
    expect(await codeOf(ledger.audit(MID, AT, signal))).toBe("INCOMPLETE");
    await ledger.big.putDone(bigDone(page, 3, failed("d")), signal);
    const whole = await ledger.audit(MID, AT, signal);
    expect(whole).toMatchObject({ state: "CompletedWithErrors", listed: 4, codes: { NET_TIMEOUT: 1 } });
    expect(sumCounts(whole.counts)).toBe(4);
    const { done, open } = (await ledger.outcome(MID, "s0001", 1, 0, signal)) ?? { done: undefined, open: ["?"] };
    expect(open).toEqual([]);
    expect(done).toMatchObject({ outcomes: "wwwf", problems: [{ key: "d" }], deferred: [] });
    expect((await summary(ledger)).totals).toMatchObject({ counts: whole.counts, bytes: whole.bytes });
  });

  it("of a later epoch takes the place of what it deferred before", async () => {
    const { ledger, written } = await pages([["a", "b"]]);
    const [page] = written as [Page];
    await ledger.putDone(deferring(page, ["b"]), signal);
    await ledger.big.putDone(bigDone(page, 1, failed("b")), signal);
    await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [["s0001", 1]], at: AT }, signal);
    const again = deferring(page, ["b"], 1);
    await ledger.putDone(again, signal);
    const open = await summary(ledger);
    expect(open.big).toEqual(["s0001.1.1.e1"]);
    expect(open.totals).toMatchObject({ listed: 2, counts: { rewrapped: 1, failed: 0 }, codes: {} });
    await ledger.big.putDone(bigDone(page, 1, {}, 1), signal);
    expect(await ledger.audit(MID, AT, signal)).toMatchObject({ state: "Completed", epoch: 1, listed: 2, codes: {} });
    expect((await summary(ledger)).totals).toMatchObject({ listed: 2, counts: { rewrapped: 2, failed: 0 } });
  });

  it("is not in a checkpoint before all of it is known", async () => {
    const { ledger, written } = await pages([["a"], ["b"], ["c"]]);
    const [one, two, three] = written as [Page, Page, Page];
    await ledger.putDone(doneOf(one), signal);
    await ledger.putDone(deferring(two, ["b"]), signal);
    await ledger.putDone(doneOf(three), signal);
    await ledger.checkpoint(MID, "s0001", 3, 2, signal);
    expect(await ledger.ckpt(MID, "s0001", signal)).toBeUndefined();
    await ledger.big.putDone(bigDone(two, 0), signal);
    const before = (await summary(ledger)).totals;
    await ledger.checkpoint(MID, "s0001", 3, 2, signal);
    expect(await ledger.ckpt(MID, "s0001", signal)).toMatchObject({ seq: 2, counts: { rewrapped: 2 } });
    expect((await summary(ledger)).totals).toEqual(before);
  });

  it.each<[string, (done: DoneRecord) => DoneRecord]>([
    ["that counts a huge object as well", (done) => ({ ...done, counts: { ...done.counts, rewrapped: 2 } })],
    ["whose letters do not say which", (done) => ({ ...done, outcomes: "ww" })],
    ["that defers one twice", (done) => ({ ...done, deferred: [1, 1] })],
    ["that defers one it does not have", (done) => ({ ...done, deferred: [7] })],
    ["that forgets which", (done) => ({ ...done, deferred: [] })],
  ])("%s is no outcome", async (_, damage) => {
    const { ledger, written } = await pages([["a", "b"]]);
    const [page] = written as [Page];
    await ledger.putDone(damage(deferring(page, ["b"])), signal);
    await ledger.big.putDone(bigDone(page, 1), signal);
    expect(await codeOf(ledger.audit(MID, AT, signal))).toBe("LEDGER_BROKEN");
  });

  it.each<[string, (done: BigDoneRecord) => BigDoneRecord]>([
    ["of another page", (done) => ({ ...done, pageSha256: "0".repeat(64) })],
    ["that failed and does not say of what", (done) => ({ ...done, outcome: "failed" })],
  ])("is not ended by an outcome %s", async (_, damage) => {
    const { ledger, written } = await pages([["a", "b"]]);
    const [page] = written as [Page];
    await ledger.putDone(deferring(page, ["b"]), signal);
    await ledger.big.putDone(damage(bigDone(page, 1)), signal);
    expect(await codeOf(ledger.audit(MID, AT, signal))).toBe("LEDGER_BROKEN");
  });
});

describe("a huge object's records", () => {
  const bid = "s0001abba.12.37.e4";
  const upload = (turn: number, uploadId: string): BigRecord => ({
    v: 1,
    mid: MID,
    bid,
    turn,
    pageSha256: "0".repeat(64),
    uploadId,
    outcome: "rewrapped",
    sizeBytes: 100,
    partBytes: 10,
    groupParts: 2,
    fixed: { names: ["contentType"], sha256: "1".repeat(64) },
    worker: "test",
    at: AT,
  });

  it("are called after its place, and back", () => {
    const place = { sid: "s0001abba", seq: 12, index: 37, epoch: 4 };
    expect(bidOf(place)).toBe(bid);
    expect(placeOf(bid)).toEqual(place);
    for (const wrong of [
      "",
      "s0001",
      "s0001.0.1.e0",
      "s0001.1.1000.e0",
      "s0001.1.1.e0.x",
      "../s0001.1.1.e0",
      "s0001c.1.1.e0",
    ])
      expect(placeOf(wrong), wrong).toBeUndefined();
  });

  it("are the first writer's, turn by turn", async () => {
    const { ledger } = await emptyLedger();
    expect(await ledger.big.latest(MID, bid, signal)).toBeUndefined();
    expect((await ledger.big.begin(upload(1, "mine"), signal)).uploadId).toBe("mine");
    expect((await ledger.big.begin(upload(1, "theirs"), signal)).uploadId).toBe("mine");
    await ledger.big.begin(upload(2, "second"), signal);
    expect((await ledger.big.latest(MID, bid, signal))?.uploadId).toBe("second");
    expect((await ledger.big.upload(MID, bid, 1, signal))?.uploadId).toBe("mine");
  });

  it("keep every witness of a part, and not without end", async () => {
    const { ledger } = await emptyLedger();
    const one = upload(1, "mine");
    await ledger.big.putWitness(
      one,
      0,
      [
        [1, "a", 11],
        [2, "b", 22],
      ],
      signal,
    );
    await ledger.big.putWitness(one, 0, [[2, "c", 33]], signal);
    await ledger.big.putWitness(one, 10, [[21, "d", 44]], signal);
    const known = await ledger.big.witnesses(one, signal);
    expect(known.get(1)).toEqual([{ tag: "a", crc32c: 11 }]);
    expect(known.get(2)).toEqual([
      { tag: "b", crc32c: 22 },
      { tag: "c", crc32c: 33 },
    ]);
    expect(known.get(21)).toEqual([{ tag: "d", crc32c: 44 }]);
    expect((await ledger.big.witnesses(upload(2, "x"), signal)).size).toBe(0);
    const fill = async () => {
      for (let i = 0; i < 20; i++) await ledger.big.putWitness(one, 0, [[1, `t${i}`, i]], signal);
    };
    expect(await codeOf(fill())).toBe("LEDGER_BROKEN");
  });

  it("that name another object are broken", async () => {
    const { ledger, store } = await emptyLedger();
    const { body } = { body: Buffer.from(`${JSON.stringify(upload(1, "x"))}\n`) };
    const name = `ledger/${MID}/big/s0001.1.1.e0.t1.json`;
    const put = { sizeBytes: body.length, attributes: { metadata: new Map() }, condition: "any" as const, signal };
    const once = async function* () {
      yield body;
    };
    await store.put(name, once(), put);
    expect(await codeOf(ledger.big.upload(MID, "s0001.1.1.e0", 1, signal))).toBe("LEDGER_BROKEN");
  });
});
