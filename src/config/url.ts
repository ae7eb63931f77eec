/** URLs of stores: `s3://bucket/prefix`, `gs://bucket/prefix`, `file:///directory`. */
import { isAbsolute, normalize } from "node:path";
import { SealiftError } from "../core/error.ts";

export interface BucketUrl {
  readonly scheme: "s3" | "gs";
  readonly bucket: string;
  /** Everything after the first `/`, byte for byte: keys are not paths, nothing is decoded or folded. */
  readonly prefix: string;
}

export interface DirectoryUrl {
  readonly scheme: "file";
  /** Absolute. The whole path is the root: what lies below it are keys. */
  readonly root: string;
  readonly prefix: "";
}

export type StoreUrl = BucketUrl | DirectoryUrl;

/** Lower-case DNS labels, plus what old buckets and GCS allow (underscores, 222 characters in dotted names). */
const BUCKET = /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/;

/** Throws JOB_INVALID. A URL with credentials in it is refused without being repeated. */
export function parseStoreUrl(text: string): StoreUrl {
  const [, scheme, rest] = /^(s3|gs|file):\/\/(.*)$/s.exec(text) ?? [];
  if (rest === undefined) throw refuse("a store URL begins with s3://, gs:// or file://");
  if (scheme === "file") return directory(rest);
  const slash = rest.indexOf("/");
  const bucket = slash < 0 ? rest : rest.slice(0, slash);
  const prefix = slash < 0 ? "" : rest.slice(slash + 1);
  if (bucket.includes("@"))
    throw refuse("credentials do not belong into a URL: use profile, or credentials by reference");
  if (!BUCKET.test(bucket)) throw refuse(`${JSON.stringify(bucket)} is not a bucket name`);
  return { scheme: scheme as "s3" | "gs", bucket, prefix };
}

function directory(path: string): DirectoryUrl {
  if (!isAbsolute(path)) throw refuse("a file URL needs an absolute path: file:///directory");
  if (/%[0-9a-f]{2}/i.test(path)) throw refuse("percent-escapes in a file URL are not read: write the path as it is");
  const folded = normalize(path);
  const root = folded.length > 1 && folded.endsWith("/") ? folded.slice(0, -1) : folded;
  return { scheme: "file", root, prefix: "" };
}

const refuse = (why: string) => new SealiftError("JOB_INVALID", why);
