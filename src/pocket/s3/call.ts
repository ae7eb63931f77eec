/** One request on its way through the pocket S3, and the answer an operation gives. */
import type { PocketRequest } from "../http.ts";
import type { Bucket, Version } from "./bucket.ts";
import { S3Refusal } from "./refusal.ts";
import type { Signed } from "./signature.ts";

export interface Cloud {
  readonly region: string;
  readonly nowMs: () => number;
  readonly buckets: Map<string, Bucket>;
  readonly rowsMax: number;
  readonly joinsBlindly: boolean;
}

export interface Call {
  readonly cloud: Cloud;
  readonly request: PocketRequest;
  readonly signed: Signed;
  readonly bucketName: string;
  readonly key: string;
}

export type AnswerHeaders = Record<string, string | number>;

export interface Answer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  /** XML as text, or an object's bytes. */
  readonly body?: string | { readonly chunks: Iterable<Buffer>; readonly sizeBytes: number } | undefined;
}

export type Operation = (call: Call) => Answer | Promise<Answer>;

export const xmlAnswer = (body: string, headers: AnswerHeaders = {}): Answer => ({
  status: 200,
  headers: { "content-type": "application/xml", ...headers },
  body,
});

export function findBucket(cloud: Cloud, name: string): Bucket {
  const bucket = cloud.buckets.get(name);
  if (bucket) return bucket;
  throw new S3Refusal("NoSuchBucket", "The specified bucket does not exist", { elements: { BucketName: name } });
}

export const bucketOf = (call: Call): Bucket => findBucket(call.cloud, call.bucketName);

export const noSuchKey = (key: string, headers: Record<string, string> = {}): S3Refusal =>
  new S3Refusal("NoSuchKey", "The specified key does not exist.", { elements: { Key: key }, headers });

export const versionIdOf = (query: URLSearchParams): string | undefined =>
  query.size === 0 ? undefined : (query.get("versionId") ?? undefined);

/** In buckets that never had versions nothing is said about them. */
export function versionHeaders(bucket: Bucket, version: Version, into: AnswerHeaders): void {
  if (bucket.versioning !== undefined) into["x-amz-version-id"] = version.versionId;
}

/** One date is asked for again and again: objects of a burst share their second. */
let lastDate = { ms: Number.NaN, text: "" };
export function httpDate(ms: number): string {
  if (lastDate.ms !== ms) lastDate = { ms, text: new Date(ms).toUTCString() };
  return lastDate.text;
}

export const quoted = (etag: string): string => `"${etag}"`;
