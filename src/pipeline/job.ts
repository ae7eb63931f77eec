/**
 * Queues and what travels on them: ids, never keys, contents or settings. A job is a disposable hint; whoever injects one can
 * only make a worker look at the ledger again.
 */
import { type DefaultJobOptions, Queue, UnrecoverableError } from "bullmq";
import type { Redis } from "ioredis";
import { z } from "zod";
import { BID, MID, SID } from "../ledger/ledger.ts";
import { PREFIX } from "./keys.ts";

/** Raised when a payload changes shape: an older worker leaves newer jobs to newer workers. */
export const PAYLOAD_VERSION = 1;

const mid = z.string().regex(MID);
const sid = z.string().regex(SID);
const seq = z.number().int().positive();
const epoch = z.number().int().nonnegative();
const v = z.literal(PAYLOAD_VERSION);

export const finalizeJob = z.strictObject({ v, mid });
export const shardJob = z.strictObject({ v, mid, sid });
export const pageJob = z.strictObject({ v, mid, sid, seq, epoch });

const bid = z.string().regex(BID);
export const bigJob = z.strictObject({ v, mid, bid });
export const groupJob = z.strictObject({ v, mid, bid, turn: seq, group: epoch });

export type GroupJob = z.infer<typeof groupJob>;
export type BigJob = z.infer<typeof bigJob>;
export type ShardJob = z.infer<typeof shardJob>;
export type PageJob = z.infer<typeof pageJob>;

/** Deterministic: adding a job that waits already adds nothing. BullMQ forbids `:` in ids. */
export const shardJobId = (job: { mid: string; sid: string }): string => `l.${job.mid}.${job.sid}`;
export const pageJobId = (job: { mid: string; sid: string; seq: number; epoch: number }): string =>
  `p.${job.mid}.${job.sid}.${job.seq}.${job.epoch}`;
export const bigJobId = (job: { mid: string; bid: string }): string => `b.${job.mid}.${job.bid}`;
export const groupJobId = (job: { mid: string; bid: string; turn: number; group: number }): string =>
  `g.${job.mid}.${job.bid}.${job.turn}.${job.group}`;
/** A group has ended: whether it was the last is asked by a job of its own, which none that is under way can swallow. */
export const wakeJobId = (job: { mid: string; bid: string; turn: number; group: number }): string =>
  `${bigJobId(job)}.${job.turn}.${job.group}`;
export const finalizeJobId = (id: string): string => `finalize.${id}`;

export interface Queues {
  readonly control: Queue;
  readonly list: Queue;
  readonly copy: Queue;
}

/** Completed jobs leave nothing behind, failed ones little: large finished sets are what makes Redis slow and full. */
const JOB_DEFAULTS: DefaultJobOptions = {
  removeOnComplete: { count: 0 },
  removeOnFail: { count: 500 },
  attempts: 8,
  backoff: { type: "exponential", delay: 500, jitter: 0.5 },
  sizeLimit: 4096,
  stackTraceLimit: 5,
  keepLogs: 20,
};

export function openQueues(connection: Redis): Queues {
  const open = (name: string) => {
    const queue = new Queue(name, {
      connection,
      prefix: PREFIX,
      defaultJobOptions: JOB_DEFAULTS,
      streams: { events: { maxLen: 1000 } },
    });
    // Connection errors are reported where commands fail; without a listener they would end the process.
    queue.on("error", () => undefined);
    return queue;
  };
  return { control: open("control"), list: open("list"), copy: open("copy") };
}

export async function closeQueues(queues: Queues): Promise<void> {
  await Promise.allSettled([queues.control.close(), queues.list.close(), queues.copy.close()]);
}

/** A payload of a later version, written by a newer program. */
export function isNewer(data: unknown): boolean {
  if (typeof data !== "object" || data === null) return false;
  const { v: version } = data as { v?: unknown };
  return typeof version === "number" && version > PAYLOAD_VERSION;
}

/**
 * Ghost jobs (hash evicted, edited or injected) end here: they fail for good and harm nothing, because the sweeper asks for
 * every missing page by its id.
 */
export function payload<T>(shape: z.ZodType<T>, data: unknown): T {
  const parsed = shape.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new UnrecoverableError("ghost job: its payload is not one of ours");
}
