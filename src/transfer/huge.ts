/**
 * A huge object in steps that any worker can take, after any other and again after a crash: begun, its parts copied in groups,
 * finished. What is done is what the destination holds (holding.ts); what was begun is a record that fits a ledger (HugeUpload).
 * Only objects whose bytes do not change are divided: a body that is sealed afresh is one GCM stream and stays with one worker.
 */
import type { Advisory } from "../core/advisory.ts";
import { asSealiftError, SealiftError } from "../core/error.ts";
import { failpoint } from "../core/failpoint.ts";
import type { ListedObject, ObjectHead, VersionPin } from "../core/object.ts";
import type { Receipt } from "../core/receipt.ts";
import type { PartStore, PartUpload } from "../store/store.ts";
import { decide, judge, load, type Task } from "./copy.ts";
import { type Fixed, fixedOf, stillFixed } from "./fixed.ts";
import { holdingOf, type Witnesses, wholeCrc32c } from "./holding.ts";
import type { Neighbours } from "./divided.ts";
import { lookAt, nearbyAtSource } from "./look.ts";
import { inLanes } from "./page.ts";
import { type PartPlan, planParts } from "./partplan.ts";
import { pinOf, sourceAsListed } from "./pinned.ts";
import { startOf } from "./recognise.ts";
import { retrying } from "./retry.ts";
import { compareStanding } from "./same.ts";
import { type Crossing, destinationKey } from "./shores.ts";
import { fileStands, placeFile } from "./spill.ts";
import { FILE } from "./stamp.ts";
import { isUnchanged } from "./start.ts";

/** All that the next step has to know of the one before. It holds no key, wrapped or not. */
export interface HugeUpload extends PartPlan {
  readonly uploadId: string;
  readonly outcome: "rewrapped" | "carried";
  /** What is to be replaced; absent: nothing stands there. */
  readonly replaces?: VersionPin | undefined;
  readonly serverKeyName?: string | undefined;
  /** The object beside it that its envelope was read from; absent: its own head held all of it. */
  readonly file?: (VersionPin & { readonly key: string; readonly sizeBytes: number }) | undefined;
  readonly fixed: Fixed;
}

export type Begun = { readonly upload: HugeUpload } | { readonly receipt: Receipt };

export type Finished =
  | { readonly receipt: Receipt }
  /** Numbers of parts that have to be copied first. */
  | { readonly missing: readonly number[] }
  /** The upload cannot become the object any more: it has to be begun again. */
  | { readonly lost: SealiftError };

/** Heads asked for at once. */
const LOOKS = 16;

const planOf = ({ sizeBytes }: { sizeBytes: number }, { shores, rules }: Crossing): PartPlan | undefined => {
  const { parts } = shores.destination;
  if (!parts || rules.hugeBytes === undefined || sizeBytes < rules.hugeBytes) return undefined;
  return planParts(sizeBytes, parts.limits);
};

/**
 * Keys of those that are to be divided. It moves nothing and refuses nothing: an object about which there is any doubt is left to
 * the page, which says what is wrong with it.
 */
export async function hugeAmong(
  objects: readonly ListedObject[],
  crossing: Crossing,
  neighbours?: Neighbours,
): Promise<ReadonlySet<string>> {
  const { shores, rules, signal } = crossing;
  const { attempts, delayMs } = rules;
  const huge = new Set<string>();
  const large = objects.filter((object) => planOf(object, crossing) !== undefined && rules.filter(object));
  await inLanes(large, LOOKS, async (object) => {
    const tried = await retrying({ attempts, delayMs, signal, random: Math.random }, async () => {
      const head = await sourceAsListed(object, crossing);
      const start = await startOf(shores.source, head, shores.envelopes, signal);
      const { move } = await lookAt(head, start, crossing, nearbyAtSource(crossing, neighbours));
      return move !== undefined && isUnchanged(move);
    });
    if ("value" in tried && tried.value) huge.add(object.key);
  });
  return huge;
}

/** What was begun with one envelope is not compared with another, which somebody has put beside the object since. */
const asBegun =
  ({ file }: HugeUpload): Neighbours =>
  (key) =>
    file?.key === key ? file : "absent";

export function taskOf(listed: ListedObject, crossing: Crossing, neighbours?: Neighbours): Task {
  // Few and dear: where a sample is verified, all of these are in it.
  const verify = crossing.rules.verify !== "none";
  const now = () => performance.now();
  const nearby = nearbyAtSource(crossing, neighbours);
  return { ...crossing, listed, verify, nearby, now, key: destinationKey(listed.key, crossing.shores) };
}

/** The name of the upload at the destination. */
export const uploadName = ({ key }: Task, { uploadId, serverKeyName }: HugeUpload): PartUpload => ({
  key,
  id: uploadId,
  serverKeyName,
});

export function partsOf({ shores }: Crossing): PartStore {
  const { parts, name } = shores.destination;
  if (parts) return parts;
  throw new SealiftError("INTERNAL", `${name} takes no objects from several workers`);
}

/** The data key changes hands here, once; from now on only ciphertext moves. */
export async function beginHuge(listed: ListedObject, crossing: Crossing): Promise<Begun> {
  const task = taskOf(listed, crossing);
  const { shores, signal, key } = task;
  const standing = await shores.destination.head(key, signal);
  const receipt = standing && (await judge(task, standing));
  if (receipt) return { receipt };
  const plan = planOf(listed, crossing);
  if (!plan) throw new SealiftError("INTERNAL", "it was given out as huge and is not", { object: listed.key });
  const now = await sourceAsListed(listed, task);
  const { head, file, move } = await decide(now, await startOf(shores.source, now, shores.envelopes, signal), task);
  const { dataKey, outcome, attributes, file: apart, serverKeyName } = await load(move, head, task);
  dataKey?.wipe();
  if ((outcome !== "rewrapped" && outcome !== "carried") || !isUnchanged(move)) {
    throw new SealiftError("INTERNAL", "an object whose bytes change cannot be divided", { object: listed.key });
  }
  if (apart) await placeFile(apart, { key, condition: standing ? pinOf(standing) : "absent" }, task);
  const { sizeBytes } = head;
  const uploadId = await partsOf(task).begin(key, { sizeBytes, attributes, serverKeyName, signal });
  failpoint("big.begun", listed.key);
  const replaces = standing && pinOf(standing);
  const from = file && { ...pinOf(file), key: file.key, sizeBytes: file.sizeBytes };
  return { upload: { ...plan, uploadId, outcome, replaces, serverKeyName, file: from, fixed: fixedOf(attributes) } };
}

/** Completes it where all of it is there, and reads back what stands then. */
export async function finishHuge(
  listed: ListedObject,
  upload: HugeUpload,
  witnesses: Witnesses,
  crossing: Crossing,
): Promise<Finished> {
  const task = taskOf(listed, crossing, asBegun(upload));
  const { shores, signal, key } = task;
  const standing = await shores.destination.head(key, signal);
  // Completed before, by somebody who did not live to say so.
  if (standing && isOurs(standing, upload)) return { receipt: await arrived(task, upload, undefined) };
  const held = await partsOf(task).list(uploadName(task, upload), signal);
  if (!held) return gone(task, upload);
  const holding = holdingOf(upload, held, witnesses);
  if (holding.missing.length > 0) return { missing: holding.missing };
  // Whoever replaced the source meanwhile gets nothing of it made visible.
  const source = await sourceAsListed(listed, task);
  if (isSpilled(upload) && !(await fileStands(key, task)))
    return lost("the instruction file that was written for it is gone from the destination");
  const crc32c = wholeCrc32c(holding);
  if (source.crc32c !== undefined && source.crc32c !== crc32c) {
    return lost("the parts together differ from the CRC32C that the source states", "STORE_CHECKSUM");
  }
  try {
    const { parts } = holding;
    const { sizeBytes, replaces } = upload;
    const condition = replaces ?? "absent";
    await partsOf(task).complete(uploadName(task, upload), { parts, sizeBytes, crc32c, condition, signal });
  } catch (error) {
    return afterRefusal(task, upload, crc32c, asSealiftError(error));
  }
  failpoint("big.completed", listed.key);
  return { receipt: await arrived(task, upload, crc32c) };
}

const isSpilled = ({ fixed: { names } }: HugeUpload): boolean => names.includes(`metadata ${FILE}`);

/** Or completed between our two questions. */
async function gone(task: Task, upload: HugeUpload): Promise<Finished> {
  const standing = await task.shores.destination.head(task.key, task.signal);
  if (standing && isOurs(standing, upload)) return { receipt: await arrived(task, upload, undefined) };
  return lost("the upload is gone from the destination");
}

const lost = (why: string, code: "PROVIDER_ERROR" | "STORE_CHECKSUM" = "PROVIDER_ERROR"): Finished => ({
  lost: new SealiftError(code, why),
});

/** Somebody completed it first, or wrote there, or an answer of our own was lost. */
async function afterRefusal(task: Task, upload: HugeUpload, crc32c: number, error: SealiftError): Promise<Finished> {
  if (error.code === "STORE_CHECKSUM") return { lost: error };
  if (error.code !== "STORE_EXISTS" && error.code !== "STORE_CHANGED") throw error;
  const standing = await task.shores.destination.head(task.key, task.signal);
  if (!standing) throw new SealiftError("STORE_BUSY", "the destination changed while the object was completed");
  if (isOurs(standing, upload)) return { receipt: await arrived(task, upload, crc32c) };
  const receipt = await judge(task, standing);
  return receipt ? { receipt } : lost("another version stands at the destination than the one to be replaced");
}

const isOurs = (standing: ObjectHead, { sizeBytes, fixed }: HugeUpload): boolean =>
  standing.sizeBytes === sizeBytes && stillFixed(fixed, standing.attributes);

/** What was completed is read again as a stranger would. Throws VERIFY_MISMATCH. */
async function arrived(task: Task, upload: HugeUpload, crc32c: number | undefined): Promise<Receipt> {
  const { listed, shores, signal, key } = task;
  const standing = await shores.destination.head(key, signal);
  const why = !standing
    ? "it is not there"
    : !isOurs(standing, upload)
      ? "its size or what stands beside it differs"
      : crc32c !== undefined && standing.crc32c !== undefined && standing.crc32c !== crc32c
        ? "its CRC32C differs"
        : undefined;
  if (!standing || why !== undefined) throw new SealiftError("VERIFY_MISMATCH", `read back, ${why}`);
  const proof = await proven(task, standing);
  const { outcome, sizeBytes } = upload;
  return {
    key: listed.key,
    outcome,
    bytes: sizeBytes,
    crc32c: crc32c ?? standing.crc32c,
    verified: proof.verified,
    attempts: 1,
    advisories: proof.advisories,
    notes: [],
  };
}

interface Proof {
  /** The data keys were compared. */
  readonly verified: boolean;
  readonly advisories?: readonly Advisory[] | undefined;
}

/** Against the source itself, its data key too, as long as the source is what was listed. */
async function proven(task: Task, standing: ObjectHead): Promise<Proof> {
  const { listed, shores, signal } = task;
  let look: Awaited<ReturnType<typeof decide>>;
  try {
    const now = await sourceAsListed(listed, task);
    look = await decide(now, await startOf(shores.source, now, shores.envelopes, signal), task);
  } catch (error) {
    // It went after the last of it was copied: what arrived is still whole, and known by its attributes and checksum.
    const { code } = asSealiftError(error);
    if (code === "STORE_CHANGED" || code === "STORE_NOT_FOUND") return { verified: false };
    throw error;
  }
  const { head: source, move } = look;
  const same = await compareStanding({ source, move, standing }, task, task.verify, false);
  if (same.why !== undefined) throw new SealiftError("VERIFY_MISMATCH", `read back, ${same.why}`);
  return { verified: same.verified, advisories: look.plan.advisories };
}
