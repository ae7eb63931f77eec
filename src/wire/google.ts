/**
 * Access tokens of Google, found as `gcloud` finds them (Application Default Credentials) or read from a named file.
 * Guest: google-auth-library. It keeps a token until shortly before it expires and asks once for all who wait; it also repeats a
 * failed token request up to three times by itself, which cannot be turned off.
 */
import { existsSync } from "node:fs";
import { type AuthClient, GoogleAuth } from "google-auth-library";
import { type Code, SealiftError } from "../core/error.ts";

export interface GoogleTokenOptions {
  /** A service account key, an authorized user, or a workload identity configuration. */
  readonly credentialsFile?: string | undefined;
  /** Send no credentials at all: public buckets and pocket clouds. */
  readonly anonymous?: boolean | undefined;
  readonly scopes: readonly string[];
}

export interface GoogleTokens {
  /** `authorization`, and the quota project where the credentials name one. */
  headers(signal: AbortSignal): Promise<Record<string, string>>;
}

export function googleTokens({ credentialsFile, anonymous, scopes }: GoogleTokenOptions): GoogleTokens {
  if (anonymous) return { headers: async () => ({}) };
  if (credentialsFile !== undefined && !existsSync(credentialsFile)) {
    throw new SealiftError("SECRET_MISSING", `the credentials file ${credentialsFile} is not there`);
  }
  const file = credentialsFile === undefined ? {} : { keyFilename: credentialsFile };
  const auth = new GoogleAuth({ ...file, scopes: [...scopes] });
  let client: Promise<AuthClient> | undefined;
  const ask = async () => {
    client ??= auth.getClient();
    try {
      return Object.fromEntries(await (await client).getRequestHeaders());
    } catch (error) {
      client = undefined;
      throw credentialError(error);
    }
  };
  return {
    headers: async (signal) => {
      signal.throwIfAborted();
      return orAbort(ask(), signal);
    },
  };
}

/** The library takes no signal: a caller who leaves does not wait, the token is kept for the next one. */
function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason as Error);
    signal.addEventListener("abort", leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

/** Without the cause: the library's errors carry the request, and that carries the credentials. */
function credentialError(error: unknown): SealiftError {
  const { message = "", code, status } = error as { message?: string; code?: unknown; status?: unknown };
  return new SealiftError(codeOf(message, code, Number(status)), `Google credentials: ${message.slice(0, 300)}`);
}

function codeOf(message: string, code: unknown, status: number): Code {
  if (status === 429) return "THROTTLED";
  if (status >= 500) return "PROVIDER_ERROR";
  if (status === 403) return "ACCESS_DENIED";
  if (status === 400 || status === 401 || /invalid_grant|invalid_rapt|expired/i.test(message))
    return "CREDENTIALS_EXPIRED";
  if (typeof code === "string" && /^E[A-Z]+$/.test(code) && code !== "ENOENT") return "NET_UNREACHABLE";
  return "PREFLIGHT_ACCESS";
}
