/**
 * What S3 means when it says no: its error codes (Amazon S3 API Reference, "Error responses"), in our words. Nothing is retried
 * here. The provider's text is shown, shortened; it holds no secret of ours, and no header is shown at all.
 */
import { type Code, type ErrorDetails, type Retry, SealiftError } from "../../core/error.ts";
import type { HttpResponse } from "../../wire/http.ts";
import { childText, parseXml } from "../../wire/xml.ts";

/** What an answer other than success said of itself. */
export interface Refusal {
  readonly status: number;
  /** S3's own code; "" where the answer had none (HEAD has no body, proxies speak HTML). */
  readonly code: string;
  readonly message: string;
  /** Where the bucket is, on a redirect or a signature for another Region. */
  readonly region?: string | undefined;
  readonly retryAfterMs?: number | undefined;
}

const BODY_BYTES_MAX = 64 * 1024;
const MESSAGE_CHARACTERS_MAX = 400;
const RETRY_AFTER_MS_MAX = 10 * 60_000;

/** Reads the rest of the answer and gives its connection back. */
export async function readRefusal(response: HttpResponse, nowMs: number): Promise<Refusal> {
  const said = parseRefusal(await response.text(BODY_BYTES_MAX).catch(() => ""));
  return {
    status: response.status,
    code: said?.code ?? "",
    message: said?.message ?? "",
    region: response.headers["x-amz-bucket-region"] ?? said?.region,
    retryAfterMs: retryAfterMs(response.headers["retry-after"], nowMs),
  };
}

/** The `<Error>` document, also where it comes with status 200; undefined where there is none. */
export function parseRefusal(text: string): { code: string; message: string; region?: string | undefined } | undefined {
  try {
    const root = parseXml(text);
    if (root.name !== "Error") return undefined;
    const message = childText(root, "Message") ?? "";
    return { code: childText(root, "Code") ?? "", message, region: childText(root, "Region") };
  } catch {
    return undefined;
  }
}

function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), RETRY_AFTER_MS_MAX);
}

const later = (code: Code): readonly [Code, Retry] => [code, "later"];

const BY_CODE = new Map<string, Code | readonly [Code, Retry]>([
  ["SlowDown", "THROTTLED"],
  ["RequestLimitExceeded", "THROTTLED"],
  ["Throttling", "THROTTLED"],
  ["ThrottlingException", "THROTTLED"],
  ["TooManyRequests", "THROTTLED"],
  ["BandwidthLimitExceeded", "THROTTLED"],
  ["ServiceUnavailable", "THROTTLED"],
  ["InternalError", "PROVIDER_ERROR"],
  ["OperationAborted", "STORE_BUSY"],
  ["ConditionalRequestConflict", "STORE_BUSY"],
  ["NoSuchKey", "STORE_NOT_FOUND"],
  ["NoSuchVersion", "STORE_NOT_FOUND"],
  ["NoSuchBucket", "PREFLIGHT_ACCESS"],
  // The parts are gone (a lifecycle rule, somebody's abort): the whole put has to begin again.
  ["NoSuchUpload", later("PROVIDER_ERROR")],
  ["InvalidPart", later("PROVIDER_ERROR")],
  ["InvalidObjectState", "STORE_ARCHIVED"],
  ["ExpiredToken", "CREDENTIALS_EXPIRED"],
  ["ExpiredTokenException", "CREDENTIALS_EXPIRED"],
  ["TokenRefreshRequired", "CREDENTIALS_EXPIRED"],
  ["RequestExpired", "CREDENTIALS_EXPIRED"],
  ["AccessDenied", "ACCESS_DENIED"],
  ["InvalidAccessKeyId", "ACCESS_DENIED"],
  ["InvalidToken", "ACCESS_DENIED"],
  ["SignatureDoesNotMatch", "ACCESS_DENIED"],
  // A clock that is set right again makes the same request good.
  ["RequestTimeTooSkewed", later("PROVIDER_REFUSED")],
  ["BadDigest", "STORE_CHECKSUM"],
  ["InvalidDigest", "STORE_CHECKSUM"],
  ["XAmzContentSHA256Mismatch", "STORE_CHECKSUM"],
  ["XAmzContentChecksumMismatch", "STORE_CHECKSUM"],
  ["IncompleteBody", "NET_UNREACHABLE"],
  ["RequestTimeout", "NET_TIMEOUT"],
  ["KeyTooLongError", "NAME_UNFIT"],
  ["InvalidObjectName", "NAME_UNFIT"],
  ["InvalidURI", "NAME_UNFIT"],
  ["MetadataTooLarge", "METADATA_UNFIT"],
  ["RequestHeaderSectionTooLarge", "METADATA_UNFIT"],
  ["EntityTooLarge", "TOO_LARGE"],
]);

function byStatus(status: number): Code {
  if (status === 429 || status === 503) return "THROTTLED";
  if (status === 408) return "NET_TIMEOUT";
  if (status === 501) return "PROVIDER_REFUSED";
  if (status >= 500) return "PROVIDER_ERROR";
  if (status === 401 || status === 403) return "ACCESS_DENIED";
  if (status === 404) return "STORE_NOT_FOUND";
  if (status === 409) return "STORE_BUSY";
  return "PROVIDER_REFUSED";
}

/** The key that was asked for lives in AWS KMS, which says so through S3 (`KMS.DisabledException`). */
const byKmsCode = (code: string): Code => (/Thrott|LimitExceeded/.test(code) ? "THROTTLED" : "KMS_KEY_UNUSABLE");

/** The error of a refusal; `what` is the request in the operator's words: `s3://bucket at https://...: GET`. */
export function refusalError(refusal: Refusal, what: string, object?: string): SealiftError {
  const { status, code, region } = refusal;
  const found = BY_CODE.get(code) ?? (code.startsWith("KMS.") ? byKmsCode(code) : byStatus(status));
  const [ours, retry] = typeof found === "string" ? [found, undefined] : found;
  const details: ErrorDetails = { object, retryAfterMs: refusal.retryAfterMs, retry };
  const message = printable(refusal.message).slice(0, MESSAGE_CHARACTERS_MAX);
  const said = [`${what} was answered with ${status}`, printable(code).slice(0, 80), message]
    .filter(Boolean)
    .join(": ");
  // A redirect is not followed: the credentials would go with it.
  if (status >= 300 && status < 400) {
    const where = region ? `: the bucket is in Region ${printable(region).slice(0, 40)}` : " (redirect)";
    return new SealiftError("PROVIDER_REFUSED", `${said}${where}`, details);
  }
  if (code === "AuthorizationHeaderMalformed" && region) {
    return new SealiftError("PROVIDER_REFUSED", `${said}: sign for Region ${printable(region).slice(0, 40)}`, details);
  }
  return new SealiftError(ours, said, details);
}

const printable = (text: string): string => text.replaceAll(/\p{Cc}+/gu, " ").trim();
