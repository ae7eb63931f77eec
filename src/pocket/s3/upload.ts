/** A multipart upload that is under way. */
import type { S3AtRest } from "./atrest.ts";
import type { S3Attributes, Tags } from "./attributes.ts";
import type { Segment } from "./bytes.ts";
import type { ChecksumName, ChecksumType } from "./checksum.ts";

export interface Part {
  readonly number: number;
  readonly segment: Segment;
  readonly etag: string;
  /** Of the part's bytes: its ETag is this in hex where they are not under a key of KMS or the customer. */
  readonly md5: Buffer;
  readonly checksum?: { readonly name: ChecksumName; readonly digest: Buffer } | undefined;
  readonly lastModifiedMs: number;
}

export interface Upload {
  readonly id: string;
  readonly key: string;
  readonly startedMs: number;
  readonly attributes: S3Attributes;
  readonly tags: Tags;
  readonly atRest: S3AtRest;
  readonly checksum?: { readonly name: ChecksumName; readonly type: ChecksumType } | undefined;
  readonly parts: Map<number, Part>;
}
