/**
 * The common floor of the pocket clouds: a real HTTP server on 127.0.0.1, a request log in numbers, and faults on purpose.
 * Pocket clouds compute real cryptography and keep their objects in memory.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { changeAnswer, type PocketAnswer, readSome, unheard } from "./harm.ts";

export interface PocketRequest {
  readonly method: string;
  /** As on the wire: still percent-encoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly incoming: IncomingMessage;
  /** Names of headers and parameters that the cloud takes no notice of; see `heard`. */
  readonly forgets?: RegExp | undefined;
}

/** A fault happens to requests it matches, after `skip` of them, `times` times (default once). */
export interface Fault {
  readonly match: (request: PocketRequest) => boolean;
  readonly skip?: number;
  readonly times?: number;
  /** Wait before anything else happens. */
  readonly delayMs?: number;
  /** Somebody else does something first: another writer, an operator. */
  readonly first?: (request: PocketRequest) => void | Promise<void>;
  /** Answer with this instead of working; with `afterBytes`, in the middle of the request's body, and hang up. */
  readonly answer?: {
    readonly status: number;
    readonly headers?: Record<string, string>;
    readonly body?: string | ((sent: Buffer) => string);
    readonly afterBytes?: number;
  };
  /** Work as if headers, parameters and metadata of these names had not been sent. */
  readonly forgets?: RegExp;
  /** Work, then answer something else. */
  readonly change?: (answer: PocketAnswer) => PocketAnswer;
  /** Work, and when this has happened once more, unasked: a proxy has sent a request without a body twice. */
  readonly again?: Promise<void>;
  /** Hang up at once and work when this has happened: a request without a body was stuck somewhere. */
  readonly late?: Promise<void>;
  /** Work, then drop the connection after this many bytes of the answer's body. */
  readonly cutBodyAt?: number;
  /** Work completely, then drop the connection without an answer (the ambiguous put). */
  readonly loseAnswer?: boolean;
}

export class Faults {
  #list: { readonly fault: Fault; seen: number }[] = [];

  add(fault: Fault): void {
    this.#list.push({ fault, seen: 0 });
  }

  clear(): void {
    this.#list = [];
  }

  take(request: PocketRequest): Fault | undefined {
    for (const entry of this.#list) {
      if (!entry.fault.match(request)) continue;
      const turn = entry.seen++;
      const first = entry.fault.skip ?? 0;
      if (turn >= first && turn < first + (entry.fault.times ?? 1)) return entry.fault;
    }
    return undefined;
  }
}

export interface PocketServer {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  readonly faults: Faults;
  /** Requests served so far, by `METHOD` and by `METHOD label` where the cloud names its operations. */
  readonly counts: Map<string, number>;
  close(): Promise<void>;
}

export type PocketHandler = (
  request: PocketRequest,
  response: ServerResponse,
  count: (label: string) => void,
) => Promise<void>;

export async function startPocketServer(handler: PocketHandler, port = 0): Promise<PocketServer> {
  const faults = new Faults();
  const counts = new Map<string, number>();
  const server = createServer({ keepAliveTimeout: 30_000, maxHeaderSize: 64 * 1024 }, (incoming, response) => {
    serve(handler, faults, counts, incoming, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    });
  });
  const sockets = trackSockets(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, faults, counts, close: () => closeServer(server, sockets) };
}

async function serve(
  handler: PocketHandler,
  faults: Faults,
  counts: Map<string, number>,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const target = incoming.url ?? "/";
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : target.slice(mark + 1));
  const method = incoming.method ?? "GET";
  const asked: PocketRequest = { method, path, query, headers: incoming.headers, incoming };
  const count = (label: string) => counts.set(label, (counts.get(label) ?? 0) + 1);
  count(method);
  const fault = faults.take(asked);
  const request = fault?.forgets ? { ...asked, forgets: fault.forgets } : asked;
  const work = (to: ServerResponse) => handler(request, to, (label) => count(`${method} ${label}`));
  if (fault?.delayMs) await pause(fault.delayMs);
  await fault?.first?.(request);
  if (fault?.answer) return refuseWith(fault.answer, incoming, response);
  if (fault?.late) {
    incoming.socket.destroy();
    await fault.late;
    return work(unheard(incoming));
  }
  if (fault?.cutBodyAt !== undefined) cutAfter(response, fault.cutBodyAt);
  if (fault?.loseAnswer) loseAnswer(response);
  // What is changed goes out as the others let it.
  if (fault?.change) changeAnswer(response, fault.change);
  await work(response);
  if (!fault?.again) return;
  await fault.again;
  await work(unheard(incoming));
}

/** Nobody waits for a delay that outlives its server. */
const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms).unref());

async function refuseWith(
  { status, headers = {}, body = "", afterBytes }: NonNullable<Fault["answer"]>,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (typeof body !== "string") {
    response.writeHead(status, headers).end(body(await readBody(incoming)));
  } else if (afterBytes === undefined) {
    incoming.resume();
    response.writeHead(status, headers).end(body);
  } else {
    await readSome(incoming, afterBytes);
    const length = Buffer.byteLength(body);
    response.writeHead(status, { ...headers, connection: "close", "content-length": length }).write(body);
    response.flushHeaders();
    await drained(incoming);
    response.end();
  }
}

/**
 * A socket closed over bytes that nobody read takes the answer with it (TCP resets, RFC 9112, 9.6): the rest of the request is read
 * first, until its sender has had the answer and ends or hangs up.
 */
function drained(incoming: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    incoming.once("end", resolve).once("close", resolve).resume();
    if (incoming.readableEnded || incoming.destroyed) resolve();
  });
}

/** The head goes out whole, then at most `limit` bytes of the body, then the socket dies. */
function cutAfter(response: ServerResponse, limit: number): void {
  let sent = 0;
  const write = response.write.bind(response) as (chunk: Uint8Array) => boolean;
  const send = (chunk: unknown): boolean => {
    const bytes = Buffer.from(chunk as Uint8Array);
    const rest = limit - sent;
    sent += bytes.length;
    if (bytes.length < rest) return write(bytes);
    write(bytes.subarray(0, Math.max(rest, 0)));
    setTimeout(() => response.socket?.destroy(), 5);
    return false;
  };
  response.write = send as typeof response.write;
  response.end = ((chunk?: unknown) => {
    if (chunk !== undefined && typeof chunk !== "function") send(chunk);
    setTimeout(() => response.socket?.destroy(), 5);
    return response;
  }) as typeof response.end;
}

function loseAnswer(response: ServerResponse): void {
  response.writeHead = (() => response) as typeof response.writeHead;
  response.write = (() => true) as typeof response.write;
  response.end = (() => {
    response.socket?.destroy();
    return response;
  }) as typeof response.end;
}

function trackSockets(server: Server): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}

function closeServer(server: Server, sockets: Set<Socket>): Promise<void> {
  for (const socket of sockets) socket.destroy();
  return new Promise((resolve) => server.close(() => resolve()));
}

/** The request's whole body. */
export async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
