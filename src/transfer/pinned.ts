/** Objects as they were listed: whatever else has their name by now is not theirs to be copied or compared. */
import { SealiftError } from "../core/error.ts";
import type { ListedObject, ObjectHead, VersionPin } from "../core/object.ts";
import type { Crossing } from "./shores.ts";

export const pinOf = ({ version, etag }: VersionPin): VersionPin => ({ version, etag });

/** Also for answers to pinned requests: a store that ignores the pin would give another object's bytes under this one's name. */
export function checkAsListed(head: ObjectHead, listed: Pick<ListedObject, "version" | "etag" | "sizeBytes">): void {
  const sameVersion = listed.version === undefined || head.version === undefined || listed.version === head.version;
  if (sameVersion && head.etag === listed.etag && head.sizeBytes === listed.sizeBytes) return;
  throw new SealiftError("STORE_CHANGED", "it is no longer the object that was listed");
}

/** Throws STORE_NOT_FOUND or STORE_CHANGED. */
export async function sourceAsListed(listed: ListedObject, { shores, signal }: Crossing): Promise<ObjectHead> {
  const head = await shores.source.head(listed.key, signal);
  if (!head) throw new SealiftError("STORE_NOT_FOUND", "it is gone from the source");
  checkAsListed(head, listed);
  return head;
}
