/** The job a verb was pointed at. */
import { readFile } from "node:fs/promises";
import { parseJob } from "../config/job.ts";
import { SealiftError } from "../core/error.ts";
import type { Job } from "../core/job.ts";
import { usage } from "./flags.ts";

/** Throws USAGE without a path, JOB_INVALID where the text is not a job. `-` is standard input. */
export async function readJob(path: string | undefined): Promise<Job> {
  if (path === undefined) throw usage("which job file? (sealift init writes one)");
  const text = await readFile(path === "-" ? "/dev/stdin" : path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new SealiftError("JOB_INVALID", `${path} cannot be read: ${error.code ?? error.message}`, { cause: error });
  });
  return parseJob(text, path === "-" ? "standard input" : path);
}
