/**
 * The one error of the project and the table of its codes. README prints the same table; a test compares the two.
 *
 * `retry` is a classification, not an action: drivers classify, `transfer/page` retries objects and `pipeline` retries pages.
 */
export type Retry = "never" | "later" | "throttled";

/** How a process ends when this code reaches the top (docs: "Exit codes"). */
export type ExitCode = 0 | 1 | 2 | 3 | 5 | 6 | 7 | 8 | 9 | 130;

interface CodeRow {
  readonly retry: Retry;
  readonly exit: ExitCode;
  /** What happened, in one clause. */
  readonly means: string;
  /** What the operator does next. */
  readonly next: string;
}

const row = (retry: Retry, exit: ExitCode, means: string, next: string): CodeRow => ({ retry, exit, means, next });

export const CODES = {
  // usage and job file
  USAGE: row("never", 2, "the command line cannot be understood", "run `sealift help` for the verb"),
  JOB_INVALID: row("never", 2, "the job file is not valid", "mend the field named in the message"),
  JOB_UNKNOWN: row("never", 2, "no migration has this id in this ledger", "run `sealift list`, or pass --ledger"),
  SECRET_MISSING: row(
    "never",
    2,
    "a referenced secret (env: or file:) is not there",
    "set the variable or create the file, mode 0600",
  ),
  // preflight
  PREFLIGHT_ACCESS: row(
    "never",
    3,
    "a bucket, key or permission needed by the job is not available",
    "grant what the message names, then run again",
  ),
  PREFLIGHT_REDIS: row(
    "never",
    3,
    "Redis is missing or configured so that jobs could be lost",
    "follow the setting named in the message",
  ),
  PREFLIGHT_CREATE_ONLY: row(
    "never",
    3,
    "the store ignores create-only writes",
    "use a store that honours If-None-Match / ifGenerationMatch",
  ),
  PREFLIGHT_STRANGERS: row(
    "never",
    3,
    "the source directory holds files that are no objects of sealift's, which no listing shows",
    "move them out, keep them out by the filter, or migrate them from a bucket",
  ),
  ENDPOINT_REFUSED: row(
    "never",
    3,
    "the endpoint is not allowed (plain http or link-local)",
    "use https, or set allowInsecureEndpoint: true",
  ),
  // network and providers
  NET_UNREACHABLE: row("later", 5, "the connection failed or broke", "check the network; resume continues"),
  NET_TIMEOUT: row("later", 5, "the other side did not answer in time", "check the network; resume continues"),
  PROVIDER_ERROR: row("later", 5, "the provider answered with a server error", "wait and resume"),
  PROVIDER_REFUSED: row("never", 1, "the provider refused the request", "read the provider's message"),
  THROTTLED: row("throttled", 5, "the provider asks to slow down", "lower --transfers, or wait and resume"),
  ACCESS_DENIED: row("never", 3, "the credentials may not do this", "grant the permission named in the message"),
  CREDENTIALS_EXPIRED: row("later", 3, "the credentials have expired", "renew them, then resume"),
  // store
  STORE_NOT_FOUND: row(
    "never",
    6,
    "the object is not there",
    "the source changed after listing: run a new migration for the difference",
  ),
  STORE_CHANGED: row(
    "never",
    6,
    "the object is no longer the version that was listed",
    "the source changed after listing: run a new migration for the difference",
  ),
  STORE_EXISTS: row(
    "never",
    6,
    "an object with this key exists already",
    "create-only write: remove it, or set overwrite: true",
  ),
  STORE_BUSY: row("later", 5, "a concurrent write to the same key was in the way", "resume; the write is tried again"),
  STORE_CUT: row(
    "later",
    6,
    "the body ended before its announced length, or went past it",
    "resume; nothing was written",
  ),
  STORE_CHECKSUM: row(
    "later",
    7,
    "the bytes differ from their checksum",
    "resume; if it stays, the source object is damaged",
  ),
  STORE_ARCHIVED: row(
    "never",
    6,
    "the object is archived and must be restored first",
    "restore it, then resume --failed",
  ),
  STORE_KEY_NEEDED: row(
    "never",
    6,
    "the object is under a customer-provided key (SSE-C, CSEK)",
    "name the key in source.customerKeys",
  ),
  LIST_BROKEN: row(
    "later",
    5,
    "a page of the listing is not whole (cut, not XML/JSON, or repeats its token)",
    "resume; listing goes on at the last whole page",
  ),
  METADATA_UNFIT: row(
    "never",
    6,
    "the metadata cannot be carried unchanged to this destination",
    "shorten or rename it at the source, choose another destination, or see options.spill",
  ),
  NAME_UNFIT: row("never", 6, "the destination does not allow this object name", "rename it at the source"),
  TOO_LARGE: row(
    "never",
    6,
    "the object is larger than the destination or the format allows",
    "move it by other means",
  ),
  // kms
  KMS_KEY_UNUSABLE: row(
    "never",
    3,
    "the key is disabled, pending deletion, missing or of the wrong kind",
    "mend the key's state, then resume --failed",
  ),
  KMS_CANNOT_OPEN: row(
    "never",
    6,
    "the wrapped key does not open under this key and context",
    "the object's envelope or key is wrong; inspect it",
  ),
  KMS_KEY_NOT_ALLOWED: row(
    "never",
    6,
    "the wrapped key belongs to a key outside keys.allow",
    "add the key to keys.allow if it is yours to open",
  ),
  KMS_CORRUPTED: row("later", 5, "a KMS answer failed its CRC32C check", "resume; if it stays, suspect a proxy"),
  KEY_FILE: row(
    "never",
    2,
    "the local key file is missing, malformed or readable by others",
    "create it with `sealift init --key`, mode 0600",
  ),
  // envelope
  SEAL_MALFORMED: row(
    "never",
    6,
    "the envelope is of a known format but broken, mixed or truncated",
    "inspect the object; nothing was guessed",
  ),
  SEAL_UNSUPPORTED: row(
    "never",
    6,
    "the envelope is of a known format that this version cannot carry",
    "see docs/formats.md",
  ),
  SEAL_FORGED: row(
    "never",
    7,
    "the key, its commitment and the ciphertext do not belong together",
    "do not trust the object; restore it from its writer",
  ),
  KEY_CONTEXT: row("never", 6, "the key context is not what keys.requireContext demands", "check who wrote the object"),
  // transfer
  REFUSED_FALLBACK: row(
    "never",
    6,
    "the object has no client-side envelope and the job says fallback: refuse",
    "choose fallback: seal, server or copy",
  ),
  CONFLICT: row(
    "never",
    6,
    "a different object stands at the destination",
    "compare the two; overwrite: true replaces it",
  ),
  VERIFY_MISMATCH: row(
    "never",
    7,
    "what stands at the destination is not what was sent",
    "keep the source; report this",
  ),
  WORKER_CRASH: row(
    "never",
    6,
    "handling this object ended its worker several times",
    "inspect the object, then resume --failed",
  ),
  // ledger and pipeline
  LEDGER_BROKEN: row(
    "never",
    7,
    "the ledger contradicts itself",
    "do not delete the source; keep the ledger and report this",
  ),
  LEDGER_EXISTS: row("never", 1, "the ledger record was written before", "nothing to do: the first writer won"),
  STATE_LOST: row("later", 5, "Redis lost the migration's window", "nothing to do: it is rebuilt from the ledger"),
  REDIS_FULL: row(
    "later",
    5,
    "Redis has no room left",
    "raise its maxmemory or make room: workers go on by themselves",
  ),
  INTERRUPTED: row("later", 5, "the work was stopped before its end", "sealift resume <id>"),
  CANCELLED: row("never", 8, "the migration was cancelled", "start a new one"),
  INCOMPLETE: row(
    "never",
    6,
    "the migration ended with objects that did not arrive",
    "sealift report <id>, then sealift resume <id> --failed",
  ),
  INTERNAL: row("never", 1, "a defect in sealift", "report it with the message"),
} as const satisfies Record<string, CodeRow>;

export type Code = keyof typeof CODES;

export interface ErrorDetails {
  /** The object's key, when there is one. */
  readonly object?: string | undefined;
  readonly cause?: unknown;
  /** The provider asked for at least this long. */
  readonly retryAfterMs?: number | undefined;
  /** Overrides the table where the driver knows better (a 403 that is only a clock away). */
  readonly retry?: Retry | undefined;
}

/** Messages repeat what was read, and end up in logs, records and Redis: whoever wrote it must not choose how much that is. */
const MESSAGE_CHARACTERS_MAX = 4000;

const bounded = (message: string): string =>
  message.length <= MESSAGE_CHARACTERS_MAX ? message : `${message.slice(0, MESSAGE_CHARACTERS_MAX)}...`;

export class SealiftError extends Error {
  override readonly name = "SealiftError";
  readonly code: Code;
  readonly object: string | undefined;
  readonly retry: Retry;
  readonly retryAfterMs: number | undefined;

  constructor(code: Code, message: string, details: ErrorDetails = {}) {
    super(bounded(message), details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.object = details.object;
    this.retry = details.retry ?? CODES[code].retry;
    this.retryAfterMs = details.retryAfterMs;
  }

  /** The same error, naming the object it happened to. */
  about(object: string): SealiftError {
    if (this.object !== undefined) return this;
    const { retry, retryAfterMs } = this;
    return new SealiftError(this.code, this.message, { object, cause: this.cause ?? this, retry, retryAfterMs });
  }

  /** `STORE_CUT tenant/a.bin: body ended at 12 of 40 bytes. Next: resume; nothing was written` */
  line(): string {
    const where = this.object === undefined ? "" : ` ${JSON.stringify(this.object)}`;
    return `${this.code}${where}: ${this.message}. Next: ${CODES[this.code].next}`;
  }
}

/** Anything thrown, as a SealiftError: strangers become INTERNAL, aborts INTERRUPTED. */
export function asSealiftError(thrown: unknown): SealiftError {
  if (thrown instanceof SealiftError) return thrown;
  if (thrown instanceof Error && thrown.name === "AbortError") {
    return new SealiftError("INTERRUPTED", "stopped before the end", { cause: thrown });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new SealiftError("INTERNAL", message, { cause: thrown });
}
