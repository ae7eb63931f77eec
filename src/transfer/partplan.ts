/** How a huge object is divided: arithmetic only. Parts are numbered from 1, groups from 0; the last of each may be short. */
import { SealiftError } from "../core/error.ts";
import type { PartLimits } from "../store/store.ts";

const MIB = 1024 * 1024;
const STEP_BYTES = MIB / 4;
/** What a worker holds in memory of one part, where the object is not so large that its store demands more. */
const PART_BYTES = 16 * MIB;
/** Objects that are called huge below 512 MiB are still worth dividing. */
const PARTS_WANTED = 32;
const GROUP_PARTS_MAX = 16;
const GROUPS_WANTED = 8;
/** A group is what is given back when its worker ends. */
const GROUP_BYTES_MAX = 1024 * MIB;

export interface PartPlan {
  readonly sizeBytes: number;
  readonly partBytes: number;
  readonly groupParts: number;
}

/** undefined: too large for the store's limits, or nothing to divide. */
export function planParts(sizeBytes: number, limits: PartLimits): PartPlan | undefined {
  if (sizeBytes < 1) return undefined;
  const wanted = Math.min(PART_BYTES, roundedUp(sizeBytes / PARTS_WANTED));
  const needed = roundedUp(sizeBytes / limits.partsMax);
  const partBytes = Math.max(wanted, needed, limits.partBytesMin);
  if (partBytes > limits.partBytesMax) return undefined;
  const parts = Math.ceil(sizeBytes / partBytes);
  if (parts > limits.partsMax) return undefined;
  const fitting = Math.max(1, Math.floor(GROUP_BYTES_MAX / partBytes));
  const groupParts = Math.min(GROUP_PARTS_MAX, fitting, Math.ceil(parts / GROUPS_WANTED));
  return { sizeBytes, partBytes, groupParts };
}

const roundedUp = (bytes: number): number => Math.ceil(bytes / STEP_BYTES) * STEP_BYTES;

export const partCount = ({ sizeBytes, partBytes }: PartPlan): number => Math.ceil(sizeBytes / partBytes);
export const groupCount = (plan: PartPlan): number => Math.ceil(partCount(plan) / plan.groupParts);
export const groupOf = (plan: PartPlan, number: number): number => Math.floor((number - 1) / plan.groupParts);

/** Bytes [start, end) of a part. */
export function extentOf(plan: PartPlan, number: number): { readonly start: number; readonly end: number } {
  const { sizeBytes, partBytes } = plan;
  const start = (number - 1) * partBytes;
  if (Number.isInteger(number) && number >= 1 && start < sizeBytes) {
    return { start, end: Math.min(start + partBytes, sizeBytes) };
  }
  throw new SealiftError("INTERNAL", `there is no part ${number} of ${partCount(plan)}`);
}

/** Numbers of a group's parts. */
export function partsIn(plan: PartPlan, group: number): number[] {
  const first = group * plan.groupParts + 1;
  const last = Math.min(first + plan.groupParts - 1, partCount(plan));
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => first + i);
}
