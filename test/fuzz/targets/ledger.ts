/** Records of a ledger that somebody else could write to: each by itself, and whole ledgers. */
import { gunzipSync, gzipSync } from "node:zlib";
import { decodePage, encodePage, encodeRecord, parseRecord } from "../../../src/ledger/codec.ts";
import { Archive } from "../../../src/ledger/archive.ts";
import { Ledger } from "../../../src/ledger/ledger.ts";
import * as records from "../../../src/ledger/records.ts";
import { migrationStatus } from "../../../src/pipeline/status.ts";
import { stateOf } from "../../../src/pipeline/rebuild.ts";
import { MemoryStore } from "../../../src/store/memory.ts";
import { doneOf, emptyLedger, MID, signal, writePages } from "../../ledger/story.ts";
import { split } from "../input.ts";
import { holds, same, type Target } from "../target.ts";

interface Story {
  /** By name; pages unpacked. */
  readonly texts: ReadonlyMap<string, string>;
}

async function story(): Promise<Story> {
  const shards = [
    { sid: "s0001", until: "m" },
    { sid: "s0002", after: "m" },
  ];
  const { ledger, store } = await emptyLedger(shards);
  const first = await writePages(ledger, { sid: "s0001", until: "m" }, [["a", "b"], ["c"]]);
  const second = await writePages(ledger, { sid: "s0002", after: "m" }, [["n\u{1f511}", "\u{1f512}"]]);
  for (const page of [...first, ...second]) await ledger.putDone(doneOf(page, { b: "failed" }), signal);
  await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [["s0001", 1]], at: "2026" }, signal);
  const again = first[0];
  if (again !== undefined) await ledger.putDone(doneOf(again, {}, 1), signal);
  await ledger.checkpoint(MID, "s0001", 2, 1, signal);
  await ledger.putResult(await ledger.audit(MID, "2026", signal), signal);
  const texts = new Map<string, string>();
  for await (const page of store.list("ledger/", {}, signal)) {
    for (const { key } of page.objects) {
      const bytes = await new Archive(store, "ledger/").get(key.slice("ledger/".length), signal);
      if (bytes !== undefined)
        texts.set(key.slice("ledger/".length), (key.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8"));
    }
  }
  return { texts };
}

const { texts } = await story();
const named = (part: string): string => [...texts].find(([name]) => name.includes(part))?.[1] ?? "";

export const pageTarget: Target = {
  name: "ledger-page",
  seeds: [named("/pages/s0001/000000001"), named("/pages/s0002/"), gzipSync(named("/pages/s0001/000000002"))],
  run: (bytes) => {
    const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const { header, objects } = decodePage(isPacked ? bytes : gzipSync(bytes, { level: 1 }), "page");
    const again = decodePage(encodePage(header, objects), "again");
    same([again.header, again.objects], [header, objects], "read, written, read");
    for (const { lastModifiedMs } of objects) {
      holds(!Number.isNaN(new Date(lastModifiedMs).getTime()), `a time of ${lastModifiedMs}`);
    }
  },
};

const SHAPES = {
  plan: records.plan,
  shard: records.shard,
  done: records.done,
  ckpt: records.ckpt,
  retry: records.retry,
  event: records.event,
  result: records.result,
} as const;

export const recordTarget: Target = {
  name: "ledger-record",
  seeds: [
    `plan\n${named("plan.json")}`,
    `shard\n${named("/shards/")}`,
    `done\n${named("/done/")}`,
    `ckpt\n${named("/ckpt/")}`,
    `retry\n${named("/retry/")}`,
    `event\n${named("/events/")}`,
    `result\n${named("result.")}`,
  ],
  run: (bytes) => {
    const [name, text] = split(Buffer.from(bytes).toString("utf8"), "\n");
    const shape = Object.hasOwn(SHAPES, name) ? SHAPES[name as keyof typeof SHAPES] : records.done;
    const record: object = parseRecord<object>(shape, text, name);
    same(parseRecord<object>(shape, encodeRecord(record).toString("utf8"), name), record, "read, written, read");
  },
};

/** Records between lines of `== name`. */
const whole = [...texts].map(([name, text]) => `== ${name}\n${text}`).join("");

export const wholeTarget: Target = {
  name: "ledger-whole",
  seeds: [whole],
  run: async (bytes) => {
    const store = new MemoryStore();
    const ledger = new Ledger(store);
    for (const part of Buffer.from(bytes).toString("utf8").split("== ").slice(1)) {
      const [name, text] = split(part, "\n");
      if (name === "" || Buffer.byteLength(name) > 1024) continue;
      await new Archive(store, "").putNew(
        name,
        name.endsWith(".gz") ? gzipSync(text, { level: 6 }) : Buffer.from(text),
        signal,
      );
    }
    for await (const mid of ledger.migrations(signal)) holds(mid.length <= 41, "a long id");
    const plan = await ledger.plan(MID, signal);
    for (const shard of plan.shards) {
      const { next, watermark, outOfOrder } = await ledger.summarize(plan, shard, signal);
      holds(Number.isSafeInteger(next) && next >= 1, `next ${next}`);
      holds(Number.isSafeInteger(watermark) && watermark < next, `watermark ${watermark}, next ${next}`);
      holds(
        outOfOrder.every((seq) => Number.isSafeInteger(seq) && seq > watermark && seq < next),
        `out of order ${outOfOrder.join()}`,
      );
    }
    const epoch = await ledger.epoch(MID, signal);
    await stateOf(ledger, plan, epoch, signal);
    await migrationStatus({ ledger, redis: undefined, signal }, MID);
    const { counts, listed } = await ledger.audit(MID, "2026", signal);
    holds(
      Object.values(counts).reduce((sum, count) => sum + count, 0) === listed,
      "outcomes do not sum to what was listed",
    );
  },
};
