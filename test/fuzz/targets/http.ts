/** The reader of HTTP answers, over bytes cut in every way. */
import { type AnswerHead } from "../../../src/wire/socket/head.ts";
import { AnswerParser } from "../../../src/wire/socket/parser.ts";
import { SealiftError } from "../../../src/core/error.ts";
import { holds, same, type Target } from "../target.ts";

interface Read {
  readonly heads: AnswerHead[];
  readonly body: string;
  readonly ends: number;
  /** Bytes that belong to the answer; the others are nobody's. */
  readonly used: number;
  /** Complete, by its framing or by the end of the connection. */
  readonly isWhole: boolean;
  readonly error: SealiftError | undefined;
}

/** `sizes` in turn, over and over: how many bytes a read brings. */
function read(method: string, bytes: Buffer, sizes: readonly number[]): Read {
  const heads: AnswerHead[] = [];
  let [body, ends, used] = ["", 0, 0];
  let error: SealiftError | undefined;
  const parser = new AnswerParser("http://host", {
    head: (head) => heads.push(head),
    body: (part, from, until) => {
      body += part.toString("latin1", from, until);
    },
    end: () => ends++,
  });
  parser.begin(method);
  try {
    for (let [at, turn] = [0, 0]; at < bytes.length && !parser.isDone; turn++) {
      const part = bytes.subarray(at, at + (sizes[turn % sizes.length] ?? 1));
      used += parser.feed(Buffer.from(part));
      at += part.length;
    }
  } catch (thrown) {
    if (!(thrown instanceof SealiftError)) throw thrown;
    error = thrown;
  }
  return { heads, body, ends, used: error ? 0 : used, isWhole: error === undefined && parser.close(), error };
}

const METHODS = ["GET", "HEAD", "PUT"] as const;

/** The first byte chooses the method and the cuts; the others are the answer. */
export const httpTarget: Target = {
  name: "http",
  seeds: [
    '\0HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "x"\r\n\r\nhello',
    "\x01HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "\x02HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "\x03HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=5, max=9\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\nmore",
    "\x06HTTP/1.0 503 Slow Down\r\nx: a\r\nX: b\r\n\r\nuntil the end",
  ],
  run: (input) => {
    const [choice = 0, ...rest] = input;
    const bytes = Buffer.from(rest);
    const method = METHODS[choice % METHODS.length] as string;
    const whole = read(method, bytes, [bytes.length || 1]);
    for (const sizes of [[1], [(choice >> 2) + 1, 1, 7]]) {
      const { error, ...cut } = read(method, bytes, sizes);
      same(cut, { ...whole, error: undefined }, `cut by ${sizes.join()}`);
      same(error?.message, whole.error?.message, `the error, cut by ${sizes.join()}`);
    }
    holds(whole.heads.length <= 1 && whole.ends <= 1, "more than one answer");
    const [head] = whole.heads;
    if (whole.isWhole && typeof head?.framing === "number") {
      same(whole.body.length, head.framing, "as long as its head says");
    }
    if (whole.error) throw whole.error;
    return `${head?.status ?? "none"} ${typeof head?.framing} ${whole.isWhole}`;
  },
};
