/** What AWS KMS answers when it does not do what was asked (AWS KMS API Reference, "Common Errors" and each operation's own). */
import { type Code, SealiftError } from "../../core/error.ts";
import { type Answer, cannotOpen, quote, retryAfterMs } from "../answer.ts";

export interface Failure {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent where the body was no JSON object: then it was not KMS that answered. */
  readonly answer: Answer | undefined;
  readonly operation: string;
  /** A key's URI, or the Region where the request names no key. */
  readonly where: string;
  /** What may not be repeated: the data key in base64. */
  readonly secret?: string | undefined;
}

const CODES: Readonly<Record<string, Code>> = {
  ThrottlingException: "THROTTLED",
  Throttling: "THROTTLED",
  TooManyRequestsException: "THROTTLED",
  RequestLimitExceeded: "THROTTLED",
  LimitExceededException: "THROTTLED",
  DisabledException: "KMS_KEY_UNUSABLE",
  KMSInvalidStateException: "KMS_KEY_UNUSABLE",
  NotFoundException: "KMS_KEY_UNUSABLE",
  InvalidArnException: "KMS_KEY_UNUSABLE",
  InvalidKeyUsageException: "KMS_KEY_UNUSABLE",
  InvalidCiphertextException: "KMS_CANNOT_OPEN",
  IncorrectKeyException: "KMS_CANNOT_OPEN",
  AccessDeniedException: "ACCESS_DENIED",
  AccessDenied: "ACCESS_DENIED",
  UnrecognizedClientException: "ACCESS_DENIED",
  InvalidClientTokenId: "ACCESS_DENIED",
  MissingAuthenticationTokenException: "ACCESS_DENIED",
  MissingAuthenticationToken: "ACCESS_DENIED",
  IncompleteSignatureException: "ACCESS_DENIED",
  InvalidSignatureException: "ACCESS_DENIED",
  SignatureDoesNotMatch: "ACCESS_DENIED",
  InvalidGrantTokenException: "ACCESS_DENIED",
  OptInRequired: "ACCESS_DENIED",
  ExpiredTokenException: "CREDENTIALS_EXPIRED",
  ExpiredToken: "CREDENTIALS_EXPIRED",
  KMSInternalException: "PROVIDER_ERROR",
  DependencyTimeoutException: "PROVIDER_ERROR",
  KeyUnavailableException: "PROVIDER_ERROR",
  ServiceUnavailableException: "PROVIDER_ERROR",
  InternalFailure: "PROVIDER_ERROR",
};

const TYPE = /^[A-Za-z]{1,64}$/;

/** `DisabledException` out of `com.amazonaws.kms#DisabledException`; some servers say it in a header only, `Name:http://...`. */
export function typeOf(failure: Pick<Failure, "answer" | "headers">): string {
  const stated = failure.answer?.["__type"] ?? failure.headers["x-amzn-errortype"];
  if (typeof stated !== "string") return "";
  const type = stated.slice(stated.lastIndexOf("#") + 1).replace(/:.*$/s, "");
  // It is shown and not looked through as the message is: only what looks like a name is one.
  return TYPE.test(type) ? type : "";
}

export function refusal(failure: Failure): SealiftError {
  const { status, headers, answer, operation, where, secret } = failure;
  const type = typeOf(failure);
  const code = (Object.hasOwn(CODES, type) ? CODES[type] : undefined) ?? codeOfStatus(status);
  if (code === "KMS_CANNOT_OPEN") return cannotOpen(where);
  const said = quote(answer?.["message"] ?? answer?.["Message"], secret);
  const text = `AWS KMS ${operation} under ${where}: ${type || `HTTP ${status}`}${said}`;
  // "Signature expired" and "not yet current" are a matter of the clock, which is set while the run waits.
  const retry = code === "ACCESS_DENIED" && /signature (?:expired|not yet)/i.test(said) ? "later" : undefined;
  return new SealiftError(code, text, { retry, retryAfterMs: retryAfterMs(headers["retry-after"]) });
}

function codeOfStatus(status: number): Code {
  if (status === 429) return "THROTTLED";
  if (status === 200 || status >= 500) return "PROVIDER_ERROR";
  return "PROVIDER_REFUSED";
}
