/** Giving a job again that should be there, whatever has become of it. */
import type { Queue } from "bullmq";
import type { PipelineContext } from "./context.ts";

/**
 * The job waits, runs, or is added. BullMQ drops an id that exists in any state without a word, and an orphaned hash (its id
 * fell out of every list) blocks its id for ever: both are removed first.
 */
export async function ensure(
  { redis, log }: Pick<PipelineContext, "redis" | "log">,
  queue: Queue,
  name: string,
  jobId: string,
  data: object,
): Promise<void> {
  // Asked before the state: a job that somebody adds in between must not be taken for an orphan.
  const exists = (await redis.exists(queue.toKey(jobId))) === 1;
  const state = await queue.getJobState(jobId);
  if (state !== "unknown" && state !== "failed" && state !== "completed") return;
  if (state !== "unknown") await queue.remove(jobId);
  else if (exists) await redis.del(queue.toKey(jobId));
  await queue.add(name, data, { jobId });
  log.debug({ queue: queue.name, job: jobId, was: state }, "job given again");
}
