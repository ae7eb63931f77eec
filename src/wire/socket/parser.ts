/**
 * One answer out of the bytes of a connection, however they are cut: its head, its body by the framing of RFC 9112 (6 and 7), its
 * end. What it says depends on the bytes alone, never on how they arrived.
 */
import { HEAD_BYTES_MAX } from "../sendable.ts";
import { type AnswerHead, badAnswer, parseHead, parseLines } from "./head.ts";

export interface AnswerSink {
  head(head: AnswerHead): void;
  /** Bytes [from, until) of `bytes`, which are somebody else's after this call. */
  body(bytes: Buffer, from: number, until: number): void;
  end(): void;
}

const END_OF_HEAD = Buffer.from("\r\n\r\n");
/** RFC 9110, 15.2: any number may come; nobody needs more. */
const INTERIM_MAX = 16;
const SIZE_LINE_MAX = 4096;
/** Of a whole body. Servers that sign their chunks spend 85 characters on each of 64 KiB. */
const EXTENSIONS_MAX = 1024 * 1024;
const TRAILER_MAX = 16 * 1024;
const LF = 10;
const NONE = Buffer.alloc(0);

type State = "head" | "length" | "size" | "data" | "data-end" | "trailer" | "until-close" | "done";

export class AnswerParser {
  readonly #origin: string;
  readonly #sink: AnswerSink;
  #method = "GET";
  #state: State = "done";
  /** Bytes of the body, or of the chunk, that are still to come. */
  #left = 0;
  #interim = 0;
  #extensions = 0;
  #trailer = "";
  /** The start of a head or line whose end has not come. */
  #held = NONE;
  #heldBytes = 0;

  constructor(origin: string, sink: AnswerSink) {
    this.#origin = origin;
    this.#sink = sink;
  }

  /** What follows is the answer to a request by this method. */
  begin(method: string): void {
    this.#method = method;
    this.#state = "head";
    this.#interim = 0;
    this.#extensions = 0;
    this.#trailer = "";
    this.#heldBytes = 0;
  }

  get isDone(): boolean {
    return this.#state === "done";
  }

  /** Bytes that may be read into the body as they are; 0 where framing stands between them. */
  get straightBytes(): number {
    return this.#state === "length" ? this.#left : 0;
  }

  /** That many of `straightBytes` have been read, and the sink has them. */
  advance(count: number): void {
    this.#left -= count;
    if (this.#left === 0) this.#finish();
  }

  /** How many bytes belong to the answer: fewer than given means that it has ended and more has come. NET_UNREACHABLE. */
  feed(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && this.#state !== "done") at = this.#step(bytes, at);
    return at;
  }

  /** The other side closes: true where the answer is complete, or ends so. */
  close(): boolean {
    if (this.#state === "until-close") this.#finish();
    return this.#state === "done";
  }

  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case "head":
        return this.#readHead(bytes, at);
      case "length":
      case "data":
        return this.#readData(bytes, at);
      case "until-close":
        this.#sink.body(bytes, at, bytes.length);
        return bytes.length;
      case "size":
        return this.#readLine(bytes, at, SIZE_LINE_MAX);
      case "data-end":
        return this.#readLine(bytes, at, 0);
      default:
        return this.#readLine(bytes, at, TRAILER_MAX);
    }
  }

  #readData(bytes: Buffer, at: number): number {
    const until = Math.min(bytes.length, at + this.#left);
    this.#sink.body(bytes, at, until);
    this.#left -= until - at;
    if (this.#left === 0) {
      if (this.#state === "length") this.#finish();
      else this.#state = "data-end";
    }
    return until;
  }

  #readHead(bytes: Buffer, at: number): number {
    const before = this.#heldBytes;
    const search = before === 0 ? bytes : this.#hold(bytes, at);
    const from = before === 0 ? at : Math.max(0, before - 3);
    const end = search.indexOf(END_OF_HEAD, from);
    const start = before === 0 ? at : 0;
    const size = (end < 0 ? search.length - 3 : end) - start;
    if (size > HEAD_BYTES_MAX) throw badAnswer(this.#origin, "a head too large");
    if (end < 0) {
      if (before === 0) this.#hold(bytes, at);
      return bytes.length;
    }
    const head = parseHead(search.toString("latin1", start, end), this.#method, this.#origin);
    this.#heldBytes = 0;
    this.#take(head);
    return before === 0 ? end + 4 : at + end + 4 - before;
  }

  /** Grows by doubling, so that a head that comes byte by byte costs no more than its length. */
  #hold(bytes: Buffer, at: number): Buffer {
    const size = this.#heldBytes + bytes.length - at;
    if (size > this.#held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(1024, 2 * size));
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    bytes.copy(this.#held, this.#heldBytes, at);
    this.#heldBytes = size;
    return this.#held.subarray(0, size);
  }

  #take(head: AnswerHead): void {
    if (head.status === 101) throw badAnswer(this.#origin, "a change of protocol that nobody asked for");
    if (head.status < 200) {
      if (++this.#interim > INTERIM_MAX) throw badAnswer(this.#origin, "too many interim answers");
      return;
    }
    const { framing } = head;
    this.#state = framing === "chunked" ? "size" : framing === "until-close" ? framing : "length";
    this.#left = typeof framing === "number" ? framing : 0;
    this.#sink.head(head);
    if (framing === 0) this.#finish();
  }

  #readLine(bytes: Buffer, at: number, charactersMax: number): number {
    const end = bytes.indexOf(LF, at);
    const until = end < 0 ? bytes.length : end + 1;
    const size = this.#heldBytes + until - at;
    if (size > charactersMax + (end < 0 ? 1 : 2))
      throw badAnswer(this.#origin, "a line too long in its body's framing");
    if (end < 0) {
      this.#hold(bytes, at);
      return until;
    }
    const held = this.#heldBytes > 0;
    const whole = held ? this.#hold(bytes.subarray(0, until), at) : bytes;
    const line = whole.toString("latin1", held ? 0 : at, held ? whole.length : until);
    this.#heldBytes = 0;
    // oxlint-disable-next-line no-control-regex -- that they do not stand in a line is what is asked
    if (!line.endsWith("\r\n") || /[\0-\x08\x0a-\x1f\x7f]/.test(line.slice(0, -2))) {
      throw badAnswer(this.#origin, "control characters in its body's framing");
    }
    this.#takeLine(line.slice(0, -2));
    return until;
  }

  #takeLine(line: string): void {
    if (this.#state === "size") this.#sizeLine(line);
    else if (this.#state === "data-end") this.#state = "size";
    else this.#trailerLine(line);
  }

  /** RFC 9112, 7.1; extensions are allowed for and not read. */
  #sizeLine(line: string): void {
    const [, digits, extension = ""] = /^([0-9A-Fa-f]{1,12})(;.*)?$/.exec(line) ?? [];
    if (digits === undefined) throw badAnswer(this.#origin, `a chunk size ${JSON.stringify(line.slice(0, 40))}`);
    this.#extensions += extension.length;
    if (this.#extensions > EXTENSIONS_MAX) throw badAnswer(this.#origin, "too many chunk extensions");
    this.#left = Number.parseInt(digits, 16);
    this.#state = this.#left === 0 ? "trailer" : "data";
  }

  #trailerLine(line: string): void {
    if (line !== "") {
      this.#trailer += `${line}\r\n`;
      if (this.#trailer.length > TRAILER_MAX) throw badAnswer(this.#origin, "a trailer too large");
      return;
    }
    parseLines(this.#trailer, 0, this.#origin);
    this.#finish();
  }

  #finish(): void {
    this.#state = "done";
    if (this.#held.length > HEAD_BYTES_MAX) this.#held = NONE;
    this.#sink.end();
  }
}
