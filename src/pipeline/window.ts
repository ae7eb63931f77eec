/** One migration's window in Redis: read, advanced and replaced here and nowhere else. */
import type { Redis } from "ioredis";
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
import { COMMIT, COMMIT_BIG, COMMIT_RETRY, EMIT } from "./scripts.ts";

export type RunState = "running" | "paused" | "cancelled" | "halted" | "finished";

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
    this.big = new BigWindow(redis, this.#keys);
  }

  async isReady(): Promise<boolean> {
    return (await this.#redis.exists(this.#keys.ready)) === 1;
  }

  /** undefined: the window is lost. */
  async meta(): Promise<{ state: RunState; epoch: number; trouble: string | undefined } | undefined> {
    const meta = await this.#redis.hgetall(this.#keys.meta);
    if (!meta["state"] || !(await this.isReady())) return undefined;
    return {
      state: meta["state"] as RunState,
      epoch: Number(meta["epoch"] ?? 0),
      trouble: meta["trouble"] || undefined,
    };
  }

  async setState(state: RunState): Promise<void> {
    await this.#redis.hset(this.#keys.meta, { state, trouble: "" });
    if (state === "cancelled" || state === "finished") await this.#redis.srem(ACTIVE, this.mid);
    else await this.#redis.sadd(ACTIVE, this.mid);
  }

  /** What hinders the migration right now, for `status`; cleared by the next change of state. */
  async setTrouble(line: string): Promise<void> {
    await this.#redis.hset(this.#keys.meta, { trouble: line.slice(0, 500) });
  }

  openShards(): Promise<string[]> {
    return this.#redis.smembers(this.#keys.open);
  }

  async shard(sid: string): Promise<ShardWindow | undefined> {
    const found = await this.#redis.hgetall(this.#keys.shard(sid));
    if (found["next"] === undefined) return undefined;
    return {
      cursor: found["cursor"] || undefined,
      next: Number(found["next"]),
      watermark: Number(found["wm"]),
      last: found["last"] === undefined ? undefined : Number(found["last"]),
    };
  }

  /** Pages emitted and not committed, the quantity the window bounds. */
  async outstanding(): Promise<number> {
    const [pages, committed] = await this.#redis.hmget(this.#keys.totals, "pages", "committed");
    return Number(pages ?? 0) - Number(committed ?? 0);
  }

  async committedAbove(sid: string): Promise<Set<number>> {
    return new Set((await this.#redis.smembers(this.#keys.outOfOrder(sid))).map(Number));
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
    const { ready, totals, open, big, retry } = this.#keys;
    const huge = bidsOf(done);
    const amounts = [huge.length, ...huge, ...differences(done, before)];
    if (done.epoch > 0) {
      const keys = [ready, retry(done.epoch), totals, open, big];
      return this.#run(COMMIT_RETRY, keys, [`${done.sid}.${done.seq}`, ...amounts]);
    }
    const keys = [ready, this.#keys.shard(done.sid), this.#keys.outOfOrder(done.sid), totals, open, retry(0), big];
    return this.#run(COMMIT, keys, [done.sid, done.seq, ...amounts]);
  }

  /** 2 counted and nothing is open any more, 1 counted, 0 counted before; STATE_LOST otherwise. */
  commitBig(done: BigDoneRecord, epoch: number): Promise<number> {
    const { ready, totals, open, big, retry, parts } = this.#keys;
    return this.#run(COMMIT_BIG, [ready, big, totals, open, retry(epoch), parts], [done.bid, ...amountsOf(done)]);
  }

  async #run(script: string, keys: string[], args: (string | number)[]): Promise<number> {
    const code = Number(await this.#redis.eval(script, keys.length, ...keys, ...args));
    if (code === -1) throw new SealiftError("STATE_LOST", `the window of ${this.mid} is not in Redis`);
    if (code === -2) throw new SealiftError("STATE_LOST", `the window of ${this.mid} is behind its ledger`);
    return code;
  }

  /** Up to `limit` pages that the epoch still has to go over. */
  async retryPages(epoch: number, limit: number): Promise<{ sid: string; seq: number }[]> {
    const members = await this.#redis.srandmember(this.#keys.retry(epoch), limit);
    return members.map((member) => {
      const [sid = "", seq = ""] = member.split(".");
      return { sid, seq: Number(seq) };
    });
  }

  retryLeft(epoch: number): Promise<number> {
    return this.#redis.scard(this.#keys.retry(epoch));
  }

  async totals(): Promise<WindowTotals> {
    const found = await this.#redis.hgetall(this.#keys.totals);
    const number = (field: string) => Number(found[field] ?? 0);
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
    };
  }

  // -- poison pages: the object in hand is named before it is touched

  async poison(page: string): Promise<{ current: string | undefined; dead: string[] }> {
    const found = await this.#redis.hgetall(this.#keys.poison(page));
    const { current, ...dead } = found;
    return { current: current || undefined, dead: Object.keys(dead).map((name) => name.slice(1)) };
  }

  async setCurrent(page: string, key: string): Promise<void> {
    await this.#redis.hset(this.#keys.poison(page), { current: key });
  }

  async bury(page: string, key: string): Promise<void> {
    await this.#redis.hset(this.#keys.poison(page), { [`=${key}`]: "1", current: "" });
  }

  async forgetPoison(page: string): Promise<void> {
    await this.#redis.del(this.#keys.poison(page));
  }

  // -- rebuild

  /** One rebuilder at a time; answers its release, or undefined. */
  async lockRebuild(ttlMs: number): Promise<(() => Promise<void>) | undefined> {
    const won = await this.#redis.set(this.#keys.lock, "1", "PX", ttlMs, "NX");
    return won === null ? undefined : async () => void (await this.#redis.del(this.#keys.lock));
  }

  async lose(): Promise<void> {
    await this.#redis.del(this.#keys.ready);
  }

  /** Replaces the whole window at once; `ready` is its last write. */
  async install(fresh: {
    readonly shards: readonly SummarizedShard[];
    readonly state: RunState;
    readonly epoch: number;
    readonly retry: readonly string[];
  }): Promise<void> {
    const change = this.#redis.multi();
    const shards = fresh.shards.length;
    const sums = { pages: 0, committed: 0, listed: 0, listedBytes: 0, bytes: 0, verified: 0, shards };
    const { meta, totals, open, listing, retry, big, parts } = this.#keys;
    change.del(meta, totals, open, listing, retry(fresh.epoch), big, parts);
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
    change.set(this.#keys.ready, "1");
    const answers = await change.exec();
    const failed = answers?.find(([error]) => error !== null);
    if (!answers || failed)
      throw new SealiftError("STATE_LOST", `the window of ${this.mid} could not be written: ${failed?.[0]?.message}`);
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
