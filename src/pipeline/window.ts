/** One migration's window in Redis: read, advanced and replaced here and nowhere else. */
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { addAdvisories, type AdvisoryCounts, ALL_ADVISORIES } from "../core/advisory.ts";
import { type Code, CODES, SealiftError } from "../core/error.ts";
import { OUTCOMES } from "../core/plan.ts";
import {
  type BigDoneRecord,
  type CodeCounts,
  type DoneRecord,
  type PageHeader,
  type Shard,
  type SummarizedShard,
} from "../ledger/ledger.ts";
import { addSums, amountsOf, bidsOf, differences } from "./amounts.ts";
import { BigWindow } from "./bigwindow.ts";
import { ACTIVE, of } from "./keys.ts";
import { COMMIT, COMMIT_BIG, COMMIT_RETRY, EMIT, READY, RENEW } from "./scripts.ts";
import { memberOf, shardNumbers, sumOf, wholeOf } from "./whole.ts";

const STATES = ["running", "paused", "cancelled", "halted", "finished"] as const;
export type RunState = (typeof STATES)[number];

export interface ShardWindow {
  readonly cursor: string | undefined;
  readonly next: number;
  readonly watermark: number;
  readonly last: number | undefined;
}

/** Sums as Redis holds them; the ledger's audit is what counts in the end. */
export interface WindowTotals {
  readonly counts: Record<(typeof OUTCOMES)[number], number>;
  readonly listed: number;
  readonly listedBytes: number;
  readonly bytes: number;
  readonly verified: number;
  readonly pages: number;
  readonly committed: number;
  readonly shards: number;
  readonly codes: CodeCounts;
  readonly advisories: AdvisoryCounts;
}

export interface RebuildLock {
  readonly token: string;
  release(): Promise<void>;
}

export class Window {
  readonly #redis: Redis;
  readonly #keys: ReturnType<typeof of>;
  readonly mid: string;
  readonly big: BigWindow;

  constructor(redis: Redis, mid: string) {
    this.#redis = redis;
    this.#keys = of(mid);
    this.mid = mid;
    this.big = new BigWindow(redis, this.#keys, (answer) => this.#read(answer));
  }

  async isReady(): Promise<boolean> {
    return (await this.#redis.exists(this.#keys.ready)) === 1;
  }

  /** undefined: the window is lost. */
  async meta(): Promise<{ state: RunState; epoch: number; trouble: string | undefined } | undefined> {
    // Edited is lost, and the next sweep rebuilds what is lost: an error here would keep it from ever looking.
    const meta = await this.#read(this.#redis.hgetall(this.#keys.meta)).catch((error: unknown) => {
      if (error instanceof SealiftError && error.code === "STATE_LOST") return {} as Record<string, string>;
      throw error;
    });
    const [state, epoch] = [STATES.find((one) => one === meta["state"]), wholeOf(meta["epoch"] ?? "0")];
    if (state === undefined || epoch === undefined || epoch < 0 || !(await this.isReady())) return undefined;
    return {
      state,
      epoch,
      trouble: meta["trouble"] || undefined,
    };
  }

  async setState(state: RunState): Promise<void> {
    await this.#read(this.#redis.hset(this.#keys.meta, { state, trouble: "" }));
    if (state === "cancelled" || state === "finished") await this.#redis.srem(ACTIVE, this.mid);
    else await this.#redis.sadd(ACTIVE, this.mid);
  }

  /** What hinders the migration right now, for `status`; cleared by the next change of state. */
  async setTrouble(line: string): Promise<void> {
    await this.#redis.hset(this.#keys.meta, { trouble: line.slice(0, 500) });
  }

  openShards(): Promise<string[]> {
    return this.#read(this.#redis.smembers(this.#keys.open));
  }

  /** undefined: it is not there, or it was edited. */
  async shard(sid: string): Promise<ShardWindow | undefined> {
    const found = await this.#read(this.#redis.hgetall(this.#keys.shard(sid)));
    const numbers = shardNumbers(found);
    return numbers && { ...numbers, cursor: found["cursor"] || undefined };
  }

  /** Pages emitted and not committed, the quantity the window bounds. */
  async outstanding(): Promise<number> {
    const [pages, committed] = await this.#read(this.#redis.hmget(this.#keys.totals, "pages", "committed"));
    return Number(pages ?? 0) - Number(committed ?? 0);
  }

  async committedAbove(sid: string): Promise<Set<number>> {
    const members = await this.#read(this.#redis.smembers(this.#keys.outOfOrder(sid)));
    return new Set(members.map(wholeOf).filter((seq) => seq !== undefined));
  }

  /** Shards that are still listed, and all that there are. */
  async listing(): Promise<{ open: number; shards: number }> {
    const [open, shards] = await Promise.all([
      this.#redis.scard(this.#keys.listing),
      this.#redis.hget(this.#keys.totals, "shards"),
    ]);
    return { open, shards: Number(shards ?? 0) };
  }

  /** `halves`: of a page that splits its shard. 1 advanced, 0 known already; STATE_LOST otherwise. */
  emit(page: PageHeader, halves: readonly Shard[] = []): Promise<number> {
    const { ready, totals, open, listing, shard } = this.#keys;
    const { sid, seq, end, isLast, count, bytes } = page;
    const keys = [ready, shard(sid), totals, open, listing, ...halves.map((half) => shard(half.sid))];
    const opened = halves.flatMap((half) => [half.sid, half.after ?? ""]);
    return this.#run(EMIT, keys, [seq, end ?? "", isLast ? "1" : "0", count, bytes, sid, ...opened]);
  }

  /** 2 counted and nothing is open any more, 1 counted, 0 counted before; STATE_LOST otherwise. */
  commit(done: DoneRecord, before: DoneRecord | undefined): Promise<number> {
    const { ready, totals, open, big, retry, shard, outOfOrder } = this.#keys;
    const amounts = [...differences(done, before), ...bidsOf(done).flatMap((bid) => [`=${bid}`, 1])];
    if (done.epoch > 0) {
      const keys = [ready, retry(done.epoch), totals, open, big];
      return this.#run(COMMIT_RETRY, keys, [`${done.sid}.${done.seq}`, ...amounts]);
    }
    const keys = [ready, shard(done.sid), outOfOrder(done.sid), totals, open, big];
    return this.#run(COMMIT, keys, [done.sid, done.seq, ...amounts]);
  }

  /** 2 counted and nothing is open any more, 1 counted, 0 counted before; STATE_LOST otherwise. */
  commitBig(done: BigDoneRecord, epoch: number): Promise<number> {
    const { ready, totals, open, big, retry, parts } = this.#keys;
    return this.#run(COMMIT_BIG, [ready, big, totals, open, retry(epoch), parts], [done.bid, ...amountsOf(done)]);
  }

  /** A key that holds something else than it should was edited: the window is given up, and rebuilt by the next sweep. */
  async #read<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "ReplyError") throw error;
      if (/WRONGTYPE/.test(error.message)) return this.#edited("a key of a type");
      // Redis has troubles of its own (full, loading, read-only), which say nothing of the window and pass.
      throw new SealiftError("PROVIDER_ERROR", `Redis: ${error.message.slice(0, 200)}`, { cause: error });
    }
  }

  async #edited(what: string): Promise<never> {
    await this.lose();
    throw new SealiftError("STATE_LOST", `the window of ${this.mid} holds ${what} that sealift does not write`);
  }

  async #run(script: string, keys: string[], args: (string | number)[]): Promise<number> {
    const code = Number(await this.#read(this.#redis.eval(script, keys.length, ...keys, ...args)));
    if (code === -3) {
      throw new SealiftError("LEDGER_BROKEN", `an outcome of ${this.mid} has numbers that no sum can take`);
    }
    if (code === -1) throw new SealiftError("STATE_LOST", `the window of ${this.mid} is not in Redis`);
    if (code === -2) throw new SealiftError("STATE_LOST", `the window of ${this.mid} is behind its ledger`);
    return code;
  }

  /** Up to `limit` pages that the epoch still has to go over. */
  async retryPages(epoch: number, limit: number): Promise<{ sid: string; seq: number }[]> {
    const members = await this.#read(this.#redis.srandmember(this.#keys.retry(epoch), limit));
    const pages = members.map(memberOf);
    const known = pages.filter((page) => page !== undefined);
    // A stranger in the set would never leave it, and the epoch never end.
    return known.length < pages.length ? this.#edited("a page") : known;
  }

  retryLeft(epoch: number): Promise<number> {
    return this.#read(this.#redis.scard(this.#keys.retry(epoch)));
  }

  async totals(): Promise<WindowTotals> {
    const found = await this.#read(this.#redis.hgetall(this.#keys.totals));
    if (Object.values(found).some((value) => sumOf(value) === undefined)) await this.#edited("a sum");
    const number = (field: string) => sumOf(found[field]) ?? 0;
    const advisories: AdvisoryCounts = {};
    for (const advisory of ALL_ADVISORIES) addAdvisories(advisories, { [advisory]: number(`advisory:${advisory}`) });
    const codes: CodeCounts = {};
    for (const code of Object.keys(CODES) as Code[]) {
      const count = number(`code:${code}`);
      if (count > 0) codes[code] = count;
    }
    const counts = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, number(outcome)])) as WindowTotals["counts"];
    return {
      counts,
      listed: number("listed"),
      listedBytes: number("listedBytes"),
      bytes: number("bytes"),
      verified: number("verified"),
      pages: number("pages"),
      committed: number("committed"),
      shards: number("shards"),
      codes,
      advisories,
    };
  }

  // -- rebuild

  /** One rebuilder at a time; undefined where there is one. The lock is renewed until it is released. */
  async lockRebuild(ttlMs: number): Promise<RebuildLock | undefined> {
    const key = this.#keys.lock;
    const token = randomUUID();
    if ((await this.#redis.set(key, token, "PX", ttlMs, "NX")) === null) {
      // Without an end it is none of ours.
      if ((await this.#redis.pttl(key)) === -1) await this.#redis.del(key);
      return undefined;
    }
    const renew = () => void this.#redis.eval(RENEW, 1, key, token, ttlMs).catch(() => undefined);
    const timer = setInterval(renew, ttlMs / 4);
    const release = async () => {
      clearInterval(timer);
      await this.#redis.eval(RENEW, 1, key, token, 0);
    };
    return { token, release };
  }

  async lose(): Promise<void> {
    await this.#redis.del(this.#keys.ready);
  }

  /**
   * Replaces the whole window at once; `ready` is its last write. With the token of a rebuild's lock it is written only where that
   * lock still holds: a process that stood still would put an old window in the place of a newer one.
   */
  async install(
    fresh: {
      readonly shards: readonly SummarizedShard[];
      readonly state: RunState;
      readonly epoch: number;
      readonly retry: readonly string[];
    },
    token?: string,
  ): Promise<void> {
    const change = this.#redis.multi();
    const shards = fresh.shards.length;
    const sums = { pages: 0, committed: 0, listed: 0, listedBytes: 0, bytes: 0, verified: 0, shards };
    const { meta, totals, open, listing, retry, big, parts } = this.#keys;
    change.del(this.#keys.ready, meta, totals, open, listing, retry(fresh.epoch), big, parts);
    for (const { shard, summary } of fresh.shards) {
      this.#installShard(change, shard.sid, summary);
      addSums(sums, summary);
      for (let i = 0; i < summary.big.length; i += 500) change.sadd(big, ...summary.big.slice(i, i + 500));
    }
    for (let i = 0; i < fresh.retry.length; i += 500)
      change.sadd(this.#keys.retry(fresh.epoch), ...fresh.retry.slice(i, i + 500));
    change.hset(this.#keys.totals, sums);
    change.hset(this.#keys.meta, { state: fresh.state, epoch: fresh.epoch, trouble: "" });
    if (fresh.state === "running" || fresh.state === "paused") change.sadd(ACTIVE, this.mid);
    else change.srem(ACTIVE, this.mid);
    if (token === undefined) change.set(this.#keys.ready, "1");
    else change.eval(READY, 2, this.#keys.lock, this.#keys.ready, token);
    const answers = await change.exec();
    const failed = answers?.find(([error]) => error !== null);
    if (!answers || failed)
      throw new SealiftError("STATE_LOST", `the window of ${this.mid} could not be written: ${failed?.[0]?.message}`);
    if (answers.at(-1)?.[1] === 0)
      throw new SealiftError("STATE_LOST", `the rebuild of ${this.mid} took too long: somebody else is at it`);
  }

  #installShard(change: ReturnType<Redis["multi"]>, sid: string, summary: SummarizedShard["summary"]): void {
    const { next, watermark, cursor, last, outOfOrder } = summary;
    change.del(this.#keys.shard(sid), this.#keys.outOfOrder(sid));
    change.hset(this.#keys.shard(sid), {
      next,
      wm: watermark,
      cursor: cursor ?? "",
      ...(last === undefined ? {} : { last }),
    });
    if (outOfOrder.length > 0) change.sadd(this.#keys.outOfOrder(sid), ...outOfOrder);
    if (last === undefined) change.sadd(this.#keys.listing, sid);
    if (last === undefined || watermark < last) change.sadd(this.#keys.open, sid);
  }
}
