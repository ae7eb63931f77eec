/** A group of parts of a huge object: what the destination lacks of it is read from the source, pinned, and put part by part. */
import type { Budget } from "../core/budget.ts";
import { failpoint } from "../core/failpoint.ts";
import type { ListedObject } from "../core/object.ts";
import type { HeldPart } from "../store/store.ts";
import type { Task } from "./copy.ts";
import { type HugeUpload, partsOf, taskOf, uploadName } from "./huge.ts";
import { holdingOf, type Witnesses } from "./holding.ts";
import { inLanes } from "./page.ts";
import { extentOf, partsIn } from "./partplan.ts";
import { checkAsListed, pinOf } from "./pinned.ts";
import { retrying } from "./retry.ts";
import type { Crossing } from "./shores.ts";

/** Parts of one group in flight; a process has several groups and pages in hand, and one allowance of bytes for all of them. */
const LANES = 4;

export interface GroupLimits {
  /** Objects in flight in this process; a part counts as one. */
  readonly objects: Budget;
  /** Called before a part is taken. What it throws stops the group: parts in hand end, no other begins. */
  readonly onPart?: (() => Promise<void>) | undefined;
  readonly random?: (() => number) | undefined;
}

/** undefined: the upload is gone. Else what was sent now; parts that were there already are not sent again. */
export async function copyGroup(
  listed: ListedObject,
  upload: HugeUpload,
  group: number,
  witnesses: Witnesses,
  crossing: Crossing,
  limits: GroupLimits,
): Promise<readonly HeldPart[] | undefined> {
  const task = taskOf(listed, crossing);
  const held = await heldOf(task, upload, group);
  if (!held) return undefined;
  const missing = new Set(holdingOf(upload, held, witnesses).missing);
  const wanted = partsIn(upload, group).filter((number) => missing.has(number));
  const sent: HeldPart[] = [];
  await inLanes(wanted, LANES, async (number) => {
    await limits.onPart?.();
    const release = await limits.objects.take(1, task.signal);
    try {
      sent.push(await copyPart(task, upload, number, limits.random ?? Math.random));
    } finally {
      release();
    }
    failpoint("big.part", listed.key);
  });
  return sent.sort((a, b) => a.first - b.first);
}

/** What the destination holds of a group; undefined: the upload is gone. */
export async function heldOf(task: Task, upload: HugeUpload, group: number): Promise<readonly HeldPart[] | undefined> {
  const numbers = partsIn(upload, group);
  const only = { first: numbers[0] ?? 1, last: numbers.at(-1) ?? 1 };
  return partsOf(task).list(uploadName(task, upload), task.signal, only);
}

async function copyPart(task: Task, upload: HugeUpload, number: number, random: () => number): Promise<HeldPart> {
  const { rules, signal } = task;
  const { attempts, delayMs } = rules;
  const tried = await retrying({ attempts, delayMs, signal, random }, () => sendPart(task, upload, number));
  if ("value" in tried) return tried.value;
  throw tried.error;
}

async function sendPart(task: Task, upload: HugeUpload, number: number): Promise<HeldPart> {
  const { listed, shores, signal } = task;
  const range = extentOf(upload, number);
  const opened = await shores.source.open(listed.key, { ifVersion: pinOf(listed), range, signal });
  let done = false;
  try {
    checkAsListed(opened.head, listed);
    const sizeBytes = range.end - range.start;
    const part = await partsOf(task).put(uploadName(task, upload), number, opened.body, { sizeBytes, signal });
    done = true;
    return part;
  } finally {
    if (!done) await opened.cancel().catch(() => undefined);
  }
}
