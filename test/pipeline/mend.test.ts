/** Jobs whose fields somebody edited: a worker that cannot read one leaves it in hand for ever, unless the sweeper mends it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "bullmq";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { PipelineContext } from "../../src/pipeline/context.ts";
import { ensure } from "../../src/pipeline/ensure.ts";
import { closeQueues, openQueues, pageJobId, type Queues } from "../../src/pipeline/job.ts";
import { PREFIX } from "../../src/pipeline/keys.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { MID } from "../ledger/story.ts";

const DATA = { v: 1 as const, mid: MID, sid: "s0001", seq: 3, epoch: 0 };
const ID = pageJobId(DATA);
const FIELDS = ["data", "opts", "progress", "parent", "name", "ats", "atm", "stc", "delay", "priority", "timestamp"];
const VALUES = ["{", "null", "[]", "5", '"x"', '{"v":1,"seq":7}', ""];

let directory: string;
let server: PrivateRedis;
let redis: Redis;
let queues: Queues;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealift-mend-"));
  server = await startPrivateRedis(directory);
  redis = connectRedis(server.address);
});

beforeEach(async () => {
  await redis.flushall();
  queues = openQueues(redis);
});

afterAll(async () => {
  await closeQueues(queues);
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

it.each(FIELDS)("%s is edited, and the job comes to a worker all the same", { timeout: 60_000 }, async (field) => {
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  const context = { redis, log } as unknown as PipelineContext;
  for (const value of VALUES) {
    await queues.copy.add("page", DATA, { jobId: ID });
    await redis.hset(queues.copy.toKey(ID), field, value);
    let seen = false;
    const connection = connectRedis(server.address);
    const take = async (job: { data: unknown }) => {
      seen ||= JSON.stringify(job.data) === JSON.stringify(DATA);
    };
    const times = { lockDuration: 400, stalledInterval: 200, maxStalledCount: 1000, drainDelay: 1 };
    const worker = new Worker(queues.copy.name, take, { connection, prefix: PREFIX, ...times });
    worker.on("error", () => undefined);
    await sleep(150);
    for (let round = 0; round < 60 && !seen; round++) {
      await ensure(context, queues.copy, "page", ID, DATA);
      await sleep(100);
    }
    expect(seen, JSON.stringify(value)).toBe(true);
    await worker.close(true);
    connection.disconnect();
    await redis.flushall();
  }
});
