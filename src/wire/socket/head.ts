/**
 * The head of an answer, read strictly (RFC 9112): no folded lines, no space before a colon, no bare CR or LF, nothing that two
 * readers could frame in two ways. Whatever is not so is NET_UNREACHABLE, as a connection that broke is.
 */
import { SealiftError } from "../../core/error.ts";
import { TOKEN } from "../sendable.ts";

/** How long the body is: in bytes, in chunks, until the other side closes. */
export type Framing = number | "chunked" | "until-close";

export interface AnswerHead {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly framing: Framing;
  /** False where the connection must not carry another request. */
  readonly keeps: boolean;
  /** For how long the other side says it keeps the connection. */
  readonly keepsMs: number | undefined;
}

const LINES_MAX = 2048;
const LINE_CHARACTERS_MAX = 16 * 1024;

export const badAnswer = (origin: string, what: string): SealiftError =>
  new SealiftError("NET_UNREACHABLE", `${origin}: not an answer of HTTP/1.1 (${what})`);

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: |$)/;
/** RFC 9112, 2.2 and RFC 9110, 5.5: a reader that lets one of them pass may see other lines than its neighbour. */
// oxlint-disable-next-line no-control-regex -- that they do not stand in a head is what is asked
const STRAY = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n/;

/** `text`: one character a byte, without the empty line that ends it. */
export function parseHead(text: string, method: string, origin: string): AnswerHead {
  if (STRAY.test(text)) throw badAnswer(origin, "control characters in its head");
  const first = text.indexOf("\r\n");
  const line = first < 0 ? text : text.slice(0, first);
  const [, minor, code] = STATUS_LINE.exec(line) ?? [];
  if (code === undefined) throw badAnswer(origin, `a first line ${JSON.stringify(line.slice(0, 40))}`);
  const headers = first < 0 ? Object.create(null) : parseLines(text, first + 2, origin);
  const status = Number(code);
  const framing = framingOf(headers, minor === "0", origin);
  const connection = headers["connection"];
  const closes = connection !== undefined && /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i.test(connection);
  return {
    status,
    headers,
    framing: hasNoBody(method, status) ? 0 : framing,
    keeps: minor === "1" && !closes,
    keepsMs: keepsMs(headers["keep-alive"]),
  };
}

/** RFC 9112, 6.3. */
const hasNoBody = (method: string, status: number): boolean =>
  method === "HEAD" || status < 200 || status === 204 || status === 304;

/** Lines of names and values; also of the trailer, whose fields nobody reads. */
export function parseLines(text: string, from: number, origin: string): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  let lines = 0;
  for (let at = from; at < text.length; ) {
    const end = text.indexOf("\r\n", at);
    const until = end < 0 ? text.length : end;
    if (until - at > LINE_CHARACTERS_MAX) throw badAnswer(origin, "a line too long");
    if (++lines > LINES_MAX) throw badAnswer(origin, "too many lines");
    const colon = text.indexOf(":", at);
    const name = colon < 0 || colon >= until ? undefined : nameOf(text.slice(at, colon));
    if (name === undefined) throw badAnswer(origin, `a line ${JSON.stringify(text.slice(at, until).slice(0, 40))}`);
    const value = trimmed(text, colon + 1, until);
    const before = headers[name];
    headers[name] = before === undefined ? value : `${before}, ${value}`;
    at = until + 2;
  }
  return headers;
}

const NAMES_KEPT_MAX = 1024;
const names = new Map<string, string>();

/** In lower case; undefined where it is no name. Servers send the same few names, over and over. */
function nameOf(written: string): string | undefined {
  const known = names.get(written);
  if (known !== undefined) return known;
  if (!TOKEN.test(written)) return undefined;
  const name = written.toLowerCase();
  if (names.size < NAMES_KEPT_MAX && written.length < 64) names.set(written, name);
  return name;
}

const isBlank = (code: number): boolean => code === 32 || code === 9;

function trimmed(text: string, from: number, until: number): string {
  let [start, end] = [from, until];
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

/** RFC 9112, 6.3: what could be framed in two ways is refused, not interpreted. */
function framingOf(headers: Record<string, string>, isOld: boolean, origin: string): Framing {
  const coding = headers["transfer-encoding"];
  const length = headers["content-length"];
  if (coding !== undefined) {
    if (length !== undefined) throw badAnswer(origin, "a length beside a transfer coding");
    if (isOld) throw badAnswer(origin, "a transfer coding in HTTP/1.0");
    if (coding.toLowerCase() !== "chunked") throw badAnswer(origin, "a transfer coding other than chunked");
    return "chunked";
  }
  if (length === undefined) return "until-close";
  if (!/^\d{1,15}$/.test(length)) throw badAnswer(origin, `a length ${JSON.stringify(length.slice(0, 40))}`);
  return Number(length);
}

function keepsMs(keepAlive: string | undefined): number | undefined {
  const seconds = keepAlive === undefined ? undefined : /(?:^|,)[\t ]*timeout=(\d{1,9})/i.exec(keepAlive)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}
