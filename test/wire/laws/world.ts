/** A server that speaks bytes and not HTTP, so that every answer can be given, and a client of either kind to hear them. */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { asSealiftError, type SealiftError } from "../../../src/core/error.ts";
import {
  HttpClient,
  type HttpKind,
  type HttpOptions,
  type HttpRequest,
  type HttpResponse,
} from "../../../src/wire/http.ts";

export interface Law {
  readonly name: string;
  run(world: World): Promise<void>;
}

/** A request as its bytes said it. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly head: string;
  readonly body: Buffer;
  /** Counted from 1: which connection it came on. */
  readonly connection: number;
}

/** Told once a request has come whole, or where `early` is set with its head. */
export type Answerer = (seen: Seen, socket: Socket) => void;

export const never = new AbortController().signal;

export class RawServer {
  readonly seen: Seen[] = [];
  readonly sockets: Socket[] = [];
  readonly #server: Server;

  private constructor(answer: Answerer, early: boolean) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.sockets.push(socket);
      const connection = this.sockets.length;
      let bytes = Buffer.alloc(0);
      let answered = false;
      socket.on("error", () => undefined);
      socket.on("data", (data) => {
        if (early && answered) return;
        bytes = Buffer.concat([bytes, data]);
        while (!early || !answered) {
          const end = bytes.indexOf("\r\n\r\n");
          if (end < 0) return;
          const head = bytes.toString("latin1", 0, end);
          const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
          if (!early && bytes.length < end + 4 + length) return;
          const [method = "", path = ""] = head.split(" ");
          const seen = { method, path, head, body: bytes.subarray(end + 4, end + 4 + length), connection };
          bytes = bytes.subarray(end + 4 + length);
          answered = true;
          this.seen.push(seen);
          answer(seen, socket);
        }
      });
    });
  }

  static async start(answer: Answerer, early = false): Promise<RawServer> {
    const server = new RawServer(answer, early);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get open(): number {
    return this.sockets.filter((one) => !one.destroyed && one.readyState === "open").length;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
}

export class World {
  readonly kind: HttpKind;
  readonly #closing: (() => Promise<void>)[] = [];

  constructor(kind: HttpKind) {
    this.kind = kind;
  }

  async serve(answer: Answerer, early = false): Promise<RawServer> {
    const server = await RawServer.start(answer, early);
    this.#closing.push(() => server.close());
    return server;
  }

  client(origin: string, options: Partial<HttpOptions> = {}): HttpClient {
    const client = new HttpClient({ origin, timeoutMs: 5000, http: this.kind, ...options });
    this.#closing.unshift(() => client.close());
    return client;
  }

  async close(): Promise<void> {
    for (const close of this.#closing) await close();
  }
}

export const ask = (client: HttpClient, path = "/", more: Partial<HttpRequest> = {}): Promise<HttpResponse> =>
  client.send({ method: "GET", path, headers: {}, signal: never, ...more });

export const textOf = async (client: HttpClient, path = "/", more: Partial<HttpRequest> = {}): Promise<string> =>
  (await ask(client, path, more)).text();

export async function failure(act: Promise<unknown>): Promise<SealiftError> {
  const error: unknown = await act.then(
    () => new Error("it did not fail"),
    (thrown: unknown) => thrown,
  );
  return asSealiftError(error);
}

/** What was thrown, as it is. */
export const thrown = (act: Promise<unknown>): Promise<unknown> =>
  act.then(
    () => "nothing thrown",
    (error: unknown) => error,
  );

export const ok = (body: string, ...headers: string[]): string =>
  `${["HTTP/1.1 200 OK", `Content-Length: ${Buffer.byteLength(body, "latin1")}`, ...headers].join("\r\n")}\r\n\r\n${body}`;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Until it holds; the test's own limit ends it otherwise. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(2);
}

/** Whole, byte by byte, or cut where `cuts` say; each piece is a packet of its own. */
export async function say(
  socket: Socket,
  text: string | Buffer,
  cuts: "whole" | "bytes" | readonly number[],
): Promise<void> {
  const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  const ends = cuts === "whole" ? [] : cuts === "bytes" ? Array.from(bytes.keys()) : [...cuts].sort((a, b) => a - b);
  let at = 0;
  for (const end of [...ends, bytes.length]) {
    if (end <= at || socket.destroyed) continue;
    socket.write(bytes.subarray(at, end));
    at = end;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
