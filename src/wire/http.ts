/**
 * HTTP/1.1 to one origin over a pool of kept connections. Redirects are never followed (credentials would follow them), paths go
 * out byte for byte as given (no dot-segment folding: object keys hold `..` and `//`), and nothing is retried here.
 * Guest: undici, hidden behind this file so that another client can take its place.
 */
import type { LookupFunction } from "node:net";
import { Readable } from "node:stream";
import { Pool } from "undici";
import { SealiftError } from "../core/error.ts";
import type { ByteStream } from "../core/object.ts";
import { guardedLookup } from "./endpoint.ts";

export interface HttpOptions {
  /** `https://host[:port]`, without a path. */
  readonly origin: string;
  /** PEM text of extra certificate authorities. */
  readonly ca?: string | undefined;
  readonly connections?: number | undefined;
  /** Silence that ends a request: before the head, and between two chunks of a body. */
  readonly timeoutMs?: number | undefined;
  /** How names become addresses; by default the system's way, under guard. */
  readonly lookup?: LookupFunction | undefined;
}

/** In several pieces it goes out as one body of their sum. */
export type HttpBody = Uint8Array | string | readonly Uint8Array[];

export const bodyLength = (body: HttpBody | undefined): number =>
  body === undefined
    ? 0
    : typeof body === "string"
      ? Buffer.byteLength(body)
      : body instanceof Uint8Array
        ? body.length
        : body.reduce((sum, piece) => sum + piece.length, 0);

export interface HttpRequest {
  readonly method: string;
  /** Encoded path and query, sent as it is. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: HttpBody | undefined;
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case; repeated headers joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** The bytes as they come. A connection lost on the way throws NET_UNREACHABLE; length is checked by the caller. */
  readonly body: ByteStream;
  /** The whole body as text; PROVIDER_ERROR above `bytesMax`. */
  text(bytesMax?: number): Promise<string>;
  bytes(bytesMax?: number): Promise<Buffer>;
  /** Gives the connection back without the body. */
  dismiss(): Promise<void>;
}

/** S3 sends 2 KB of metadata and some 4 KB of its own; other servers allow more. */
const HEADER_BYTES_MAX = 64 * 1024;
const TEXT_BYTES_MAX = 16 * 1024 * 1024;
/** Unread rests up to this size are drained so that the connection is kept; larger ones close it. */
const DRAIN_BYTES_MAX = 128 * 1024;

export class HttpClient {
  readonly origin: string;
  readonly #pool: Pool;

  constructor(options: HttpOptions) {
    this.origin = options.origin;
    const timeoutMs = options.timeoutMs ?? 60_000;
    this.#pool = new Pool(options.origin, {
      connections: options.connections ?? 128,
      pipelining: 1,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      keepAliveTimeout: 20_000,
      maxHeaderSize: HEADER_BYTES_MAX,
      connect: {
        timeout: 10_000,
        // Said, so that no variable of the environment unsays it.
        rejectUnauthorized: true,
        lookup: options.lookup ?? guardedLookup(),
        ...(options.ca === undefined ? {} : { ca: options.ca }),
      },
    });
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    checkSendable(request, this.origin);
    try {
      const answering = this.#pool.request({
        method: request.method as "GET",
        path: request.path,
        ...framed(request),
        signal: request.signal,
        // Without this undici closes the connection after every HEAD.
        reset: false,
      });
      const answer = await orAbort(answering, request.signal);
      return respond(answer.statusCode, answer.headers, answer.body, this.origin);
    } catch (error) {
      throw networkError(error, this.origin, request.signal);
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

/** Of several pieces undici would not know the sum, and would send them chunked; empty ones it does not expect. */
function framed({ headers, body }: HttpRequest): {
  headers: Record<string, string>;
  body: Uint8Array | string | Readable | null;
} {
  if (body === undefined || typeof body === "string" || body instanceof Uint8Array) {
    return { headers: { ...headers }, body: body ?? null };
  }
  const pieces = body.filter(({ length }) => length > 0);
  if (pieces.length < 2) return { headers: { ...headers }, body: pieces[0] ?? Buffer.alloc(0) };
  return { headers: { ...headers, "content-length": String(bodyLength(pieces)) }, body: Readable.from(pieces) };
}

/** RFC 9110, 5.5 and 5.6.2; values are one character a byte. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~\w-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const PATH = /^\/[\x21-\x7e]*$/;

/**
 * ETags, versions and upload addresses come from the other side and go back to it. undici refuses such a request as well, but keeps
 * the connection it had chosen for it waiting for ever.
 */
function checkSendable({ path, headers }: HttpRequest, origin: string): void {
  const wrong = Object.entries(headers).find(([name, value]) => !HEADER_NAME.test(name) || !HEADER_VALUE.test(value));
  const what = wrong ? `header ${JSON.stringify(wrong[0].slice(0, 80))}` : PATH.test(path) ? undefined : "path";
  if (what === undefined) return;
  throw new SealiftError("PROVIDER_REFUSED", `${origin}: a request that HTTP cannot carry (${what})`);
}

/** undici hears an abort only once a connection is free for the request: whoever leaves must not wait for one. */
async function orAbort<T>(answering: Promise<T>, signal: AbortSignal): Promise<T> {
  let leave: (() => void) | undefined;
  const left = new Promise<never>((_, reject) => {
    leave = () => reject(signal.reason as Error);
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  });
  try {
    return await Promise.race([answering, left]);
  } finally {
    if (leave !== undefined) signal.removeEventListener("abort", leave);
    // Whichever lost the race has nobody left to tell.
    answering.catch(() => {});
    left.catch(() => {});
  }
}

type UndiciBody = AsyncIterable<Uint8Array> & {
  destroy(): unknown;
  dump(options: { limit: number }): Promise<void>;
};

function respond(
  status: number,
  raw: Record<string, string | string[] | undefined>,
  body: UndiciBody,
  origin: string,
): HttpResponse {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(raw)) {
    if (value !== undefined) headers[name.toLowerCase()] = Array.isArray(value) ? value.join(", ") : value;
  }
  const bytes = (bytesMax = TEXT_BYTES_MAX) => collect(translated(body, origin), bytesMax, origin);
  return {
    status,
    headers,
    body: translated(body, origin),
    bytes,
    text: async (bytesMax) => (await bytes(bytesMax)).toString("utf8"),
    dismiss: () => body.dump({ limit: DRAIN_BYTES_MAX }).catch(() => void body.destroy()),
  };
}

/** Network faults in the middle of a body become our errors; stopping early closes the connection. */
async function* translated(body: UndiciBody, origin: string): ByteStream {
  try {
    yield* body;
  } catch (error) {
    throw networkError(error, origin);
  }
}

async function collect(body: ByteStream, bytesMax: number, origin: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > bytesMax)
      throw new SealiftError("PROVIDER_ERROR", `${origin} answered with more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

const TIMEOUTS = new Set(["UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT", "ETIMEDOUT"]);

function networkError(error: unknown, origin: string, signal?: AbortSignal): unknown {
  if (error instanceof SealiftError) return error;
  if (signal?.aborted) return signal.reason;
  const { code, message, name } = error as { code?: string; message?: string; name?: string };
  if (name === "AbortError") return error;
  const kind = code !== undefined && TIMEOUTS.has(code) ? "NET_TIMEOUT" : "NET_UNREACHABLE";
  return new SealiftError(kind, `${origin}: ${message ?? "connection failed"}${code ? ` (${code})` : ""}`, {
    cause: error,
  });
}
