/** Weaknesses of what arrived: counted once, whichever record holds them, in whichever order they are summed. */
import { describe, expect, it } from "vitest";
import type { AdvisoryCounts } from "../../src/core/advisory.ts";
import { bidOf, type Ledger, type Page } from "../../src/ledger/ledger.ts";
import { amountsOf, differences } from "../../src/pipeline/amounts.ts";
import { doneOf, emptyLedger, MID, planOf, signal, writePages } from "./story.ts";

const AT = "2026-01-01T00:00:00.000Z";
const shard = { sid: "s0001" };

const totals = async (ledger: Ledger) => (await ledger.summarize(planOf([shard]), shard, signal)).totals.advisories;
const audited = async (ledger: Ledger) => (await ledger.audit(MID, AT, signal)).advisories;
const weak = (page: Page, advisories: AdvisoryCounts, epoch = 0) => ({ ...doneOf(page, {}, epoch), advisories });

async function threePages() {
  const { ledger } = await emptyLedger();
  const [one, two, three] = (await writePages(ledger, shard, [["a", "b"], ["c"], ["d"]])) as [Page, Page, Page];
  await ledger.putDone(weak(one, { cbc: 1, unbound: 2 }), signal);
  await ledger.putDone(doneOf(two), signal);
  await ledger.putDone(weak(three, { uncommitted: 1, cbc: 1 }), signal);
  return { ledger, one, two, three };
}

describe("weaknesses of what arrived", () => {
  it("are summed over pages, with and without a checkpoint", async () => {
    const { ledger } = await threePages();
    const sums = { cbc: 2, unbound: 2, uncommitted: 1 };
    expect([await totals(ledger), await audited(ledger)]).toEqual([sums, sums]);
    await ledger.checkpoint(MID, "s0001", 3, 2, signal);
    expect((await ledger.ckpt(MID, "s0001", signal))?.advisories).toEqual({ cbc: 1, unbound: 2 });
    expect([await totals(ledger), await audited(ledger)]).toEqual([sums, sums]);
  });

  it("of a later epoch stand in place of those before", async () => {
    const { ledger, one } = await threePages();
    await ledger.checkpoint(MID, "s0001", 3, 3, signal);
    await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [["s0001", 1]], at: AT }, signal);
    await ledger.putDone(weak(one, { cbc: 2, unbound: 2 }, 1), signal);
    const sums = { cbc: 3, unbound: 2, uncommitted: 1 };
    expect([await totals(ledger), await audited(ledger)]).toEqual([sums, sums]);
    expect(differences(weak(one, { cbc: 2 }, 1), weak(one, { cbc: 1, unbound: 2 }))).toEqual([
      "advisory:cbc",
      1,
      "advisory:unbound",
      -2,
    ]);
  });

  it("of a huge object are in its own record", async () => {
    const { ledger } = await emptyLedger();
    const [page] = (await writePages(ledger, shard, [["a", "b"]])) as [Page];
    const counts = { ...doneOf(page).counts, rewrapped: 1 };
    const deferred = { ...weak(page, { uncommitted: 1 }), outcomes: "wd", deferred: [1], counts, verified: 0 };
    await ledger.putDone(deferred, signal);
    const { sid, seq } = page.header;
    const big = {
      v: 1,
      mid: MID,
      bid: bidOf({ sid, seq, index: 1, epoch: 0 }),
      outcome: "rewrapped",
      bytes: 9,
      verified: true,
      advisories: ["uncommitted" as const],
      pageSha256: page.sha256,
      worker: "test",
      startedAt: AT,
      endedAt: AT,
    } as const;
    await ledger.big.putDone({ ...big, advisories: [...big.advisories] }, signal);
    expect([await totals(ledger), await audited(ledger)]).toEqual([{ uncommitted: 2 }, { uncommitted: 2 }]);
    expect(amountsOf({ ...big, advisories: [...big.advisories] })).toEqual([
      "rewrapped",
      1,
      "bytes",
      9,
      "verified",
      1,
      "advisory:uncommitted",
      1,
    ]);
  });
});
