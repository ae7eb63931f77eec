/**
 * HTTP/1.1 for a server that must cost less than its clients: heads cut by hand out of what a plain socket delivers, one write for
 * head and small body. It is strict enough for well-behaved clients and no more; nothing but the benchmark speaks to it.
 */
import { httpDate } from "./clock.ts";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

export interface LeanRequest {
  readonly method: string;
  /** As it came, percent-encoded. */
  readonly path: string;
  /** Without the question mark; "" where there is none. */
  readonly query: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined: chunked, so nobody knows yet. */
  readonly sizeBytes: number | undefined;
}

export interface LeanAnswer {
  readonly status: number;
  /** Lines of the head, each ended by CRLF, without Content-Length. */
  readonly head?: string | undefined;
  readonly body?: string | Buffer | undefined;
  /** Instead of `body`: what is sent piece by piece, and its length. */
  readonly pieces?: { readonly sizeBytes: number; readonly each: Iterator<Buffer> } | undefined;
  /** HEAD: the length that is stated, with nothing behind it. */
  readonly statedBytes?: number | undefined;
}

/** Takes a request's body; `end` answers. Chunks may be kept: Node reads into new memory each time. */
export interface Intake {
  chunk(bytes: Buffer): void;
  end(): LeanAnswer;
}

export type LeanHandler = (request: LeanRequest) => Intake;

/** For bodies that are wanted whole. */
export function whole(answer: (body: Buffer) => LeanAnswer): Intake {
  const chunks: Buffer[] = [];
  return {
    chunk: (bytes) => void chunks.push(bytes),
    end: () => answer(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)),
  };
}

export const without = (answer: () => LeanAnswer): Intake => ({ chunk: () => undefined, end: answer });

const HEAD_END = "\r\n\r\n";
const PIECES_AT_ONCE = 4;

class Connection {
  readonly #socket: Socket;
  readonly #handler: LeanHandler;
  #held: Buffer | undefined;
  #intake: Intake | undefined;
  #leftBytes = 0;
  #chunked: ChunkedBody | undefined;
  #isHead = false;

  constructor(socket: Socket, handler: LeanHandler) {
    this.#socket = socket;
    this.#handler = handler;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#feed(chunk));
    socket.on("error", () => socket.destroy());
  }

  #feed(chunk: Buffer): void {
    let rest: Buffer | undefined = this.#held ? Buffer.concat([this.#held, chunk]) : chunk;
    this.#held = undefined;
    while (rest && rest.length > 0) {
      if (this.#intake === undefined) rest = this.#head(rest);
      else if (this.#chunked) rest = this.#chunks(rest);
      else rest = this.#body(rest);
    }
  }

  #head(bytes: Buffer): Buffer | undefined {
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      this.#held = bytes;
      return undefined;
    }
    const request = parseHead(bytes.toString("latin1", 0, end));
    this.#isHead = request.method === "HEAD";
    if (request.headers["expect"] !== undefined) this.#socket.write("HTTP/1.1 100 Continue\r\n\r\n");
    this.#intake = this.#handler(request);
    this.#chunked = request.sizeBytes === undefined ? new ChunkedBody(this.#intake) : undefined;
    this.#leftBytes = request.sizeBytes ?? 0;
    if (this.#leftBytes === 0 && !this.#chunked) this.#finish();
    return bytes.subarray(end + HEAD_END.length);
  }

  #body(bytes: Buffer): Buffer | undefined {
    const mine = bytes.length > this.#leftBytes ? bytes.subarray(0, this.#leftBytes) : bytes;
    this.#intake?.chunk(mine);
    this.#leftBytes -= mine.length;
    if (this.#leftBytes === 0) this.#finish();
    return bytes.subarray(mine.length);
  }

  #chunks(bytes: Buffer): Buffer | undefined {
    const body = this.#chunked as ChunkedBody;
    const used = body.feed(bytes);
    if (body.done) this.#finish();
    else if (used < bytes.length) {
      this.#held = bytes.subarray(used);
      return undefined;
    }
    return bytes.subarray(used);
  }

  #finish(): void {
    const intake = this.#intake as Intake;
    this.#intake = undefined;
    this.#chunked = undefined;
    send(this.#socket, intake.end(), this.#isHead);
  }
}

/** Chunked framing (RFC 9112, 7.1), as Go's clients send what they do not know the length of. */
class ChunkedBody {
  done = false;
  readonly #intake: Intake;
  #leftBytes = 0;

  constructor(intake: Intake) {
    this.#intake = intake;
  }

  /** Returns how many bytes were used; the others are given again with what follows them. */
  feed(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && !this.done) {
      if (this.#leftBytes > 0) {
        const mine = bytes.subarray(at, at + this.#leftBytes);
        this.#intake.chunk(mine);
        this.#leftBytes -= mine.length;
        at += mine.length;
        continue;
      }
      // The end of the chunk before, if there was one, and the size of the next.
      const start = bytes[at] === 13 ? at + 2 : at;
      const end = bytes.indexOf("\r\n", start);
      if (end < 0) return at;
      this.#leftBytes = Number.parseInt(bytes.toString("latin1", start, end), 16);
      if (this.#leftBytes === 0) {
        const close = bytes.indexOf(HEAD_END, end);
        if (close !== end) return at;
        this.done = true;
        return end + HEAD_END.length;
      }
      at = end + 2;
    }
    return at;
  }
}

function parseHead(text: string): LeanRequest {
  const lineEnd = text.indexOf("\r\n");
  const line = lineEnd < 0 ? text : text.slice(0, lineEnd);
  const first = line.indexOf(" ");
  const where = line.slice(first + 1, line.indexOf(" ", first + 1));
  const mark = where.indexOf("?");
  const headers: Record<string, string> = {};
  let at = lineEnd < 0 ? text.length : lineEnd + 2;
  while (at < text.length) {
    const end = text.indexOf("\r\n", at);
    const stop = end < 0 ? text.length : end;
    const colon = text.indexOf(":", at);
    headers[text.slice(at, colon).toLowerCase()] = text.slice(colon + 1, stop).trim();
    at = stop + 2;
  }
  const length = headers["content-length"];
  return {
    method: line.slice(0, first),
    path: mark < 0 ? where : where.slice(0, mark),
    query: mark < 0 ? "" : where.slice(mark + 1),
    headers,
    sizeBytes: headers["transfer-encoding"] === undefined ? Number(length ?? 0) : undefined,
  };
}

const WORDS: Readonly<Record<number, string>> = {
  200: "OK",
  204: "No Content",
  206: "Partial Content",
  308: "Resume Incomplete",
  404: "Not Found",
  412: "Precondition Failed",
};

function send(socket: Socket, answer: LeanAnswer, isHead: boolean): void {
  const { status, head = "", body = "", pieces, statedBytes } = answer;
  const bodyBytes = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  const sizeBytes = statedBytes ?? pieces?.sizeBytes ?? bodyBytes;
  const length = status === 204 ? "" : `Content-Length: ${sizeBytes}\r\n`;
  const text = `HTTP/1.1 ${status} ${WORDS[status] ?? "Other"}\r\nDate: ${httpDate(Date.now())}\r\n${length}${head}\r\n`;
  if (isHead || (bodyBytes === 0 && !pieces)) socket.write(text, "latin1");
  else if (pieces) {
    socket.write(text, "latin1");
    pump(socket, pieces.each);
  } else if (typeof body === "string") socket.write(text + body, "utf8");
  else {
    socket.cork();
    socket.write(text, "latin1");
    socket.write(body);
    socket.uncork();
  }
}

/** Some pieces in one system call, and the next when they have left. */
function pump(socket: Socket, each: Iterator<Buffer>): void {
  let full = false;
  while (!full) {
    socket.cork();
    for (let n = 0; n < PIECES_AT_ONCE; n++) {
      const { value, done } = each.next();
      if (done) {
        socket.uncork();
        return;
      }
      full = !socket.write(value);
    }
    socket.uncork();
  }
  if (!socket.destroyed) socket.once("drain", () => pump(socket, each));
}

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** Listens on 127.0.0.1; returns the port. */
export function listen(handler: LeanHandler, tls?: Certificate): Promise<{ server: Server; port: number }> {
  const accept = (socket: Socket) => void new Connection(socket, handler);
  const server = tls ? createTlsServer({ ...tls }, accept) : createServer(accept);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve({ server, port: typeof address === "object" && address ? address.port : 0 });
    });
  });
}
