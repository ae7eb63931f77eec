import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Archive } from "../../src/ledger/archive.ts";
import { SealiftError } from "../../src/core/error.ts";
import { compareKeys } from "../../src/core/object.ts";
import { sumCounts } from "../../src/core/plan.ts";
import { decodePage, encodePage } from "../../src/ledger/codec.ts";
import { doneOf, emptyLedger, MID, object, planOf, signal, writePages } from "./story.ts";

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof SealiftError ? error.code : String(error)),
  );

const SHARD = { sid: "s0001" };

describe("pages", () => {
  it("come back as they were written, whatever the keys", () => {
    const keys = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 60, unit: "grapheme" }), { maxLength: 20 });
    fc.assert(
      fc.property(keys, (names) => {
        const objects = names.sort(compareKeys).map((key) => object(key));
        const header = { v: 1 as const, mid: MID, sid: "s0001", seq: 1, count: objects.length, bytes: 0, isLast: true };
        const page = decodePage(encodePage(header, objects), "p");
        expect(page.objects.map(({ key }) => key)).toEqual(names);
        expect(page.header).toEqual(header);
      }),
    );
  });

  it("are refused before they are written where they could not be read back", async () => {
    const { ledger } = await emptyLedger();
    const header = { v: 1 as const, mid: MID, sid: "s0001", seq: 1, count: 1, bytes: 1, isLast: true };
    for (const row of [{ etag: "e".repeat(300) }, { sizeBytes: -1 }, { key: "" }, { lastModifiedMs: Number.NaN }])
      expect(await code(ledger.putPage(header, [{ ...object("a"), ...row }], signal))).toBe("LIST_BROKEN");
    expect(await ledger.page(MID, "s0001", 1, signal)).toBeUndefined();
  });

  it("are refused when cut, foreign, or made to explode", async () => {
    const { ledger, store } = await emptyLedger();
    const name = `${MID}/pages/s0001/000000001.ndjson.gz`;
    await new Archive(store, "ledger/").putNew(name, gzipSync(Buffer.alloc(64 * 1024 * 1024)), signal);
    expect(await code(ledger.page(MID, "s0001", 1, signal))).toBe("LEDGER_BROKEN");
    await new Archive(store, "ledger/").putNew(
      `${MID}/pages/s0001/000000002.ndjson.gz`,
      Buffer.from("not gzip"),
      signal,
    );
    expect(await code(ledger.page(MID, "s0001", 2, signal))).toBe("LEDGER_BROKEN");
  });

  it("are adopted when another lister wrote them first", async () => {
    const { ledger } = await emptyLedger();
    const [first] = await writePages(ledger, SHARD, [["a", "b"], ["c"]]);
    const header = { ...(first?.header as NonNullable<typeof first>["header"]), end: "a", count: 1, bytes: 1 };
    const adopted = await ledger.putPage(header, [object("a")], signal);
    expect(adopted.objects.map(({ key }) => key)).toEqual(["a", "b"]);
    expect(adopted.sha256).toBe(first?.sha256);
  });
});

describe("records", () => {
  it("plan and outcome are written once; the first writer wins", async () => {
    const { ledger } = await emptyLedger();
    expect(await code(ledger.putPlan(planOf([SHARD]), signal))).toBe("LEDGER_EXISTS");
    const [page] = await writePages(ledger, SHARD, [["a", "b"]]);
    if (!page) throw new Error("no page");
    const first = await ledger.putDone(doneOf(page), signal);
    const second = await ledger.putDone(doneOf(page, { a: "failed" }), signal);
    expect(second).toEqual(first);
  });

  it("an unknown migration is JOB_UNKNOWN, also when its id is a path", async () => {
    const { ledger } = await emptyLedger();
    expect(await code(ledger.plan("20260101-000000-ffffff", signal))).toBe("JOB_UNKNOWN");
    expect(await code(ledger.plan("../../etc/passwd", signal))).toBe("JOB_UNKNOWN");
  });

  it("edited records are LEDGER_BROKEN and name the record", async () => {
    const { ledger, store } = await emptyLedger();
    await new Archive(store, "ledger/").putNew(
      `${MID}/done/s0001/000000001.e0.json`,
      Buffer.from('{"v":1,"mid":"x"}'),
      signal,
    );
    await expect(ledger.done(MID, "s0001", 1, 0, signal)).rejects.toThrow(/done\/s0001\/000000001/);
  });

  it("events come back as they were written, whatever the clocks of those who wrote them", async () => {
    const { ledger } = await emptyLedger();
    const by = "somebody";
    await ledger.putEvent(MID, { action: "pause", at: "2036-01-01T00:00:00.000Z", by }, signal);
    const actions = ["resume", "cancel"] as const;
    for (const action of actions) await ledger.putEvent(MID, { action, at: "2016-01-01T00:00:00.000Z", by }, signal);
    expect((await ledger.events(MID, signal)).map(({ action }) => action)).toEqual(["start", "pause", ...actions]);
    const many = Array.from({ length: 8 }, () => ledger.putEvent(MID, { action: "resume", at: "x", by }, signal));
    await Promise.all(many);
    expect((await ledger.events(MID, signal)).length).toBe(12);
  });

  it("what is none of ours among the records is passed over", async () => {
    const { ledger, store } = await emptyLedger();
    const pages = await writePages(ledger, SHARD, [["a"], ["b"]]);
    for (const page of pages) await ledger.putDone(doneOf(page), signal);
    const archive = new Archive(store, "ledger/");
    for (const name of ["pages/s0001/", "pages/s0001/README.txt", "done/s0001/", "done/s0001/x.json", "retry/"])
      await archive.putNew(`${MID}/${name}`, Buffer.from("x"), signal);
    expect(await ledger.summarize(planOf([SHARD]), SHARD, signal)).toMatchObject({ next: 3, watermark: 2, last: 2 });
    expect((await ledger.audit(MID, "2026-01-01T00:00:00.000Z", signal)).listed).toBe(2);
  });

  it("migrations are found with nothing but the ledger", async () => {
    const { ledger } = await emptyLedger();
    for (const mid of ["20260102-000000-aaaaaa", "20260101-000000-zzz"])
      await ledger.putPlan({ ...planOf([SHARD]), mid }, signal);
    const found: string[] = [];
    for await (const mid of ledger.migrations(signal)) found.push(mid);
    expect(found).toEqual(["20260101-000000-abcdef", "20260101-000000-zzz", "20260102-000000-aaaaaa"]);
  });
});

describe("rebuild", () => {
  it("says where listing and copying stand", async () => {
    const { ledger } = await emptyLedger();
    const pages = await writePages(ledger, SHARD, [["a"], ["b"], ["c", "d"], ["e"]]);
    for (const index of [0, 2])
      await ledger.putDone(doneOf(pages[index] as (typeof pages)[0], { c: "failed" }), signal);
    const summary = await ledger.summarize(planOf([SHARD]), SHARD, signal);
    expect(summary).toMatchObject({ next: 5, watermark: 1, outOfOrder: [3], last: 4 });
    expect(summary.totals).toMatchObject({ listed: 5, codes: { NET_TIMEOUT: 1 } });
    expect(summary.totals.counts).toMatchObject({ rewrapped: 2, failed: 1 });
  });

  it("gives the same sums with and without checkpoints, for any outcomes in any order", async () => {
    const outcome = fc.constantFrom("rewrapped", "resealed", "failed", "already", "refused" as const);
    const run = fc.record({
      pages: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 12 }),
      outcomes: fc.array(outcome, { minLength: 36, maxLength: 36 }),
      skipped: fc.integer({ min: 0, max: 11 }),
      retried: fc.array(fc.integer({ min: 0, max: 11 }), { maxLength: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(run, async ({ pages: sizes, outcomes, skipped, retried }) => {
        const { ledger } = await emptyLedger();
        let n = 0;
        const names = sizes.map((size) => Array.from({ length: size }, () => `k${String(n++).padStart(4, "0")}`));
        const pages = await writePages(ledger, SHARD, names);
        const fates = Object.fromEntries(names.flat().map((key, index) => [key, outcomes[index] ?? "already"]));
        for (const [index, page] of pages.entries())
          if (index !== skipped) await ledger.putDone(doneOf(page, fates), signal);
        for (const index of new Set(retried)) {
          const page = pages[index];
          if (page && index !== skipped) await ledger.putDone(doneOf(page, {}, 1), signal);
        }
        const before = await ledger.summarize(planOf([SHARD]), SHARD, signal);
        for (let i = 0; i < 4; i++) await ledger.checkpoint(MID, SHARD.sid, before.watermark, 3, signal);
        const after = await ledger.summarize(planOf([SHARD]), SHARD, signal);
        expect(after).toEqual(before);
        expect(before.totals.listed).toBe(n);
        const open = pages[skipped]?.header.count ?? 0;
        expect(sumCounts(before.totals.counts)).toBe(n - open);
      }),
      { numRuns: 60 },
    );
  });

  it("a page that somebody removed is noticed", async () => {
    const { ledger, store } = await emptyLedger();
    await writePages(ledger, SHARD, [["a"], ["b"], ["c"]]);
    await store.remove(`ledger/${MID}/pages/s0001/000000002.ndjson.gz`, signal);
    expect(await code(ledger.summarize(planOf([SHARD]), SHARD, signal))).toBe("LEDGER_BROKEN");
  });
});
