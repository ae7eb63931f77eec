/** What an answer of Cloud Storage other than success means. JSON API documentation, "HTTP status and error codes for JSON". */
import { type Code, SealiftError } from "../../core/error.ts";
import type { HttpResponse } from "../../wire/http.ts";
import type { PutOptions } from "../store.ts";

const ERROR_BYTES_MAX = 64 * 1024;

export interface Circumstances {
  readonly bucket: string;
  readonly key?: string | undefined;
  readonly condition?: PutOptions["condition"] | undefined;
}

/** `{error:{code,message,errors:[{reason}]}}`; json is false where the answer is not of that shape (a proxy's page). */
interface GoogleError {
  readonly json: boolean;
  readonly reason: string;
  readonly message: string;
}

/** Reads the answer to its end. undefined: the object, and only the object, is not there. */
export async function absence(response: HttpResponse, about: Circumstances): Promise<SealiftError | undefined> {
  const error = await readError(response);
  if (response.status === 404 && isObjectMissing(error)) return undefined;
  return judged(response, error, about);
}

export async function fault(response: HttpResponse, about: Circumstances): Promise<SealiftError> {
  return judged(response, await readError(response), about);
}

/** A missing bucket or a stranger's 404 must never look like an absent object: everything would be copied, or deleted, again. */
const isObjectMissing = ({ json, reason, message }: GoogleError): boolean =>
  json && reason === "notFound" && !/bucket/i.test(message.replace(/No such object:.*/s, ""));

async function readError(response: HttpResponse): Promise<GoogleError> {
  let text = "";
  try {
    text = await response.text(ERROR_BYTES_MAX);
    return parseError(text) ?? { json: false, reason: "", message: text };
  } catch {
    return { json: false, reason: "", message: text };
  }
}

function parseError(text: string): GoogleError | undefined {
  const { error } = JSON.parse(text) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } };
  if (typeof error !== "object" || error === null) return undefined;
  const reason = Array.isArray(error.errors) ? error.errors[0]?.reason : undefined;
  const message = typeof error.message === "string" ? error.message : "";
  return { json: true, reason: typeof reason === "string" ? reason : "", message };
}

function judged(response: HttpResponse, error: GoogleError, about: Circumstances): SealiftError {
  const code = codeOf(response.status, error, about);
  const said = error.message.replace(/\s+/g, " ").trim().slice(0, 300);
  const seconds = Number(response.headers["retry-after"]);
  const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
  const message = `gs://${about.bucket} answered ${response.status} ${error.reason}: ${said}`;
  return new SealiftError(code, message, { object: about.key, retryAfterMs });
}

const TOO_FAST = new Set(["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"]);

function codeOf(status: number, error: GoogleError, { key, condition }: Circumstances): Code {
  const { json, reason, message } = error;
  if (status === 429 || (status === 403 && TOO_FAST.has(reason))) return "THROTTLED";
  if (status === 408) return "NET_TIMEOUT";
  if (status >= 500) return "PROVIDER_ERROR";
  if (/CustomerEncryption|customerEncryption/.test(reason)) return "STORE_KEY_NEEDED";
  if (status === 401) return "CREDENTIALS_EXPIRED";
  if (status === 403) return "ACCESS_DENIED";
  if (status === 404)
    return !json ? "PROVIDER_ERROR" : isObjectMissing(error) && key ? "STORE_NOT_FOUND" : "PREFLIGHT_ACCESS";
  if (status === 409) return "STORE_BUSY";
  if (status === 410) return "PROVIDER_ERROR"; // an upload session that is gone can be begun again
  if (status === 412) return codeOf412(message, condition);
  if (status === 413) return "TOO_LARGE";
  if (status === 400 && /crc32c|md5/i.test(message)) return "STORE_CHECKSUM";
  return "PROVIDER_REFUSED";
}

/** Organisation policies also answer 412, and are no sign of another object (unverified on the live service). */
function codeOf412(message: string, condition: Circumstances["condition"]): Code {
  if (/constraint/i.test(message)) return "ACCESS_DENIED";
  return condition === "absent" ? "STORE_EXISTS" : "STORE_CHANGED";
}
