/** The contract of http.ts kept by undici: the reference for the client over sockets, and what runs in its place where asked to. */
import { Readable } from "node:stream";
import { Pool } from "undici";
import type { ByteStream } from "../core/object.ts";
import { guardedLookup } from "./endpoint.ts";
import type { HttpOptions, HttpRequest, HttpResponse, Transport } from "./http.ts";
import * as sendable from "./sendable.ts";
import { bodyLength, checkSendable, networkError, tooMuch } from "./sendable.ts";

export class UndiciTransport implements Transport {
  readonly #origin: string;
  readonly #pool: Pool;

  constructor(options: HttpOptions) {
    this.#origin = options.origin;
    const timeoutMs = options.timeoutMs ?? sendable.TIMEOUT_MS;
    this.#pool = new Pool(options.origin, {
      connections: options.connections ?? sendable.CONNECTIONS,
      pipelining: 1,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      keepAliveTimeout: sendable.IDLE_MS,
      maxHeaderSize: sendable.HEAD_BYTES_MAX,
      connect: {
        timeout: sendable.CONNECT_TIMEOUT_MS,
        // Said, so that no variable of the environment unsays it.
        rejectUnauthorized: true,
        lookup: options.lookup ?? guardedLookup(),
        ...(options.ca === undefined ? {} : { ca: options.ca }),
      },
    });
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    checkSendable(request, this.#origin);
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
      return respond(answer.statusCode, answer.headers, answer.body, { origin: this.#origin, signal: request.signal });
    } catch (error) {
      throw networkError(error, this.#origin, request.signal);
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

/** Whom a body comes from, and who may call it off. */
interface Asked {
  readonly origin: string;
  readonly signal: AbortSignal;
}

function respond(
  status: number,
  raw: Record<string, string | string[] | undefined>,
  body: UndiciBody,
  about: Asked,
): HttpResponse {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(raw)) {
    if (value !== undefined) headers[name.toLowerCase()] = Array.isArray(value) ? value.join(", ") : value;
  }
  const bytes = (bytesMax = sendable.TEXT_BYTES_MAX) => collect(translated(body, about), bytesMax, about.origin);
  return {
    status,
    headers,
    body: translated(body, about),
    bytes,
    text: async (bytesMax) => (await bytes(bytesMax)).toString("utf8"),
    dismiss: () => body.dump({ limit: sendable.DRAIN_BYTES_MAX }).catch(() => void body.destroy()),
  };
}

/** Network faults in the middle of a body become our errors; stopping early closes the connection. */
async function* translated(body: UndiciBody, { origin, signal }: Asked): ByteStream {
  try {
    yield* body;
  } catch (error) {
    throw networkError(error, origin, signal);
  }
}

async function collect(body: ByteStream, bytesMax: number, origin: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > bytesMax) throw tooMuch(origin, bytesMax);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}
