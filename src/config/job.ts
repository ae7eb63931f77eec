/** Reading a job file: YAML or JSON text in, a Job out, or JOB_INVALID naming the field and what to do about it. */
import { join } from "node:path";
import { isScalar, parseDocument, visit } from "yaml";
import type { z } from "zod";
import { SealiftError } from "../core/error.ts";
import { compileFilter, matching, sizeBytes } from "../core/filter.ts";
import type { Job, Shore, TinkClaim } from "../core/job.ts";
import { type KeyUri, keyAccount, keyName, keyScheme, keyUri } from "../core/key.ts";
import { jobShape, shoreShape, tinkShape } from "./shape.ts";
import { parseStoreUrl, type StoreUrl } from "./url.ts";

export type { Job } from "../core/job.ts";

const JOB_BYTES_MAX = 1024 * 1024;
/** YAML aliases multiply what is written; a job file needs few. */
const ALIASES_MAX = 32;
const PROBLEMS_SHOWN_MAX = 8;
const HUGE_BYTES_MIN = 1024 * 1024;

/** `name` is what messages call the text: a path, or `standard input`. Throws JOB_INVALID. */
export function parseJob(text: string, name: string): Job {
  const refuse = (why: string, cause?: unknown) => new SealiftError("JOB_INVALID", `${name}: ${why}`, { cause });
  if (text.length > JOB_BYTES_MAX) throw refuse(`is larger than ${JOB_BYTES_MAX} bytes`);
  const parsed = jobShape.safeParse(readYaml(text, refuse));
  if (!parsed.success) throw refuse(problems(parsed.error.issues));
  const job: Job = parsed.data;
  try {
    judge(job);
  } catch (error) {
    throw error instanceof SealiftError ? refuse(error.message, error) : error;
  }
  return job;
}

/** One side alone, as the flags of a verb state it. Throws JOB_INVALID. */
export function parseShore(value: unknown, name: string): Shore {
  const parsed = shoreShape.safeParse(value);
  if (!parsed.success) throw new SealiftError("JOB_INVALID", `${name}: ${problems(parsed.error.issues)}`);
  judgeShore(name, parsed.data);
  return parsed.data;
}

/** How an unmarked object of Tink is sealed, as the flags of a verb state it. Throws JOB_INVALID. */
export function parseTink(value: object, name: string): TinkClaim {
  const parsed = tinkShape.safeParse(value);
  if (!parsed.success) throw new SealiftError("JOB_INVALID", `${name}: ${problems(parsed.error.issues)}`);
  within(`${name}: key`, () => keyUri(parsed.data.key));
  return parsed.data;
}

/** JSON is read by the same parser: YAML 1.2 contains it, and repeated keys are an error in both. */
function readYaml(text: string, refuse: (why: string, cause?: unknown) => SealiftError): unknown {
  try {
    const document = parseDocument(text, {
      version: "1.2",
      strict: true,
      uniqueKeys: true,
      merge: false,
      // Warnings would go to stderr by a way of their own, past the log, and quote what they warn of.
      logLevel: "error",
    });
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem) {
      const { line, col } = problem.linePos?.[0] ?? { line: 1, col: 1 };
      // Only code and place: the parser's message quotes the lines around it, and one of them may be a secret.
      throw refuse(
        `line ${line}, column ${col}: not YAML or JSON (${problem.code.toLowerCase().replaceAll("_", " ")})`,
      );
    }
    visit(document, {
      Pair: (_, pair) => {
        // Lists and maps as names of fields mean nothing here, and nested ones take minutes to be spelled as text.
        if (!isScalar(pair.key)) throw refuse("a field is named by something that is not a text");
        // JavaScript objects cannot hold this name safely: the shape would drop it, and a demanded pair with it.
        if (pair.key.value === "__proto__") throw refuse('unknown field "__proto__"; remove it');
      },
    });
    return document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (error) {
    if (error instanceof SealiftError) throw error;
    // Without the cause: it quotes the alias, and a secret that begins with `*` looks like one.
    if (error instanceof ReferenceError && error.message.startsWith("Unresolved alias")) {
      throw refuse("holds an alias (*name) without its anchor (&name); quote a text that begins with *");
    }
    throw refuse("is not YAML or JSON that can be read (too deep, or too many aliases)");
  }
}

/** Texts of values never appear: a value in the wrong place may be a secret. */
function problems(issues: readonly z.core.$ZodIssue[]): string {
  const lines = issues.slice(0, PROBLEMS_SHOWN_MAX).map((issue) => `${fieldName(issue.path)}: ${sentence(issue)}`);
  const more = issues.length - lines.length;
  return lines.join("; ") + (more > 0 ? `; and ${more} more` : "");
}

function fieldName(path: readonly PropertyKey[]): string {
  const name = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  return name.replace(/^\./, "") || "the job file";
}

function sentence(issue: z.core.$ZodIssue): string {
  if (issue.code === "unrecognized_keys") {
    const names = issue.keys.map((key) => JSON.stringify(key)).join(", ");
    return `unknown ${issue.keys.length === 1 ? "field" : "fields"} ${names}; remove or respell`;
  }
  if (issue.code === "invalid_union") {
    const inner = issue.errors.flat().find((other) => other.code === "custom");
    return inner?.message ?? "is of none of the allowed shapes";
  }
  if (issue.code === "invalid_type") {
    const told = issue.message.replace(/^Invalid input: /, "");
    return told.endsWith("received undefined") ? `is required (${issue.expected})` : told;
  }
  return issue.message;
}

/** What the shape alone cannot say. */
function judge(job: Job): void {
  const source = judgeShore("source", job.source);
  const destination = judgeShore("destination", job.destination);
  if (job.source.endpoint === job.destination.endpoint && overlaps(source, destination)) {
    throw invalid("destination.url: lies within the source (or around it), so the migration would list its own copies");
  }
  judgeKeys(job, destination);
  judgeAccount(job, source);
  within("filter", () => compileFilter(job.filter, ""));
  for (const name of ["minAge", "maxAge"] as const)
    within(`filter.${name}`, () => compileFilter({ [name]: job.filter[name] }, ""));
  within("options.plain", () => matching(job.options.plain ?? [], ""));
  judgeTink(job);
  judgeDrop(job);
  judgeSpill(job, destination);
  const { fallback, serverKey, hugeBytes, sealAs, envelope, tinkFromV3 } = job.options;
  if (tinkFromV3 && envelope !== "tink") {
    throw invalid("options.tinkFromV3: is used with envelope: tink only; set that, or remove it");
  }
  if (sealAs !== undefined && fallback !== "seal") {
    throw invalid("options.sealAs: is used with fallback: seal only; set that, or remove the format");
  }
  if (fallback === "seal" && sealedIn(job) === "tink" && Object.keys(job.keys.sealContext).length > 0) {
    throw invalid("keys.sealContext: Tink binds no key context; leave it out, or choose another fallback or envelope");
  }
  if (sizeBytes(hugeBytes) < HUGE_BYTES_MIN) {
    throw invalid("options.hugeBytes: is at least 1M; smaller objects arrive sooner whole than in parts");
  }
  if (serverKey !== undefined && fallback !== "server") {
    throw invalid("options.serverKey: is used with fallback: server only; set that, or remove the key");
  }
}

/** Who reads with Tink reads what is sealed afresh with it too; else the S3EC format, which commits to its key and has the most readers. */
export const sealedIn = ({ options: { sealAs, envelope } }: Job): "s3ec-v3" | "esdk" | "tink" =>
  sealAs ?? (envelope === "tink" ? envelope : "s3ec-v3");

function judgeKeys(job: Job, destination: StoreUrl): void {
  const wrapWith = within("keys.wrapWith", () => keyUri(job.keys.wrapWith));
  const allowed = job.keys.allow.map((text, at) => within(`keys.allow[${at}]`, () => allowedKey(text)));
  if (keyScheme(wrapWith) === "local-rsa") {
    throw invalid("keys.wrapWith: local-rsa:// keys only open what clients wrapped; wrap with a KMS or a local:// key");
  }
  const isLocal = [wrapWith, ...allowed].some((uri) => keyScheme(uri).startsWith("local"));
  if (isLocal && job.keys.localDirectory === undefined) {
    throw invalid("keys.localDirectory: is needed for local:// and local-rsa:// keys; name the directory they live in");
  }
  if (job.options.fallback === "server" && destination.scheme === "file") {
    throw invalid("options.fallback: a directory has no provider-side keys; choose seal, copy or refuse");
  }
}

function judgeDrop({ options: { esdkDrop, esdkKeys, esdk } }: Job): void {
  if (esdkDrop === undefined) return;
  within("options.esdkDrop", () => matching(esdkDrop, ""));
  if (esdkKeys !== "add") throw invalid("options.esdkDrop: is used with esdkKeys: add only; replace drops all others");
  if (esdk === "sidecar")
    throw invalid("options.esdkDrop: with esdk: sidecar no header is written; remove one of them");
}

/** Readers that look into instruction files are S3's and AWS KMS's. */
function judgeSpill({ keys, options: { spill } }: Job, destination: StoreUrl): void {
  if (spill === undefined) return;
  if (destination.scheme !== "s3") throw invalid("options.spill: is for an s3:// destination only; remove it");
  if (keyScheme(keyUri(keys.wrapWith)) === "aws-kms") return;
  throw invalid("options.spill: is for an aws-kms:// key in keys.wrapWith only; remove it");
}

/** A key that may not be opened would refuse every object that it is claimed for. */
function judgeTink({ keys: { allow }, options }: Job): void {
  for (const name of ["tink", "tinkKeysets"] as const) {
    const claim = options[name];
    if (claim === undefined) continue;
    const key = within(`options.${name}.key`, () => allowedKey(claim.key));
    if (keyScheme(key) === "local-rsa") throw invalid(`options.${name}.key: local-rsa:// keys wrap nothing for Tink`);
    if (allow.length === 0 || allow.includes(key)) continue;
    throw invalid(`options.${name}.key: is not one that keys.allow lists; add it there`);
  }
}

/** An account that no key of the job could be of would be a restriction that restricts nothing. */
function judgeAccount({ keys: { account, allow } }: Job, source: StoreUrl): void {
  if (account === undefined) return;
  const strange = allow.findIndex((text) => keyAccount(keyUri(text)) !== account);
  if (strange >= 0) throw invalid(`keys.allow[${strange}]: is not a key of keys.account; correct one of the two`);
  if (allow.length > 0) return;
  if (source.scheme === "file") throw invalid("keys.account: a directory has none; name the keys in keys.allow");
  if (source.scheme === "s3" && !/^\d{12}$/.test(account)) {
    throw invalid("keys.account: for keys of an s3:// source it is the AWS account id, 12 digits");
  }
}

/** What is allowed is compared with what the KMS says it used, and AWS names the key by its ARN, whatever it was asked by. */
function allowedKey(text: string): KeyUri {
  const uri = keyUri(text);
  if (keyScheme(uri) !== "aws-kms" || /^arn:[^/]+:key\//.test(keyName(uri))) return uri;
  throw invalid(
    "name the key by its ARN (arn:aws:kms:region:account:key/id): an alias or a bare id matches no answer of AWS",
  );
}

const S3_ONLY = [
  "region",
  "pathStyle",
  "profile",
  "credentials",
  "requesterPays",
  "unsignedPayload",
  "customerKeys",
] as const;
const GCS_ONLY = ["credentialsFile", "anonymous", "userProject"] as const;
const REMOTE_ONLY = ["endpoint", "caFile", "allowInsecureEndpoint"] as const;
const STRANGERS = { s3: GCS_ONLY, gs: S3_ONLY, file: [...S3_ONLY, ...GCS_ONLY, ...REMOTE_ONLY] } as const;

/** A setting that the store would never read is a mistake about which store this is. */
function judgeShore(side: string, shore: Shore): StoreUrl {
  const url = within(`${side}.url`, () => parseStoreUrl(shore.url));
  const stranger = STRANGERS[url.scheme].find((field) => shore[field] !== undefined);
  if (stranger !== undefined) throw invalid(`${side}.${stranger}: means nothing for ${url.scheme}:// ; remove it`);
  for (const [name, access] of [[side, shore] as const, [`${side}.kms`, shore.kms ?? {}] as const]) {
    if (access.profile !== undefined && access.credentials !== undefined) {
      throw invalid(`${name}: give profile or credentials, not both`);
    }
    if (access.anonymous === true && access.credentialsFile !== undefined) {
      throw invalid(`${name}: give anonymous or credentialsFile, not both`);
    }
  }
  const { kms } = shore;
  if (kms?.grpcEndpoint !== undefined && kms.transport !== "grpc") {
    throw invalid(`${side}.kms.grpcEndpoint: is used with transport: grpc only`);
  }
  return url;
}

function overlaps(a: StoreUrl, b: StoreUrl): boolean {
  if (a.scheme === "file" && b.scheme === "file") return nested(join(a.root, "/"), join(b.root, "/"));
  if (a.scheme === "file" || b.scheme === "file" || a.scheme !== b.scheme) return false;
  return a.bucket === b.bucket && nested(a.prefix, b.prefix);
}

const nested = (a: string, b: string): boolean => a.startsWith(b) || b.startsWith(a);

const invalid = (why: string) => new SealiftError("JOB_INVALID", why);

/** The same error, naming the field. */
function within<T>(field: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof SealiftError)
      throw new SealiftError("JOB_INVALID", `${field}: ${error.message}`, { cause: error });
    throw error;
  }
}
