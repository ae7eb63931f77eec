/** A server that answers what the input says, byte for byte, over a real socket: HTTP itself is part of what is fuzzed. */
import { createServer, type Server, type Socket } from "node:net";
import { split } from "../input.ts";

/** Between two answers. */
export const NEXT = "\n=====\n";
/** Then it hangs up: an input may ask for another page for ever. */
const ANSWERS_MAX = 12;

export class HostileServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #answers: readonly string[] = [];
  #given = 0;

  private constructor() {
    this.#server = createServer((socket) => this.#meet(socket));
  }

  static async start(): Promise<HostileServer> {
    const hostile = new HostileServer();
    await new Promise<void>((resolve) => hostile.#server.listen(0, "127.0.0.1", resolve));
    return hostile;
  }

  get origin(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the server is closed");
    return `http://127.0.0.1:${address.port}`;
  }

  /** The last answer is given again and again. */
  answerWith(text: string): void {
    this.#answers = text.split(NEXT).map(spoken);
    this.#given = 0;
  }

  #meet(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    let isHead = true;
    socket.on("data", (chunk: Buffer) => {
      // One answer a connection; the rest of a request is read and forgotten.
      if (!isHead || !chunk.includes("\r\n\r\n")) return;
      isHead = false;
      if (this.#given >= ANSWERS_MAX) return void socket.destroy();
      const answer = this.#answers[Math.min(this.#given++, this.#answers.length - 1)] ?? "";
      socket.end(Buffer.from(answer, "utf8"));
    });
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** `200\nname: value\n\nbody`, with a Content-Length where none is given; what begins with `HTTP/` is sent as it is. */
function spoken(text: string): string {
  if (text.startsWith("HTTP/")) return text;
  const [head, body] = split(text, "\n\n");
  const [status = "", ...headers] = head.split("\n");
  const hasLength = headers.some((line) => /^(content-length|transfer-encoding):/i.test(line));
  const length = hasLength ? [] : [`content-length: ${Buffer.byteLength(body)}`];
  return `HTTP/1.1 ${status} X\r\n${[...headers, ...length, "connection: close"].join("\r\n")}\r\n\r\n${body}`;
}
