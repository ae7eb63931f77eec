/**
 * HTTP/1.1 to one origin over a pool of kept connections. Redirects are never followed (credentials would follow them), paths go
 * out byte for byte as given (no dot-segment folding: object keys hold `..` and `//`), and nothing is retried here.
 *
 * Two clients keep this contract: one made for it over plain sockets, and undici, the reference and the way out.
 */
import type { LookupFunction } from "node:net";
import type { ByteStream } from "../core/object.ts";
import { checkEndpoint } from "./endpoint.ts";
import { SocketTransport } from "./socket/transport.ts";

/** Which client speaks. */
export type HttpKind = "socket" | "undici";

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
  /** Default: socket. */
  readonly http?: HttpKind | undefined;
}

/** In several pieces it goes out as one body of their sum. */
export type HttpBody = Uint8Array | string | readonly Uint8Array[];

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
  /** The bytes as they come, once. A connection lost on the way throws NET_UNREACHABLE; length is checked by the caller. */
  readonly body: ByteStream;
  /** The whole body as text; PROVIDER_ERROR above `bytesMax`. */
  text(bytesMax?: number): Promise<string>;
  bytes(bytesMax?: number): Promise<Buffer>;
  /** Gives the connection back without the body. */
  dismiss(): Promise<void>;
}

/** One origin's connections, whoever made them. */
export interface Transport {
  /**
   * PROVIDER_REFUSED for a request that HTTP cannot carry, NET_TIMEOUT, NET_UNREACHABLE, ENDPOINT_REFUSED where the origin's
   * name leads somewhere it may not, the signal's reason once it fires.
   */
  send(request: HttpRequest): Promise<HttpResponse>;
  close(): Promise<void>;
}

export class HttpClient implements Transport {
  readonly origin: string;
  readonly #transport: Transport;

  /** ENDPOINT_REFUSED where the origin is a metadata address by its own text: no name is resolved for it. */
  constructor(options: HttpOptions) {
    checkEndpoint(options.origin, { allowInsecure: true });
    this.origin = options.origin;
    this.#transport = options.http === "undici" ? undici(options) : new SocketTransport(options);
  }

  send(request: HttpRequest): Promise<HttpResponse> {
    return this.#transport.send(request);
  }

  close(): Promise<void> {
    return this.#transport.close();
  }
}

/** Loaded only where it is asked for: undici takes its time to start. */
function undici(options: HttpOptions): Transport {
  let opened: Promise<Transport> | undefined;
  const open = () =>
    (opened ??= import("./undici.ts").then(({ UndiciTransport }): Transport => new UndiciTransport(options)));
  return {
    send: async (request) => (await open()).send(request),
    close: async () => (await open()).close(),
  };
}
