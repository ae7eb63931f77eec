/** A job that must be in its queue: given again where BullMQ or Redis lost it, mended where somebody edited it. */
import type { Queue } from "bullmq";
import type { PipelineContext } from "./context.ts";
import { MEND_JOB } from "./scripts.ts";

/** No delay that we ask for is longer: a newer payload's minute, the last backoff. */
const DELAY_MAX_MS = 5 * 60_000;

/**
 * The job waits, runs, or is added. BullMQ drops an id that exists in any state without a word, and an orphaned hash (its id
 * fell out of every list) blocks its id for ever: whatever is left of the job is removed first, in one step that leaves jobs in
 * hand alone. (Deleting the hash by itself would take it from a worker that has been given the job meanwhile.)
 */
export async function ensure(
  context: PipelineContext,
  queue: Queue,
  name: string,
  jobId: string,
  data: object,
): Promise<void> {
  const state = await queue.getJobState(jobId);
  const comes = state === "delayed" && (await comesSoon(context, queue, jobId));
  if (comes || state === "waiting" || state === "active" || state === "prioritized") {
    // BullMQ gives a job whose fields it cannot read to one worker after another, and none of them can even fail it.
    await context.redis.eval(MEND_JOB, 1, queue.toKey(jobId), JSON.stringify(data));
    return;
  }
  await queue.remove(jobId);
  await queue.add(name, data, { jobId });
  context.log.debug({ queue: queue.name, job: jobId, was: state }, "job given again");
}

/** A process whose clock runs ahead puts its jobs off into a future that is far away for everybody else. */
async function comesSoon({ redis }: PipelineContext, queue: Queue, jobId: string): Promise<boolean> {
  const score = await redis.zscore(queue.toKey("delayed"), jobId);
  const [seconds = 0] = (await redis.time()).map(Number);
  return score !== null && Number(score) / DELAYED_SCORE < seconds * 1000 + DELAY_MAX_MS;
}

/** BullMQ's score of a delayed job is its time times this. */
const DELAYED_SCORE = 0x1000;
