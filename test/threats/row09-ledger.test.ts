/**
 * Row 9. Whoever reaches the ledger edits plans, pages, outcomes and results to hide a loss or to send objects elsewhere. What is
 * noticed here is every change that is not carried through all records; who rewrites all of them is the last test.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { noCounts } from "../../src/core/plan.ts";
import {
  type DoneRecord,
  jobSha256,
  type Ledger,
  type Page,
  planSha256,
  type ResultRecord,
} from "../../src/ledger/ledger.ts";
import { openFileStore } from "../../src/store/file.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import { perform } from "../cli/stage.ts";
import { doneOf, emptyLedger, MID, object, signal, writePages } from "../ledger/story.ts";
import { World } from "../pipeline/world.ts";

const AT = "2026-01-02T00:00:00.000Z";
const done = (seq: number, epoch = 0) => `ledger/${MID}/done/s0001/${String(seq).padStart(9, "0")}.e${epoch}.json`;
const page = (seq: number) => `ledger/${MID}/pages/s0001/${String(seq).padStart(9, "0")}.ndjson.gz`;
const plan = `ledger/${MID}/plan.json`;

async function read(store: ObjectStore, name: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await store.open(name, { signal })).body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function write(store: ObjectStore, name: string, bytes: Uint8Array): Promise<void> {
  const body = (async function* () {
    yield bytes;
  })();
  const attributes = { metadata: new Map<string, string>() };
  await store.put(name, body, { sizeBytes: bytes.length, attributes, condition: "any", signal });
}

type Change = (record: Record<string, unknown>) => object;
const edit = async (store: ObjectStore, name: string, change: Change): Promise<void> =>
  write(store, name, Buffer.from(JSON.stringify(change(JSON.parse(String(await read(store, name)))))));

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "accepted",
    (error: unknown) => asSealiftError(error).code,
  );

interface Finished {
  readonly ledger: Ledger;
  readonly store: ObjectStore;
  readonly pages: Page[];
  readonly result: ResultRecord;
}

/** Three pages, two failures, audited and closed. */
async function finished(): Promise<Finished> {
  const { ledger, store } = await emptyLedger();
  const pages = await writePages(ledger, { sid: "s0001" }, [["a", "b"], ["c", "d"], ["e"]]);
  for (const one of pages) await ledger.putDone(doneOf(one, { b: "failed", c: "refused" }), signal);
  const result = await ledger.audit(MID, AT, signal);
  await ledger.putResult(result, signal);
  return { ledger, store, pages, result };
}

/** What `sealift report --audit` and the closing of an epoch do. */
async function auditAgain({ ledger }: Finished): Promise<string> {
  const { checkResult } = await import("../../src/ledger/ledger.ts");
  return codeOf(
    ledger.audit(MID, AT, signal).then(async (audited) => {
      const stated = await ledger.result(MID, 0, signal);
      if (stated) checkResult(stated, audited);
    }),
  );
}

describe("an audit notices", () => {
  it("nothing where nothing was done", async () => expect(await auditAgain(await finished())).toBe("accepted"));

  const harms: Record<string, (at: Finished) => Promise<void>> = {
    "a failure that was edited into a success, sums and all, after the end": ({ store }) =>
      edit(store, done(1), (record) => ({
        ...record,
        counts: { ...noCounts(), rewrapped: 2 },
        outcomes: "ww",
        problems: [],
      })),
    "a failure that was edited into a success in the sums alone": ({ store }) =>
      edit(store, done(1), (record) => ({ ...record, counts: { ...noCounts(), rewrapped: 2 } })),
    "an outcome in the place of another": async ({ store }) => write(store, done(3), await read(store, done(2))),
    "an outcome of an epoch that was not": async ({ store, ledger }) => {
      await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [["s0001", 1]], at: AT }, signal);
      await write(store, done(1, 1), await read(store, done(1)));
    },
    "an object that was taken off its page": async ({ store, ledger, pages }) => {
      const header = { ...(pages[1] as Page).header, count: 1, bytes: 1 };
      await store.remove(page(2), signal);
      await ledger.putPage(header, [object("d")], signal);
    },
    "the same, with an outcome to match": async ({ store, ledger, pages }) => {
      const header = { ...(pages[1] as Page).header, count: 1, bytes: 1 };
      await store.remove(page(2), signal);
      const put = await ledger.putPage(header, [object("d")], signal);
      await write(store, done(2), Buffer.from(JSON.stringify(doneOf(put))));
    },
    "two pages that changed places": async ({ store }) => {
      const [second, third] = [await read(store, page(2)), await read(store, page(3))];
      await write(store, page(2), third);
      await write(store, page(3), second);
    },
    "a page that was removed from the middle": ({ store }) => store.remove(page(2), signal),
    "a page that was removed from the end": ({ store }) => store.remove(page(3), signal),
    "a shorter shard, its last page and outcome removed and the one before it marked last": async ({
      store,
      ledger,
      pages,
    }) => {
      await store.remove(page(3), signal);
      await store.remove(page(2), signal);
      const { end: _end, ...header } = (pages[1] as Page).header;
      const put = await ledger.putPage({ ...header, isLast: true }, [object("c"), object("d")], signal);
      await write(store, done(2), Buffer.from(JSON.stringify(doneOf(put, { c: "refused" }))));
    },
    "a removed outcome": ({ store }) => store.remove(done(2), signal),
    "a result that claims more than the records": ({ store }) =>
      edit(store, `ledger/${MID}/result.json`, (record) => ({
        ...record,
        counts: { ...noCounts(), rewrapped: 5 },
        state: "Completed",
        codes: {},
        advisories: {},
      })),
    "a result whose digest alone was changed": ({ store }) =>
      edit(store, `ledger/${MID}/result.json`, (record) => ({ ...record, digest: "0".repeat(64) })),
    "a plan that leaves out keys": ({ store }) =>
      edit(store, plan, (record) => ({ ...record, shards: [{ sid: "s0001", after: "b" }] })),
    "a plan with another job": ({ store }) =>
      edit(store, plan, (record) => ({ ...record, job: { name: "elsewhere" } })),
    "the plan of another migration": ({ store }) =>
      edit(store, plan, (record) => ({ ...record, mid: "20260101-000000-ffffff" })),
  };
  for (const [name, harm] of Object.entries(harms)) {
    it(name, async () => {
      const at = await finished();
      await harm(at);
      expect(await auditAgain(at)).toMatch(/^(LEDGER_BROKEN|INCOMPLETE)$/);
    });
  }
});

describe("a record under another's name is not read", () => {
  it("of an outcome, a retry and a result", async () => {
    const { ledger, store } = await finished();
    const at = `ledger/${MID}`;
    await write(store, done(1, 3), await read(store, done(1)));
    await write(store, `${at}/result.e3.json`, await read(store, `${at}/result.json`));
    await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [["s0001", 1]], at: AT }, signal);
    await write(store, `${at}/retry/e3.json`, await read(store, `${at}/retry/e1.json`));
    expect(await codeOf(ledger.done(MID, "s0001", 1, 3, signal))).toBe("LEDGER_BROKEN");
    expect(await codeOf(ledger.result(MID, 3, signal))).toBe("LEDGER_BROKEN");
    expect(await codeOf(ledger.retry(MID, 3, signal))).toBe("LEDGER_BROKEN");
    expect(await codeOf(ledger.retry(MID, 1, signal))).toBe("accepted");
  });
});

describe("a plan", () => {
  it("that was edited together with its own hash no longer fits the pages that were listed under it", async () => {
    const { ledger, store } = await emptyLedger();
    const before = await ledger.plan(MID, signal);
    const [only] = await writePages(ledger, { sid: "s0001" }, [["a"]]);
    const header = { ...(only as Page).header, planSha256: planSha256(before) };
    await store.remove(page(1), signal);
    const bound = await ledger.putPage(header, [object("a")], signal);
    await ledger.putDone(doneOf(bound), signal);
    expect(await codeOf(ledger.audit(MID, AT, signal))).toBe("accepted");
    const job = { name: "elsewhere" };
    await edit(store, plan, (record) => ({ ...record, job, jobSha256: jobSha256(job) }));
    expect(await codeOf(ledger.plan(MID, signal))).toBe("accepted");
    expect(await codeOf(ledger.audit(MID, AT, signal))).toBe("LEDGER_BROKEN");
  });

  it("is bound to its id, time, job and ranges", () => {
    const base = {
      v: 1 as const,
      mid: MID,
      createdAt: AT,
      job: {},
      jobSha256: "0".repeat(64),
      shards: [{ sid: "s0001" }],
    };
    const others = [
      { ...base, mid: `${MID}0` },
      { ...base, createdAt: "x" },
      { ...base, jobSha256: "1".repeat(64) },
      { ...base, shards: [{ sid: "s0001", after: "" }] },
      { ...base, shards: [{ sid: "s0001", until: "" }] },
    ];
    expect(new Set([base, ...others].map(planSha256)).size).toBe(6);
  });

  it("whose job is nested too deep to be read again is broken, and ends nobody", async () => {
    const { ledger, store } = await emptyLedger();
    const text = String(await read(store, plan)).replace(
      '{"name":"story"}',
      `{"a":${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}}`,
    );
    await write(store, plan, Buffer.from(text));
    expect(await codeOf(ledger.plan(MID, signal))).toBe("LEDGER_BROKEN");
  });
});

describe("workers", { timeout: 120_000 }, () => {
  let world: World | undefined;
  afterEach(async () => {
    await world?.close();
    world = undefined;
  });

  const halted = async (w: World, mid: string): Promise<string | undefined> => {
    for (;;) {
      const halt = (await w.ledger.events(mid, signal)).find(({ action }) => action === "halt");
      if (halt) return `${halt.code}: ${halt.message}`;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };

  it("halt on a plan that was retargeted to another key and endpoint, and copy nothing", async () => {
    const w = (world = await World.open({ objects: 20 }));
    const store = await openFileStore({ root: join(w.directory, "ledger") });
    const mid = await w.start();
    const evil = { ...w.job, destination: { url: `file://${w.directory}/elsewhere` } };
    await edit(store, `${mid}/plan.json`, (record) => ({ ...record, job: evil }));
    w.work("list");
    w.work("copy");
    expect(await halted(w, mid)).toMatch(/^LEDGER_BROKEN: .*another job/);
    expect((await w.farSide()).keys).toEqual([]);
  });

  it("halt on a plan that was edited with its hash once pages were listed, and copy nothing", async () => {
    const w = (world = await World.open({ objects: 20 }));
    const store = await openFileStore({ root: join(w.directory, "ledger") });
    const mid = await w.start();
    const [lister] = w.work("list");
    await w.until(mid, ({ listingDone, totals }) => listingDone && totals.pages > 0);
    lister?.kill("SIGKILL");
    const job = { ...w.job, keys: { ...w.job.keys, wrapWith: "local://old" } };
    await edit(store, `${mid}/plan.json`, (record) => ({ ...record, job, jobSha256: jobSha256(job) }));
    w.work("copy");
    expect(await halted(w, mid)).toMatch(/^LEDGER_BROKEN: .*another plan/);
    expect((await w.farSide()).keys).toEqual([]);
  });

  it("do not take a planted result for the end: the migration halts for a person to look", async () => {
    const w = (world = await World.open({ objects: 20 }));
    const mid = await w.start();
    const counts = { ...noCounts(), rewrapped: 20 };
    const sums = {
      listed: 20,
      counts,
      listedBytes: 1,
      bytes: 1,
      verified: 0,
      codes: {},
      advisories: {},
      pages: 2,
      shards: 1,
    };
    const digest = createHash("sha256").digest("hex");
    const lie: ResultRecord = { v: 1, mid, epoch: 0, state: "Completed", ...sums, digest, at: AT };
    expect(await w.ledger.putResult(lie, signal)).toBe(true);
    expect(await w.status(mid)).toMatchObject({ state: "Pending" });
    w.work("list");
    w.work("copy");
    // By the sweep, which finds it beside open pages, or by the audit at the end: whoever comes first.
    const why = /^LEDGER_BROKEN: .*(not what the records add up to|and pages without an outcome)/;
    expect(await halted(w, mid)).toMatch(why);
    const env = {
      SEALIFT_LEDGER: `file://${join(w.directory, "ledger")}`,
      SEALIFT_STATE_DIR: join(w.directory, "none"),
    };
    const { code, stdout } = await perform(["report", mid, "--audit"], { env });
    expect([6, 7]).toContain(code);
    expect(stdout).toBe("");
  });
});

describe("what cannot be noticed without signatures", () => {
  it("a ledger that was rewritten from its first record to its last is a ledger", async () => {
    const at = await finished();
    const forged = await emptyLedger();
    const pages = await writePages(forged.ledger, { sid: "s0001" }, [["a", "b"], ["e"]]);
    const all: DoneRecord[] = pages.map((one) => doneOf(one));
    for (const one of all) await forged.ledger.putDone(one, signal);
    await forged.ledger.putResult(await forged.ledger.audit(MID, AT, signal), signal);
    expect(await auditAgain({ ...at, ledger: forged.ledger })).toBe("accepted");
    // But its digest is another one: whoever kept the digest that `run` printed has the proof.
    expect((await forged.ledger.audit(MID, AT, signal)).digest).not.toBe(at.result.digest);
  });
});
