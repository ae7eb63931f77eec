/** What stands in Redis, and what is said to its scripts: job payloads, a window that somebody edited, hostile arguments. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UnrecoverableError } from "bullmq";
import type { Redis } from "ioredis";
import { finalizeJob, isNewer, pageJob, payload, shardJob } from "../../../src/pipeline/job.ts";
import { of } from "../../../src/pipeline/keys.ts";
import { type PrivateRedis, startPrivateRedis } from "../../../src/pipeline/private.ts";
import { connectRedis } from "../../../src/pipeline/redis.ts";
import { COMMIT, COMMIT_RETRY, EMIT } from "../../../src/pipeline/scripts.ts";
import { Window } from "../../../src/pipeline/window.ts";
import { split, textOf } from "../input.ts";
import { holds, type Target } from "../target.ts";

export const payloadTarget: Target = {
  name: "payload",
  seeds: [
    '{"v":1,"mid":"20260101-000000-abcdef","sid":"s0001","seq":3,"epoch":0}',
    '{"v":1,"mid":"abc"}',
    '{"v":2}',
    '{"v":1,"mid":"abc","sid":"s0001"}',
  ],
  run: (bytes) => {
    let data: unknown;
    try {
      data = JSON.parse(Buffer.from(bytes).toString("utf8"));
    } catch {
      return;
    }
    if (isNewer(data)) return;
    const found = [finalizeJob, shardJob, pageJob].filter((shape) => shape.safeParse(data).success);
    payload<unknown>(found[0] ?? pageJob, data);
  },
  named: (error) => error instanceof UnrecoverableError,
};

const MID = "20260101-000000-abcdef";
const SID = "s0001";
const KEYS = of(MID);
const PAGES_AHEAD_MAX = 1_000_000;

let directory: string | undefined;
let server: PrivateRedis | undefined;
let redis: Redis | undefined;

async function opened(): Promise<Redis> {
  if (redis === undefined) {
    directory = mkdtempSync(join(tmpdir(), "sealift-fuzz-"));
    server = await startPrivateRedis(directory);
    redis = connectRedis(server.address);
    await redis.config("SET", "appendonly", "no");
  }
  return redis;
}

async function closed(): Promise<void> {
  redis?.disconnect();
  await server?.stop();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  redis = undefined;
  server = undefined;
}

/** Pages 1 to 4 are out, 1 and 3 are done, 4 is not the last. */
async function install(connection: Redis): Promise<void> {
  await connection
    .multi()
    .flushall()
    .set(KEYS.ready, "1")
    .hset(KEYS.meta, { state: "running", epoch: 1, trouble: "" })
    .hset(KEYS.shard(SID), { next: 5, wm: 1, cursor: "d" })
    .sadd(KEYS.outOfOrder(SID), 3)
    .hset(KEYS.totals, { listed: 8, listedBytes: 80, pages: 4, committed: 2, rewrapped: 4 })
    .sadd(KEYS.open, SID, "s0002")
    .sadd(KEYS.retry(1), `${SID}.1`, `${SID}.3`)
    .exec();
}

const WHOLE = /^-?(0|[1-9]\d{0,18})$/;

async function checkWindow(connection: Redis): Promise<void> {
  const [shard, above, totals] = await Promise.all([
    connection.hgetall(KEYS.shard(SID)),
    connection.smembers(KEYS.outOfOrder(SID)),
    connection.hgetall(KEYS.totals),
  ]);
  for (const [name, value] of Object.entries({
    next: shard["next"],
    wm: shard["wm"],
    last: shard["last"] ?? "1",
    ...totals,
  })) {
    holds(WHOLE.test(value ?? ""), `${name} became ${value}`);
  }
  const [next, watermark] = [Number(shard["next"]), Number(shard["wm"])];
  holds(next >= 5 && watermark >= 1 && watermark < next, `next ${next}, watermark ${watermark}`);
  holds(shard["last"] === undefined || Number(shard["last"]) === next - 1, `last ${shard["last"]}, next ${next}`);
  holds(Number(totals["pages"]) === next - 1, `${totals["pages"]} pages, next ${next}`);
  for (const seq of above)
    holds(WHOLE.test(seq) && Number(seq) > watermark && Number(seq) < next, `out of order: ${seq}`);
  // Every page below the watermark and every one above it in the set was counted once.
  holds(
    Number(totals["committed"]) === watermark + above.length,
    `${totals["committed"]} committed, ${watermark} and ${above.length}`,
  );
}

const EMIT_KEYS = [KEYS.ready, KEYS.shard(SID), KEYS.totals, KEYS.open, KEYS.listing];

const SCRIPTS = {
  emit: [EMIT, EMIT_KEYS],
  split: [EMIT, [...EMIT_KEYS, KEYS.shard(`${SID}a`), KEYS.shard(`${SID}b`)]],
  commit: [COMMIT, [KEYS.ready, KEYS.shard(SID), KEYS.outOfOrder(SID), KEYS.totals, KEYS.open]],
  retry: [COMMIT_RETRY, [KEYS.ready, KEYS.retry(1), KEYS.totals, KEYS.open]],
} as const;
const CALLS_MAX = 8;

/** Lines of `script,argument,argument...`: the arguments as a worker that is broken, or is not ours, would send them. */
export const luaTarget: Target = {
  name: "lua",
  seeds: [
    `emit,5,e,0,2,20,${SID}\ncommit,${SID},2,rewrapped,2,bytes,20`,
    `emit,5,,1,0,0,${SID}\ncommit,${SID},5\ncommit,${SID},2\ncommit,${SID},4`,
    `split,5,d,1,0,0,${SID},${SID}a,d,${SID}b,m\ncommit,${SID},5`,
    `retry,${SID}.1,failed,-1,rewrapped,1\nretry,${SID}.3`,
  ],
  run: async (bytes) => {
    const connection = await opened();
    await install(connection);
    const answers: string[] = [];
    for (const line of textOf(bytes).split("\n").slice(0, CALLS_MAX)) {
      const [name = "", ...args] = line.split(",");
      if (!Object.hasOwn(SCRIPTS, name)) continue;
      const [script, keys] = SCRIPTS[name as keyof typeof SCRIPTS];
      const answer = Number(await connection.eval(script, keys.length, ...keys, ...args));
      holds(Number.isInteger(answer) && answer >= -3 && answer <= 2, `${name} answered ${answer}`);
      answers.push(`${name} ${answer}`);
    }
    // Given up, not damaged: the next sweep rebuilds it.
    if ((await connection.exists(KEYS.ready)) === 1) await checkWindow(connection);
    return [...new Set(answers)].sort().join();
  },
  close: closed,
};

const PLACES = {
  meta: KEYS.meta,
  shard: KEYS.shard(SID),
  totals: KEYS.totals,
  above: KEYS.outOfOrder(SID),
  open: KEYS.open,
  retry: KEYS.retry(1),
};

/** Lines of `meta|shard|totals field value`, `above|retry member` or `type place`: a window that somebody edited. */
export const windowTarget: Target = {
  name: "window",
  seeds: [
    "shard next 5\nshard wm 2\nmeta state paused",
    "shard last 4\nabove 3\nabove 4",
    "totals pages 4\ntotals code:NET_TIMEOUT 2\nmeta epoch 1",
    "retry s0001.1",
    "type open",
    "type above",
    "type retry",
    "type open\ntype shard",
    "type above",
    "type totals",
    "type retry",
    "type meta",
  ],
  run: async (bytes) => {
    const connection = await opened();
    await install(connection);
    const change = connection.multi();
    for (const line of textOf(bytes).split("\n").slice(0, 32)) {
      const [where, rest] = split(line, " ");
      const [field, value] = split(rest, " ");
      if (where === "meta") change.hset(KEYS.meta, field, value);
      if (where === "shard") change.hset(KEYS.shard(SID), field, value);
      if (where === "totals") change.hset(KEYS.totals, field, value);
      if (where === "above") change.sadd(KEYS.outOfOrder(SID), rest);
      if (where === "retry") change.sadd(KEYS.retry(1), rest);
      if (where === "type" && Object.hasOwn(PLACES, rest)) change.set(PLACES[rest as keyof typeof PLACES], "text");
    }
    await change.exec();
    const window = new Window(connection, MID);
    const meta = await window.meta();
    if (meta !== undefined) {
      holds(/^(running|paused|cancelled|halted|finished)$/.test(meta.state), `state ${meta.state}`);
      holds(Number.isSafeInteger(meta.epoch) && meta.epoch >= 0, `epoch ${meta.epoch}`);
    }
    const shard = await window.shard(SID);
    if (shard !== undefined) {
      const { next, watermark, last } = shard;
      holds(Number.isSafeInteger(next) && Number.isSafeInteger(watermark), `next ${next}, watermark ${watermark}`);
      holds(
        watermark >= 0 && watermark < next && next - watermark <= PAGES_AHEAD_MAX,
        `next ${next}, watermark ${watermark}`,
      );
      holds(last === undefined || Number.isSafeInteger(last), `last ${last}`);
    }
    for (const seq of await window.committedAbove(SID)) holds(Number.isSafeInteger(seq), `out of order: ${seq}`);
    for (const { sid, seq } of await window.retryPages(1, 10))
      holds(sid.length > 0 && Number.isSafeInteger(seq), `retry ${sid}.${seq}`);
    for (const [name, value] of Object.entries((await window.totals()).counts))
      holds(Number.isSafeInteger(value), `${name} ${value}`);
    await window.emit({ v: 1, mid: MID, sid: SID, seq: 5, end: "e", isLast: false, count: 1, bytes: 1 });
  },
  close: closed,
};
