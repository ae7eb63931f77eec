/**
 * The ledger: write-once records that are the only truth about a migration. It knows no Redis and no queue.
 *
 * What an operator sees under the ledger's URL (a record is created once and never changed):
 *
 *     <mid>/plan.json                           the job as it was started, and its shards
 *     <mid>/shards/<sid>.json                   one key range each: those of the plan, and the halves of those that were split
 *     <mid>/pages/<sid>/<seq>.ndjson.gz         what was listed: a header line, then a line an object
 *     <mid>/done/<sid>/<seq>.e<epoch>.json      how each object of the page ended; the first writer wins
 *     <mid>/standing/<sid>/<seq>.e<epoch>.json  how its objects stood at the destination, for later migrations that go the same way
 *     <mid>/since.json                          the earlier migration that went the same way, where there is one
 *     <mid>/retry/e<epoch>.json                 the pages that a retry goes over again
 *     <mid>/big/<bid>.t<n>.json                 a huge object's upload (the n-th), for every worker to go on with
 *     <mid>/big/<bid>.done.json                 how it ended; <bid> is its shard, page, place on the page and epoch
 *     <mid>/ckpt/<sid>/<seq>.json               sums of epoch 0 up to a page, so that a rebuild reads less
 *     <mid>/events/<n>.json                     what operators did: pause, resume, cancel, retry
 *     <mid>/result.json, result.e<epoch>.json   the audit that closed the migration, or a later epoch of it
 */
import { randomUUID } from "node:crypto";
import { SealiftError } from "../core/error.ts";
import type { ListedObject } from "../core/object.ts";
import type { ObjectStore } from "../store/store.ts";
import { Archive } from "./archive.ts";
import { audit, checkEnd, checkResult } from "./audit.ts";
import { BigRecords } from "./big.ts";
import { checkBond, checkIds, checkJob, jobSha256, planSha256 } from "./bond.ts";
import {
  broken,
  decodePage,
  encodePage,
  encodeRecord,
  type Page,
  PAGE_BYTES_MAX,
  RETRY_BYTES_MAX,
  sha256Hex,
} from "./codec.ts";
import { type PageOutcome, withDeferred } from "./deferred.ts";
import { HintRecords } from "./hints.ts";
import * as layout from "./layout.ts";
import * as records from "./records.ts";
import { type ShardSummary, summarizeShard, sumPages } from "./rebuild.ts";
import * as walk from "./walk.ts";

export { checkBond, checkResult, jobSha256, planSha256 };
export type { Page } from "./codec.ts";
export type { ShardSummary } from "./rebuild.ts";
export type { SummarizedShard } from "./walk.ts";
export { Earlier } from "./earlier.ts";
export type { PageOutcome } from "./deferred.ts";
export { BID, bidOf, type BigPlace, MID, placeOf, SID } from "./layout.ts";
export { canSplit, halvesOf } from "./shards.ts";
export type {
  BigDoneRecord,
  BigRecord,
  CodeCounts,
  DoneRecord,
  EventRecord,
  MigrationState,
  PageHeader,
  PlanRecord,
  Problem,
  ResultRecord,
  Shard,
  StandingRecord,
} from "./records.ts";

export class Ledger {
  readonly #archive: Archive;
  readonly big: BigRecords;
  readonly hints: HintRecords;

  /** `root`: key prefix of the ledger inside the store, ending in `/`, or empty. */
  constructor(store: ObjectStore, root = "") {
    this.#archive = new Archive(store, root);
    this.big = new BigRecords(this.#archive);
    this.hints = new HintRecords(this.#archive);
  }

  get name(): string {
    return this.#archive.name;
  }

  // -- plan, shards, events, retry, result

  /** LEDGER_EXISTS where a migration has this id. */
  async putPlan(plan: records.PlanRecord, signal: AbortSignal): Promise<void> {
    const name = layout.planName(plan.mid);
    if (!(await this.#archive.putNew(name, encodeRecord(plan), signal))) {
      throw new SealiftError("LEDGER_EXISTS", `migration ${plan.mid} exists in ${this.name}`);
    }
    for (const shard of plan.shards) await this.nameShard(plan.mid, shard, signal);
  }

  /** Repeats a shard under its own name. */
  async nameShard(mid: string, shard: records.Shard, signal: AbortSignal): Promise<void> {
    await this.#archive.putNew(layout.shardName(mid, shard.sid), encodeRecord(shard), signal);
  }

  shard(mid: string, sid: string, signal: AbortSignal): Promise<records.Shard | undefined> {
    return this.#archive.record(records.shard, layout.shardName(mid, sid), signal);
  }

  /** Ids of the shards that have a record of their own. */
  async shardNames(mid: string, signal: AbortSignal): Promise<Set<string>> {
    const sids = new Set<string>();
    const prefix = layout.shardsPrefix(mid);
    for await (const name of this.names(prefix, signal)) sids.add(name.slice(prefix.length, -".json".length));
    return sids;
  }

  /** JOB_UNKNOWN where there is none. */
  async plan(mid: string, signal: AbortSignal): Promise<records.PlanRecord> {
    if (!layout.MID.test(mid)) throw new SealiftError("JOB_UNKNOWN", `${JSON.stringify(mid)} is not a migration id`);
    const plan = await this.#archive.record(records.plan, layout.planName(mid), signal);
    if (!plan) throw new SealiftError("JOB_UNKNOWN", `no migration ${mid} in ledger ${this.name}`);
    if (plan.mid !== mid) throw broken(layout.planName(mid), `is of another migration (${plan.mid})`);
    checkJob(plan);
    return plan;
  }

  /** Ids of every migration, ascending; one LIST request each. */
  async *migrations(signal: AbortSignal): AsyncGenerator<string> {
    let after: string | undefined;
    for (;;) {
      const name = await this.#archive.firstName("", after, signal);
      if (name === undefined) return;
      const end = name.indexOf("/");
      const mid = name.slice(0, Math.max(end, 0));
      if (layout.MID.test(mid)) yield mid;
      // "0" follows "/" in byte order: go on behind everything of this migration. A stranger's record in no folder is behind itself.
      after = end < 0 ? name : `${mid}0`;
    }
  }

  async putEvent(mid: string, event: Omit<records.EventRecord, "v">, signal: AbortSignal): Promise<void> {
    let number = 1;
    for await (const name of this.names(layout.eventsPrefix(mid), signal)) number = (layout.seqOf(name) || 0) + 1;
    while (!(await this.#archive.putNew(layout.eventName(mid, number), encodeRecord({ v: 1, ...event }), signal)))
      number++;
  }

  /** In the order in which they were written: numbers decide, because clocks differ and the last word is what counts. */
  async events(mid: string, signal: AbortSignal): Promise<records.EventRecord[]> {
    const found: records.EventRecord[] = [];
    for await (const name of this.#archive.names(layout.eventsPrefix(mid), signal)) {
      found.push(await this.#archive.required(records.event, name, signal));
    }
    return found;
  }

  /** False where this epoch was begun by somebody else. */
  putRetry(mid: string, retry: records.RetryRecord, signal: AbortSignal): Promise<boolean> {
    return this.#archive.putNew(layout.retryName(mid, retry.epoch), encodeRecord(retry), signal);
  }

  async retry(mid: string, epoch: number, signal: AbortSignal): Promise<records.RetryRecord | undefined> {
    const name = layout.retryName(mid, epoch);
    return checkIds(name, await this.#archive.record(records.retry, name, signal, RETRY_BYTES_MAX), { epoch });
  }

  /** The epoch the migration is in: 0 until a retry was begun. */
  async epoch(mid: string, signal: AbortSignal): Promise<number> {
    const begun = new Set<number>();
    for await (const name of this.#archive.names(layout.retryPrefix(mid), signal)) begun.add(layout.epochOf(name));
    begun.delete(Number.NaN);
    // One follows on the other. A number that was made up would be counted down to 0 for every page.
    for (let epoch = 1; epoch <= begun.size; epoch++) {
      if (!begun.has(epoch)) throw broken(layout.retryName(mid, epoch), "is missing, and others of its kind are there");
    }
    return begun.size;
  }

  putResult(result: records.ResultRecord, signal: AbortSignal): Promise<boolean> {
    return this.#archive.putNew(layout.resultName(result.mid, result.epoch), encodeRecord(result), signal);
  }

  /** Its own numbers agree; whether they are the records' only an audit tells. */
  async result(mid: string, epoch: number, signal: AbortSignal): Promise<records.ResultRecord | undefined> {
    const name = layout.resultName(mid, epoch);
    const result = checkIds(name, await this.#archive.record(records.result, name, signal), { mid, epoch });
    return result && checkEnd(name, result);
  }

  // -- pages and their outcomes

  /** Writes the page, or adopts the one that is there already: listing may have changed meanwhile, the record has not. */
  async putPage(header: records.PageHeader, objects: readonly ListedObject[], signal: AbortSignal): Promise<Page> {
    const bytes = encodePage(header, objects);
    const name = layout.pageName(header.mid, header.sid, header.seq);
    if (await this.#archive.putNew(name, bytes, signal)) return { header, objects, sha256: sha256Hex(bytes) };
    const adopted = await this.page(header.mid, header.sid, header.seq, signal);
    if (!adopted) throw broken(name, "exists and cannot be read");
    return adopted;
  }

  async page(mid: string, sid: string, seq: number, signal: AbortSignal): Promise<Page | undefined> {
    const name = layout.pageName(mid, sid, seq);
    const bytes = await this.#archive.get(name, signal, PAGE_BYTES_MAX);
    if (!bytes) return undefined;
    const page = decodePage(bytes, name);
    checkIds(name, page.header, { mid, sid, seq });
    return page;
  }

  /** The first writer wins: what stands in the ledger afterwards is returned, whoever wrote it. */
  async putDone(done: records.DoneRecord, signal: AbortSignal): Promise<records.DoneRecord> {
    const name = layout.doneName(done.mid, done.sid, done.seq, done.epoch);
    if (await this.#archive.putNew(name, encodeRecord(done), signal)) return done;
    const { mid, sid, seq, epoch } = done;
    return checkIds(name, await this.#archive.required(records.done, name, signal), { mid, sid, seq, epoch });
  }

  async done(
    mid: string,
    sid: string,
    seq: number,
    epoch: number,
    signal: AbortSignal,
  ): Promise<records.DoneRecord | undefined> {
    const name = layout.doneName(mid, sid, seq, epoch);
    return checkIds(name, await this.#archive.record(records.done, name, signal), { mid, sid, seq, epoch });
  }

  /** The outcome of the highest epoch up to `epochMax`, with those of its huge objects. */
  async outcome(
    mid: string,
    sid: string,
    seq: number,
    epochMax: number,
    signal: AbortSignal,
  ): Promise<PageOutcome | undefined> {
    for (let epoch = epochMax; epoch >= 0; epoch--) {
      const found = await this.done(mid, sid, seq, epoch, signal);
      if (found) return withDeferred(this.big, found, signal);
    }
    return undefined;
  }

  /** Writes the sums of epoch 0 up to the next multiple of `step` that the watermark has passed; usually there is none. */
  async checkpoint(mid: string, sid: string, watermark: number, step: number, signal: AbortSignal): Promise<void> {
    const last = await this.ckpt(mid, sid, signal);
    if (watermark - (last?.seq ?? 0) < step) return;
    const next = await sumPages(this, mid, sid, last, (last?.seq ?? 0) + step, signal);
    if (next) await this.#archive.putNew(layout.ckptName(mid, sid, next.seq), encodeRecord(next), signal);
  }

  /** The last one. */
  async ckpt(mid: string, sid: string, signal: AbortSignal): Promise<records.CkptRecord | undefined> {
    let last: string | undefined;
    for await (const name of this.#archive.names(layout.ckptPrefix(mid, sid), signal)) last = name;
    return last === undefined ? undefined : this.#archive.required(records.ckpt, last, signal);
  }

  // -- questions about the whole

  /** Recomputes everything from the records: ranges, chain, outcomes, sums. LEDGER_BROKEN, or INCOMPLETE where pages are open. */
  audit(mid: string, at: string, signal: AbortSignal): Promise<records.ResultRecord> {
    return audit(this, mid, at, signal);
  }

  /** What Redis must know about a shard, recomputed. */
  summarize(plan: records.PlanRecord, shard: records.Shard, signal: AbortSignal): Promise<ShardSummary> {
    return summarizeShard(this, plan.mid, shard, signal);
  }

  /** What Redis must know about each shard, recomputed; one that was split is followed by its halves. */
  summaries(plan: records.PlanRecord, signal: AbortSignal): AsyncIterable<walk.SummarizedShard> {
    return walk.summaries(this, plan, signal);
  }

  /** Every shard in key order, with the number of its pages. */
  shards(plan: records.PlanRecord, signal: AbortSignal): AsyncIterable<{ shard: records.Shard; pages: number }> {
    return walk.shards(this, plan, signal);
  }

  /** The outcome of every page that has one, as `epochMax` left it, in key order. */
  outcomes(plan: records.PlanRecord, epochMax: number, signal: AbortSignal): AsyncIterable<records.DoneRecord> {
    return walk.outcomes(this, plan, epochMax, signal);
  }

  /** PREFLIGHT_CREATE_ONLY where a second write of one name is not refused: then first-writer-wins would be a lie. */
  async probe(signal: AbortSignal): Promise<void> {
    const name = `probe/${randomUUID()}`;
    const first = await this.#archive.putNew(name, encodeRecord({ probe: 1 }), signal);
    const second = await this.#archive.putNew(name, encodeRecord({ probe: 2 }), signal);
    await this.#archive.remove(name, signal);
    if (first && !second) return;
    throw new SealiftError("PREFLIGHT_CREATE_ONLY", `the ledger's store ${this.name} lets one record be written twice`);
  }

  names(prefix: string, signal: AbortSignal): AsyncIterable<string> {
    return this.#archive.names(prefix, signal);
  }
}
