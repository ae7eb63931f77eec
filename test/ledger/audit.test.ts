import { describe, expect, it } from "vitest";
import { SealiftError } from "../../src/core/error.ts";
import type { DoneRecord, Page, Shard } from "../../src/ledger/ledger.ts";
import { doneOf, emptyLedger, MID, object, signal, writePages } from "./story.ts";

const AT = "2026-01-02T00:00:00.000Z";
const SHARDS: Shard[] = [
  { sid: "s0001", until: "m" },
  { sid: "s0002", after: "m" },
];
const PAGES = [
  [["a", "b"], ["c"]],
  [["n"], ["x", "y", "z"]],
];

/** A whole migration, with one record changed on the way in. */
async function auditOf(
  change: { done?: (done: DoneRecord) => DoneRecord; shards?: Shard[]; skipDone?: boolean } = {},
): Promise<string> {
  const { ledger } = await emptyLedger(change.shards ?? SHARDS);
  for (const [index, shard] of SHARDS.entries()) {
    const pages = await writePages(ledger, shard, PAGES[index] ?? []);
    for (const page of pages) {
      const isLastOfAll = index === 1 && page.header.isLast;
      if (isLastOfAll && change.skipDone) continue;
      const done = doneOf(page, { y: "failed" });
      await ledger.putDone(isLastOfAll && change.done ? change.done(done) : done, signal);
    }
  }
  return ledger.audit(MID, AT, signal).then(
    (result) => `${result.state} ${result.listed}`,
    (error: unknown) => (error instanceof SealiftError ? error.code : String(error)),
  );
}

describe("audit", () => {
  it("accounts for every listed object", async () => {
    expect(await auditOf()).toBe("CompletedWithErrors 7");
  });

  it("refuses to close a migration with a page without outcome", async () => {
    expect(await auditOf({ skipDone: true })).toBe("INCOMPLETE");
  });

  it("takes the last word on each page, and finds outcomes of pages that are not there", async () => {
    const { ledger } = await emptyLedger([{ sid: "s0001" }]);
    const pages = await writePages(
      ledger,
      { sid: "s0001" },
      Array.from({ length: 40 }, (_, i) => [`k${100 + i}`]),
    );
    for (const page of pages) await ledger.putDone(doneOf(page, { k107: "failed", k139: "failed" }), signal);
    for (let epoch = 1; epoch <= 10; epoch++) {
      const page = pages[7] as Page;
      const at = { v: 1 as const, epoch, pages: [["s0001", 8]] as [string, number][], at: AT };
      await ledger.putRetry(MID, at, signal);
      await ledger.putDone(doneOf(page, epoch === 10 ? {} : { k107: "failed" }, epoch), signal);
    }
    expect(await ledger.audit(MID, AT, signal)).toMatchObject({ epoch: 10, listed: 40, counts: { failed: 1 } });
    const [last] = pages.slice(-1);
    const stray = { ...doneOf(last as Page), seq: 41 };
    await ledger.putDone(stray, signal);
    await expect(ledger.audit(MID, AT, signal)).rejects.toMatchObject({ code: "LEDGER_BROKEN" });
  });

  const lies: Record<string, (done: DoneRecord) => DoneRecord> = {
    "an outcome that hides a failure": (done) => ({ ...done, counts: { ...done.counts, failed: 0, rewrapped: 3 } }),
    "an outcome that drops an object": (done) => ({
      ...done,
      count: 2,
      counts: { ...done.counts, rewrapped: 1 },
      outcomes: "wf",
    }),
    "an outcome string that disagrees": (done) => ({ ...done, outcomes: "www" }),
    "a failure without a name": (done) => ({ ...done, problems: [] }),
    "an outcome of another page": (done) => ({ ...done, pageSha256: "1".repeat(64) }),
  };
  for (const [name, done] of Object.entries(lies)) {
    it(`finds ${name}`, async () => {
      expect(await auditOf({ done })).toBe("LEDGER_BROKEN");
    });
  }

  const gaps: Record<string, Shard[]> = {
    "a gap between shards": [
      { sid: "s0001", until: "l" },
      { sid: "s0002", after: "m" },
    ],
    "an open end": [
      { sid: "s0001", until: "m" },
      { sid: "s0002", after: "m", until: "zzz" },
    ],
    "a missing beginning": [
      { sid: "s0001", after: "a", until: "m" },
      { sid: "s0002", after: "m" },
    ],
    "an overlap": [
      { sid: "s0001", until: "n" },
      { sid: "s0002", after: "m" },
    ],
  };
  for (const [name, shards] of Object.entries(gaps)) {
    it(`finds ${name}`, async () => {
      expect(await auditOf({ shards })).toBe("LEDGER_BROKEN");
    });
  }

  it("finds a page that was put in the place of another", async () => {
    const { ledger, store } = await emptyLedger();
    const pages = await writePages(ledger, { sid: "s0001" }, [["a"], ["b"], ["c"]]);
    for (const page of pages) await ledger.putDone(doneOf(page), signal);
    const second = pages[1] as Page;
    await store.remove(`ledger/${MID}/pages/s0001/000000002.ndjson.gz`, signal);
    await ledger.putPage({ ...second.header, bytes: 2 }, [object("b", 2)], signal);
    await expect(ledger.audit(MID, AT, signal)).rejects.toMatchObject({ code: "LEDGER_BROKEN" });
  });

  it("counts the latest epoch of each page, and two audits agree", async () => {
    const { ledger } = await emptyLedger();
    const pages = await writePages(ledger, { sid: "s0001" }, [["a"], ["b", "c"]]);
    for (const page of pages) await ledger.putDone(doneOf(page, { b: "failed" }), signal);
    const first = await ledger.audit(MID, AT, signal);
    expect(first).toMatchObject({ state: "CompletedWithErrors", epoch: 0, listed: 3 });
    expect((await ledger.audit(MID, AT, signal)).digest).toBe(first.digest);
    await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [["s0001", 2]], at: AT }, signal);
    await ledger.putDone(doneOf(pages[1] as Page, {}, 1), signal);
    const second = await ledger.audit(MID, AT, signal);
    expect(second).toMatchObject({ state: "Completed", epoch: 1, listed: 3, codes: {} });
    expect(second.digest).not.toBe(first.digest);
  });
});
