/**
 * Huge objects: what a page has deferred is begun once, copied in groups of parts by whichever workers are free, and finished by
 * whoever finds all of it there. Each step looks at the ledger and at what the destination holds, never at queues: it can be taken
 * twice, by two at once, or again after any crash.
 */
import type { Job } from "bullmq";
import { asSealiftError, SealiftError } from "../core/error.ts";
import { failpoint } from "../core/failpoint.ts";
import type { BigDoneRecord, BigRecord } from "../ledger/ledger.ts";
import type { HeldPart } from "../store/store.ts";
import { copyGroup, heldOf } from "../transfer/group.ts";
import { beginHuge, finishHuge, partsOf, taskOf, uploadName } from "../transfer/huge.ts";
import { abortUploads } from "../transfer/leftovers.ts";
import { failure } from "../transfer/page.ts";
import { groupCount, groupOf, partCount } from "../transfer/partplan.ts";
import { isRunning, type PipelineContext } from "./context.ts";
import { ensure } from "./ensure.ts";
import { alone, type Big, conclude, failed, inHand, leave, settle, tried } from "./inhand.ts";
import { bigJob, type GroupJob, groupJob, groupJobId, PAYLOAD_VERSION, wakeJobId } from "./job.ts";

/** Groups of one object that are queued or in hand at once. */
const GROUPS_AHEAD = 16;
/** Uploads of one object that may be lost (a lifecycle rule, a provider's conflict) before it counts as failed. */
const TURNS_MAX = 3;

/** Begins, gives out what is missing, or finishes. */
export async function bigObjectJob(context: PipelineContext, job: Job, token: string | undefined): Promise<void> {
  await inHand(
    context,
    job,
    token,
    bigJob,
    ({ bid }) => bid,
    async (big) => {
      await alone(big, async () => {
        const done = await advance(big);
        if (done) await settle(big, done);
      });
    },
  );
}

/** Copies one group of parts. */
export async function groupObjectJob(context: PipelineContext, job: Job, token: string | undefined): Promise<void> {
  await inHand(context, job, token, groupJob, groupName, async (big, id) => {
    const { mid, bid, turn, group } = id;
    const upload = await context.ledger.big.upload(mid, bid, turn, context.signal);
    // Of an upload that was never begun, or a group that it does not have: an injected job.
    if (!upload || group >= groupCount(upload)) return;
    const ended = () => context.ledger.big.done(mid, bid, context.signal);
    // Asked again at the end: a worker that was thought dead may have sent a part after all was over.
    const done = (await ended()) ?? (await workGroup(big, upload, group)) ?? (await ended());
    if (done) return settle(big, done);
    // A part that was under way when the migration was cancelled came after the others had been swept up.
    if (!(await isRunning(context, big.window))) return leave(big);
    const next = group + GROUPS_AHEAD;
    if (next < groupCount(upload)) return giveGroup(context, { ...id, group: next });
    const data = { v: PAYLOAD_VERSION, mid, bid };
    await context.queues.copy.add("big", data, { jobId: wakeJobId(id) });
  });
}

const groupName = ({ bid, turn, group }: GroupJob): string => `${bid}.${turn}.${group}`;

async function giveGroup(context: PipelineContext, data: GroupJob): Promise<void> {
  await ensure(context, context.queues.copy, "group", groupJobId(data), data);
}

/** The outcome; undefined where parts are still to be copied by others. */
async function advance(big: Big): Promise<BigDoneRecord | undefined> {
  const { context, mid, bid, object, crossing } = big;
  const { ledger, signal } = context;
  const existing = await ledger.big.done(mid, bid, signal);
  if (existing) return existing;
  let begun = (await ledger.big.latest(mid, bid, signal)) ?? (await begin(big, 1));
  for (;;) {
    if (!("uploadId" in begun)) return begun;
    const upload = begun;
    const finished = await tried(big, async () =>
      finishHuge(object, upload, await ledger.big.witnesses(upload, signal), crossing),
    );
    if ("receipt" in finished) return conclude(big, finished.receipt);
    if ("missing" in finished) return giveGroups(big, upload, finished.missing);
    await abortUploads(taskOf(object, crossing).key, big.createdMs, undefined, crossing);
    if (upload.turn >= TURNS_MAX) return conclude(big, failure(object.key, finished.lost, upload.turn));
    context.log.warn(
      { migration: mid, object: bid, errorCode: finished.lost.code },
      `begun again: ${finished.lost.message}`,
    );
    begun = await begin(big, upload.turn + 1);
  }
}

/** The upload that counts: this one, or that of whoever was faster. */
async function begin(big: Big, turn: number): Promise<BigRecord | BigDoneRecord> {
  const { context, mid, bid, page, object, crossing } = big;
  const begun = await tried(big, () => beginHuge(object, crossing));
  if ("lost" in begun || "missing" in begun) throw new SealiftError("INTERNAL", "a beginning that is none");
  if ("receipt" in begun) return conclude(big, begun.receipt);
  const { replaces, serverKeyName, file, ...upload } = begun.upload;
  const mine: BigRecord = {
    v: 1,
    mid,
    bid,
    turn,
    pageSha256: page.sha256,
    ...upload,
    fixed: { names: [...upload.fixed.names], sha256: upload.fixed.sha256 },
    ...(replaces === undefined ? {} : { replaces: pin(replaces) }),
    ...(serverKeyName === undefined ? {} : { serverKeyName }),
    ...(file === undefined ? {} : { file: { ...pin(file), key: file.key, sizeBytes: file.sizeBytes } }),
    worker: context.name,
    at: context.now().toISOString(),
  };
  const winner = await context.ledger.big.begin(mine, context.signal);
  failpoint("big.recorded", object.key);
  const task = taskOf(object, crossing);
  if (winner.uploadId === mine.uploadId) return winner;
  // What cannot be aborted now is when the object has its outcome.
  await partsOf(crossing)
    .abort(uploadName(task, mine), context.signal)
    .catch(() => undefined);
  return winner;
}

const pin = ({ version, etag }: { version?: string | undefined; etag: string }) => ({
  etag,
  ...(version === undefined ? {} : { version }),
});

/** The first of what is missing; each gives the one that follows so many behind it. */
async function giveGroups(big: Big, upload: BigRecord, missing: readonly number[]): Promise<undefined> {
  const { context, window, mid, bid } = big;
  await window.big.noteParts(bid, partCount(upload) - missing.length, partCount(upload));
  const groups = [...new Set(missing.map((number) => groupOf(upload, number)))].slice(0, GROUPS_AHEAD);
  for (const group of groups) {
    await giveGroup(context, { v: PAYLOAD_VERSION, mid, bid, turn: upload.turn, group });
  }
}

/** undefined: the group is there (or its upload is not), and the object's own job has to look on. */
async function workGroup(big: Big, upload: BigRecord, group: number): Promise<BigDoneRecord | undefined> {
  const { context, window, object, crossing } = big;
  const { ledger, signal, draining } = context;
  let stopped = false;
  const onPart = async () => {
    if (draining.aborted) throw new SealiftError("INTERRUPTED", "the worker is ending");
    // A state that cannot be told now stops nothing: what is copied stays copied.
    const state = await context.works.state(window, context.now().getTime()).catch(() => undefined);
    stopped ||= state !== undefined && state !== "running";
    if (stopped) throw new SealiftError("INTERRUPTED", "the migration was paused or cancelled");
  };
  const limits = { objects: context.objects, onPart };
  const witnesses = await ledger.big.witnesses(upload, signal);
  let sent: readonly HeldPart[] | undefined;
  try {
    sent = await copyGroup(object, upload, group, witnesses, crossing, limits);
  } catch (error) {
    if (stopped && asSealiftError(error).code === "INTERRUPTED") return undefined;
    return conclude(big, failed(big, asSealiftError(error), crossing.rules.attempts));
  }
  if (sent && sent.length > 0) await witness(big, upload, group, sent);
  const fields = { migration: big.mid, object: big.bid, group, parts: sent?.length, worker: context.name };
  context.log.debug(fields, "group copied");
  failpoint("big.grouped", object.key);
  return undefined;
}

/** Where the destination states no CRC32C of its parts, the ledger keeps what was sent. */
async function witness(
  { context, object, crossing }: Big,
  upload: BigRecord,
  group: number,
  sent: readonly HeldPart[],
): Promise<void> {
  const held = await heldOf(taskOf(object, crossing), upload, group);
  if (!held?.some(({ crc32c }) => crc32c === undefined)) return;
  const parts = sent.map(({ first, tag, crc32c = 0 }) => [first, tag, crc32c] as const);
  await context.ledger.big.putWitness(upload, group, parts, context.signal);
}
