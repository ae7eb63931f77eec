/** What a request may look like, and what a fault of the network is called: the same for every client. */
import { SealiftError } from "../core/error.ts";
import type { HttpBody, HttpRequest } from "./http.ts";

export const bodyLength = (body: HttpBody | undefined): number =>
  body === undefined
    ? 0
    : typeof body === "string"
      ? Buffer.byteLength(body)
      : body instanceof Uint8Array
        ? body.length
        : body.reduce((sum, piece) => sum + piece.length, 0);

/** S3 sends 2 KB of metadata and some 4 KB of its own; other servers allow more. */
export const HEAD_BYTES_MAX = 64 * 1024;
/** Of a body that is read whole and for which nothing else is said. */
export const TEXT_BYTES_MAX = 16 * 1024 * 1024;
/** Unread rests up to this size are drained so that the connection is kept; larger ones close it. */
export const DRAIN_BYTES_MAX = 128 * 1024;
export const CONNECTIONS = 128;
export const TIMEOUT_MS = 60_000;
export const CONNECT_TIMEOUT_MS = 10_000;
export const IDLE_MS = 20_000;

/** RFC 9110, 5.5, 5.6.2 and 9.1; values are one character a byte. */
export const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const PATH = /^\/[\x21-\x7e]*$/;
/** They would say how the message is framed or how the connection goes on, which is the client's to say. */
const OF_THE_CONNECTION = /^(connection|expect|keep-alive|te|trailer|transfer-encoding|upgrade)$/i;

const NAMES_KEPT_MAX = 1024;
/** Programs send a few dozen names, millions of times. */
const goodNames = new Set<string>();

function isName(name: string): boolean {
  if (goodNames.has(name)) return true;
  if (!TOKEN.test(name) || OF_THE_CONNECTION.test(name)) return false;
  if (goodNames.size < NAMES_KEPT_MAX && name.length < 64) goodNames.add(name);
  return true;
}

/** ETags, versions and upload addresses come from the other side and go back to it. PROVIDER_REFUSED before anything is sent. */
export function checkSendable({ method, path, headers }: HttpRequest, origin: string): void {
  for (const name in headers) {
    if (isName(name) && HEADER_VALUE.test(headers[name] as string)) continue;
    throw unsendable(origin, `header ${JSON.stringify(name.slice(0, 80))}`);
  }
  if (!PATH.test(path)) throw unsendable(origin, "path");
  if (!isName(method)) throw unsendable(origin, "method");
}

export const unsendable = (origin: string, what: string): SealiftError =>
  new SealiftError("PROVIDER_REFUSED", `${origin}: a request that HTTP cannot carry (${what})`);

export const tooMuch = (origin: string, bytesMax: number): SealiftError =>
  new SealiftError("PROVIDER_ERROR", `${origin} answered with more than ${bytesMax} bytes`);

const TIMEOUTS = new Set(["UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT", "ETIMEDOUT"]);

/** What a socket or undici fails with, as our own; a SealiftError (a guard's refusal) stays what it is. */
export function networkError(error: unknown, origin: string, signal?: AbortSignal): unknown {
  if (error instanceof SealiftError) return error;
  if (signal?.aborted) return signal.reason;
  const { code, message, name } = error as { code?: string; message?: string; name?: string };
  if (name === "AbortError") return error;
  const kind = code !== undefined && TIMEOUTS.has(code) ? "NET_TIMEOUT" : "NET_UNREACHABLE";
  return new SealiftError(kind, `${origin}: ${message || "connection failed"}${code ? ` (${code})` : ""}`, {
    cause: error,
  });
}
