/** Shapes of the ledger's records. Everything read back is checked: whoever reaches the ledger could have edited it. */
import { z } from "zod";
import { type Advisory, ALL_ADVISORIES } from "../core/advisory.ts";
import { CODES, type Code } from "../core/error.ts";
import { OUTCOMES } from "../core/plan.ts";
import { STOOD_CHARACTERS } from "../core/stood.ts";
import { BID, MID, SID } from "./layout.ts";

const count = z.number().int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const key = z.string().min(1).max(1024);
const code = z.enum(Object.keys(CODES) as [Code, ...Code[]]);

const advisory = z.enum(ALL_ADVISORIES as [Advisory, ...Advisory[]]);
const advisories = z.partialRecord(advisory, count);

export const counts = z.strictObject(
  Object.fromEntries(OUTCOMES.map((outcome) => [outcome, count])) as Record<(typeof OUTCOMES)[number], typeof count>,
);

export const shard = z.strictObject({
  sid: z.string().regex(SID),
  /** The shard holds the keys in (after, until], UTF-8 byte order; absent ends are open. */
  after: z.string().max(1024).optional(),
  until: z.string().max(1024).optional(),
});

export const plan = z.strictObject({
  v: z.literal(1),
  mid: z.string().regex(MID),
  createdAt: z.string().max(40),
  /** The job file as data; it holds references to secrets, never secrets. */
  job: z.record(z.string(), z.unknown()),
  jobSha256: sha256,
  shards: z.array(shard).min(1).max(10_000),
});

export const pageHeader = z.strictObject({
  v: z.literal(1),
  mid: z.string().regex(MID),
  sid: z.string().regex(SID),
  seq: z.number().int().positive(),
  after: z.string().max(1024).optional(),
  /** The last key of the page; on the last page the shard's `until`, absent when that is open. */
  end: z.string().max(1024).optional(),
  count: count.max(1000),
  bytes: count,
  isLast: z.boolean(),
  /** SHA-256 of the stored bytes of the page before; absent on page 1. */
  prevSha256: sha256.optional(),
  /**
   * On an empty last page: the rest of the shard went to its two halves, (end, at] and (at, until]. The page takes the place of
   * the next page of objects, so whoever writes that number first decides, and nobody lists behind a split.
   */
  split: z.strictObject({ at: z.string().min(1).max(1024) }).optional(),
  /** Of the plan under which it was listed (bond.ts): a plan that is edited later no longer fits its pages. */
  planSha256: sha256.optional(),
});

/** ECMA-262, 21.4.1.1: further from 1970 there are no dates, and writing one down throws. */
const TIME_MS_MAX = 8.64e15;

/** One listed object. Short names: there are a thousand of these a page and a million pages. */
export const pageLine = z.strictObject({
  k: key,
  s: count,
  e: z.string().max(256),
  v: z.string().max(1024).optional(),
  t: z.number().min(-TIME_MS_MAX).max(TIME_MS_MAX),
  c: z.string().max(64).optional(),
  /** How an earlier migration left it at the destination. */
  w: z.string().length(STOOD_CHARACTERS).optional(),
});

export const problem = z.strictObject({
  key,
  version: z.string().max(1024).optional(),
  outcome: z.enum(["conflict", "refused", "failed"]),
  code,
  message: z.string().max(400),
  attempts: count,
});

export const done = z.strictObject({
  v: z.literal(1),
  mid: z.string().regex(MID),
  sid: z.string().regex(SID),
  seq: z.number().int().positive(),
  epoch: count,
  /** Of the whole page as it stands after this epoch; with `deferred` they sum to `count`. */
  counts,
  count: count.max(1000),
  /** One letter an object, in page order (core/plan.ts OUTCOME_LETTER). */
  outcomes: z.string().max(1000),
  /** Bytes listed on the page, and bytes written at the destination up to this epoch. */
  listedBytes: count,
  bytes: count,
  verified: count,
  /** Of conflict, refused and failed objects, complete. */
  problems: z.array(problem).max(1000),
  /** How many of those that stand at the destination have which weakness. */
  advisories: advisories.optional(),
  /** Places on the page of huge objects, each with an outcome of its own: with these the counts sum to `count`. */
  deferred: z.array(count.max(999)).max(1000).optional(),
  /** SHA-256 of the stored bytes of the page this answers. */
  pageSha256: sha256,
  worker: z.string().max(200),
  startedAt: z.string().max(40),
  endedAt: z.string().max(40),
});

/** How the objects of a page stood at the destination, each in its place on the page; what is not known is dots. */
export const standing = z.strictObject({
  v: z.literal(1),
  mid: z.string().regex(MID),
  sid: z.string().regex(SID),
  seq: z.number().int().positive(),
  epoch: count,
  objects: z.string().max(1000 * STOOD_CHARACTERS),
  pageSha256: sha256,
});

/** Which migration went this way before: a help to be fast, which nothing depends on. */
export const since = z.strictObject({ v: z.literal(1), mid: z.string().regex(MID), since: z.string().regex(MID) });

const bid = z.string().regex(BID);

/** A huge object's upload, begun: who comes later goes on with it. `turn` counts uploads that were lost before this one. */
export const big = z.strictObject({
  v: z.literal(1),
  mid: z.string().regex(MID),
  bid,
  turn: z.number().int().positive(),
  pageSha256: sha256,
  uploadId: z.string().min(1).max(4096),
  outcome: z.enum(["rewrapped", "carried"]),
  sizeBytes: z.number().int().positive(),
  partBytes: z.number().int().positive(),
  groupParts: z.number().int().positive(),
  replaces: z.strictObject({ version: z.string().max(1024).optional(), etag: z.string().max(256) }).optional(),
  serverKeyName: z.string().max(4096).optional(),
  /** The object beside it that its envelope was read from. */
  file: z
    .strictObject({
      key: z.string().min(1).max(1024),
      version: z.string().max(1024).optional(),
      etag: z.string().max(256),
      sizeBytes: count,
    })
    .optional(),
  /** Names of what was set beside the object, and one digest of the values (transfer/fixed.ts). */
  fixed: z.strictObject({ names: z.array(z.string().max(8192)).max(1000), sha256 }),
  worker: z.string().max(200),
  at: z.string().max(40),
});

/** Where the destination states no CRC32C of its parts: number, tag and CRC32C of those that one worker sent. */
export const witness = z.strictObject({
  v: z.literal(1),
  parts: z.array(z.tuple([z.number().int().positive(), z.string().max(1024), count.max(0xffffffff)])).max(10_000),
});

export const bigDone = z.strictObject({
  v: z.literal(1),
  mid: z.string().regex(MID),
  bid,
  outcome: z.enum(OUTCOMES),
  bytes: count,
  verified: z.boolean(),
  crc32c: count.max(0xffffffff).optional(),
  /** Of conflict, refused and failed. */
  problem: problem.optional(),
  advisories: z.array(advisory).max(ALL_ADVISORIES.length).optional(),
  pageSha256: sha256,
  worker: z.string().max(200),
  startedAt: z.string().max(40),
  endedAt: z.string().max(40),
});

export const ckpt = z.strictObject({
  v: z.literal(1),
  /** Sums of epoch 0 over pages 1..seq. */
  seq: z.number().int().positive(),
  counts,
  listedBytes: count,
  bytes: count,
  verified: count,
  codes: z.partialRecord(code, count),
  advisories,
});

export const retry = z.strictObject({
  v: z.literal(1),
  epoch: z.number().int().positive(),
  /** Only problems with this code; absent: every `failed` object. */
  code: code.optional(),
  pages: z.array(z.tuple([z.string().regex(SID), z.number().int().positive()])).max(10_000_000),
  at: z.string().max(40),
});

export const event = z.strictObject({
  v: z.literal(1),
  action: z.enum(["start", "adopt", "pause", "resume", "cancel", "retry", "halt"]),
  at: z.string().max(40),
  by: z.string().max(200),
  /** Of halt: what stopped the migration. */
  code: code.optional(),
  message: z.string().max(400).optional(),
});

export const STATES = [
  "Pending",
  "Running",
  "Paused",
  "Cancelling",
  "Cancelled",
  "Completed",
  "CompletedWithErrors",
  "CompletedWithSkipped",
  "CompletedWithErrorsAndSkipped",
  "Failed",
] as const;

export const result = z.strictObject({
  v: z.literal(1),
  mid: z.string().regex(MID),
  epoch: count,
  state: z.enum(STATES),
  listed: count,
  counts,
  listedBytes: count,
  bytes: count,
  verified: count,
  codes: z.partialRecord(code, count),
  advisories,
  pages: count,
  shards: count,
  /** SHA-256 over every shard's last page hash and every outcome string: two audits of one ledger agree on it. */
  digest: sha256,
  at: z.string().max(40),
});

export type Shard = z.infer<typeof shard>;
export type PlanRecord = z.infer<typeof plan>;
export type PageHeader = z.infer<typeof pageHeader>;
export type PageLine = z.infer<typeof pageLine>;
export type Problem = z.infer<typeof problem>;
export type DoneRecord = z.infer<typeof done>;
export type StandingRecord = z.infer<typeof standing>;
export type BigRecord = z.infer<typeof big>;
export type BigDoneRecord = z.infer<typeof bigDone>;
export type CkptRecord = z.infer<typeof ckpt>;
export type RetryRecord = z.infer<typeof retry>;
export type EventRecord = z.infer<typeof event>;
export type ResultRecord = z.infer<typeof result>;
export type MigrationState = (typeof STATES)[number];
export type CodeCounts = Partial<Record<Code, number>>;
