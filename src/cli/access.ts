/** How verbs that look at one object reach it: flags of their own, or the side of a job file that holds the URL. */
import { join } from "node:path";
import { type FormatOptions, formatsOf } from "../compose/envelopes.ts";
import { parseShore, parseTink } from "../config/job.ts";
import { parseStoreUrl } from "../config/url.ts";
import type { Shore } from "../core/job.ts";
import type { ObjectPlace } from "../reader.ts";
import type { Invocation, Options } from "./command.ts";
import { usage } from "./flags.ts";
import { readJob } from "./jobfile.ts";

const text = (value: string, means: string) => ({ type: "string", value, means }) as const;
const yes = (means: string) => ({ type: "boolean", means }) as const;

export const ACCESS_OPTIONS: Options = {
  job: text("FILE", "take credentials and settings from the side of this job file that holds the URL"),
  object: text("KEY", "the object's key, where the URL names only its bucket or directory"),
  region: text("REGION", "Region of the bucket"),
  endpoint: text("ORIGIN", "endpoint of the store"),
  "path-style": yes("put the bucket into the path (S3)"),
  profile: text("NAME", "profile of the AWS configuration files"),
  "credentials-file": text("FILE", "Google credentials file"),
  anonymous: yes("send no Google credentials"),
  "ca-file": text("FILE", "PEM file of extra certificate authorities"),
  "requester-pays": yes("agree to be billed for requests (S3)"),
  "user-project": text("PROJECT", "project that is billed for requests (GCS)"),
  "customer-key": { ...text("REFERENCE", "SSE-C key to try: env:NAME or file:/path"), multiple: true },
  "allow-insecure-endpoint": yes("allow plain http for the store"),
};

export const KMS_OPTIONS: Options = {
  "kms-region": text("REGION", "Region of the key"),
  "kms-endpoint": text("ORIGIN", "endpoint of the key service"),
  "kms-grpc-endpoint": text("HOST:PORT", "gRPC endpoint of Google Cloud KMS"),
  "kms-transport": text("rest|grpc", "how Google Cloud KMS is spoken to"),
  "kms-profile": text("NAME", "profile of the AWS configuration files for the key"),
  "kms-credentials-file": text("FILE", "Google credentials file for the key"),
  "kms-anonymous": yes("send no Google credentials for the key"),
  "kms-ca-file": text("FILE", "PEM file of extra certificate authorities for the key service"),
  "kms-allow-insecure-endpoint": yes("allow plain http for the key service"),
  "key-directory": text("DIRECTORY", "directory of local:// keys"),
};

/** What objects do not say of themselves. */
export const FORMAT_OPTIONS: Options = {
  "instruction-suffix": text("SUFFIX", "what S3EC instruction files are called besides .instruction"),
  "tink-template": text("NAME", "take an object without a sign for one of Tink's, its data key by this template"),
  "tink-key": text("URI", "the key that wraps that data key"),
  "tink-prefix": text("RAW|TINK|LEGACY", "output prefix of the writer's keyset"),
};

export async function objectAccess(invocation: Invocation): Promise<ObjectPlace> {
  const { flags, positionals } = invocation;
  const [url] = positionals;
  if (url === undefined)
    throw usage("name the object: s3://bucket/key, gs://bucket/key, or file:///directory --object KEY");
  const jobPath = flags.text("job");
  const found = jobPath === undefined ? byFlags(url, invocation) : await byJob(url, jobPath, invocation);
  if (found.key === "") throw usage(`${url} names no object: add its key to the URL, or give --object`);
  return found;
}

const FLAGS_OF_SHORE = Object.keys(ACCESS_OPTIONS).filter((name) => name !== "job" && name !== "object");

function byFlags(url: string, { flags }: Invocation): ObjectPlace {
  const kms = fields(flags, Object.keys(KMS_OPTIONS), "kms-");
  const written = fields(flags, FLAGS_OF_SHORE);
  const bucket = parseStoreUrl(url);
  const root = bucket.scheme === "file" ? url : `${bucket.scheme}://${bucket.bucket}/`;
  const shore = parseShore({ ...written, url: root, ...(Object.keys(kms).length > 0 ? { kms } : {}) }, "flags");
  const key = bucket.prefix + (flags.text("object") ?? "");
  return { shore, key, localDirectory: flags.text("key-directory"), formats: formatsIn(flags) };
}

function formatsIn(flags: Invocation["flags"]): FormatOptions {
  const instructionSuffix = flags.text("instruction-suffix");
  if (instructionSuffix === "" || instructionSuffix?.includes("/"))
    throw usage("--instruction-suffix is the end of a name");
  const claim = fields(flags, Object.keys(FORMAT_OPTIONS), "tink-");
  const tink = Object.keys(claim).length > 0 ? parseTink(claim, "flags --tink-") : undefined;
  return { instructionSuffix, tink };
}

/** `--kms-ca-file` as `caFile`: job file and command line speak of the same settings. */
function fields(flags: Invocation["flags"], names: readonly string[], prefix = ""): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const name of names.filter((one) => one.startsWith(prefix))) {
    const list = flags.list(name);
    const value = flags.text(name) ?? (flags.is(name) ? true : list.length > 0 ? list : undefined);
    const field = name.slice(prefix.length).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    if (value !== undefined) found[field === "customerKey" ? "customerKeys" : field] = value;
  }
  return found;
}

async function byJob(url: string, path: string, { flags }: Invocation): Promise<ObjectPlace> {
  const given = [...FLAGS_OF_SHORE, ...Object.keys({ ...KMS_OPTIONS, ...FORMAT_OPTIONS })].find(
    (name) => flags.text(name) !== undefined || flags.is(name) || flags.list(name).length > 0,
  );
  if (given !== undefined) throw usage(`--${given} and --job both say how to reach the object; give one of them`);
  const job = await readJob(path);
  for (const shore of [job.source, job.destination]) {
    const key = keyWithin(shore, url, flags.text("object") ?? "");
    if (key !== undefined) return { shore, key, localDirectory: job.keys.localDirectory, formats: formatsOf(job) };
  }
  throw usage(`${url} lies neither in the source nor in the destination of ${path}`);
}

/** The key that `url` (and `--object`) names in the shore's bucket or directory; undefined where it is another one. */
function keyWithin(shore: Shore, url: string, object: string): string | undefined {
  const home = parseStoreUrl(shore.url);
  const asked = parseStoreUrl(url);
  if (home.scheme === "file" || asked.scheme === "file") {
    if (home.scheme !== "file" || asked.scheme !== "file") return undefined;
    if (asked.root === home.root) return object;
    const root = join(home.root, "/");
    // What lies below the job's directory is a key, so that the URL can be written in one piece.
    return asked.root.startsWith(root) ? asked.root.slice(root.length) + (object && `/${object}`) : undefined;
  }
  return home.scheme === asked.scheme && home.bucket === asked.bucket ? asked.prefix + object : undefined;
}
