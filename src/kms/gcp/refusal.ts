/** What Google Cloud KMS answers when it does not do what was asked, by its canonical code (google.rpc.Code). */
import { type Code, SealiftError } from "../../core/error.ts";
import { cannotOpen, quote } from "../answer.ts";

/** By number, as gRPC gives them. */
export const CANONICAL = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

const CODES: Readonly<Record<string, Code>> = {
  CANCELLED: "PROVIDER_ERROR",
  UNKNOWN: "PROVIDER_ERROR",
  DEADLINE_EXCEEDED: "NET_TIMEOUT",
  NOT_FOUND: "KMS_KEY_UNUSABLE",
  PERMISSION_DENIED: "ACCESS_DENIED",
  RESOURCE_EXHAUSTED: "THROTTLED",
  FAILED_PRECONDITION: "KMS_KEY_UNUSABLE",
  ABORTED: "PROVIDER_ERROR",
  INTERNAL: "PROVIDER_ERROR",
  UNAVAILABLE: "PROVIDER_ERROR",
  DATA_LOSS: "PROVIDER_ERROR",
  UNAUTHENTICATED: "CREDENTIALS_EXPIRED",
};

export interface Failure {
  /** A canonical code's name; undefined where it was not Google that answered. */
  readonly status: string | undefined;
  readonly httpStatus?: number | undefined;
  readonly message: unknown;
  readonly operation: "encrypt" | "decrypt" | "describe";
  readonly name: string;
  /** What may not be repeated: the data key in base64. */
  readonly secret?: string | undefined;
  readonly retryAfterMs?: number | undefined;
}

export function refusal(failure: Failure): SealiftError {
  const { status, httpStatus, message, operation, name, secret, retryAfterMs } = failure;
  const code = codeOf(failure);
  if (code === "KMS_CANNOT_OPEN") return cannotOpen(`gcp-kms://${name}`);
  const what = status ?? `HTTP ${httpStatus ?? "without status"}`;
  const text = `Google KMS ${operation} under gcp-kms://${name}: ${what}${quote(message, secret)}`;
  return new SealiftError(code, text, { retryAfterMs });
}

function codeOf({ status, httpStatus = 0, message, operation }: Failure): Code {
  if (status === "INVALID_ARGUMENT") {
    // Wrong ciphertext and wrong additional data come under this code; so does a checksum that did not survive the way
    // (service.proto, EncryptRequest.plaintext_crc32c), which only the text tells apart. The text's wording is unverified.
    if (typeof message === "string" && /crc32c|checksum/i.test(message)) return "KMS_CORRUPTED";
    return operation === "decrypt" ? "KMS_CANNOT_OPEN" : "PROVIDER_REFUSED";
  }
  if (status !== undefined) return (Object.hasOwn(CODES, status) ? CODES[status] : undefined) ?? "PROVIDER_REFUSED";
  if (httpStatus === 401) return "CREDENTIALS_EXPIRED";
  if (httpStatus === 429) return "THROTTLED";
  return httpStatus === 200 || httpStatus >= 500 ? "PROVIDER_ERROR" : "PROVIDER_REFUSED";
}
