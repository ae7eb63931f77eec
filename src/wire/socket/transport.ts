/**
 * The contract of http.ts over plain sockets, for it and nothing else: half of what a small object costs is HTTP, and most of what a
 * client for everybody does is not needed here.
 */
import type { HttpOptions, HttpRequest, HttpResponse, Transport } from "../http.ts";
import { Door } from "./open.ts";
import { Pool } from "./pool.ts";
import { Exchange } from "./request.ts";

export class SocketTransport implements Transport {
  readonly #door: Door;
  readonly #pool: Pool;

  constructor(options: HttpOptions) {
    this.#door = new Door(options);
    this.#pool = new Pool(this.#door, options);
  }

  send(request: HttpRequest): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      const exchange = new Exchange(request, this.#door, { resolve, reject });
      if (request.signal.aborted) reject(request.signal.reason as Error);
      else this.#pool.run(exchange);
    });
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
