/** What stands under a key before a write, and after it. */
import { SealiftError } from "../../core/error.ts";
import type { ObjectHead } from "../../core/object.ts";
import { changed, checkCondition, checksum } from "../fit.ts";
import type { PutOptions } from "../store.ts";
import type { Bucket } from "./condition.ts";

/** Asks, and makes sure that the answer is about what was just written and that it lies under the key it should lie under. */
export async function writtenHead(
  { reading }: Bucket,
  key: string,
  etag: string,
  options: Pick<PutOptions, "sizeBytes" | "serverKeyName" | "signal">,
  crc?: number,
): Promise<ObjectHead> {
  const head = await reading.head(key, options.signal);
  const replaced = head === undefined || (etag !== "" && head.etag !== etag) || head.sizeBytes !== options.sizeBytes;
  if (replaced) throw changed(key);
  if (crc !== undefined && head.crc32c !== undefined && head.crc32c !== crc) {
    throw checksum(key, "S3 states another CRC32C than that of the bytes sent");
  }
  if (options.serverKeyName === undefined || head.atRest.mode === "SSE-KMS") return head;
  throw new SealiftError("PROVIDER_REFUSED", "the provider stored it without the key it was told to use", {
    object: key,
  });
}

/** Some servers ignore conditions on writes: a look before them leaves the race as narrow as it can be made there. */
export async function checkStanding(
  { reading }: Bucket,
  key: string,
  { condition, signal }: Pick<PutOptions, "condition" | "signal">,
): Promise<void> {
  if (condition !== "any") checkCondition(condition, key, await reading.head(key, signal));
}
