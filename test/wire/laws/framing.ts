/** RFC 9112, 6 and 7: where an answer ends, in every form and however it is cut; and what is no answer at all. */
import { expect } from "vitest";
import { ask, failure, type Law, ok, say, textOf, until } from "./world.ts";

interface Form {
  readonly name: string;
  readonly answer: string;
  readonly body: string;
  readonly status?: number;
  readonly method?: string;
  /** The other side closes behind it. */
  readonly ends?: boolean;
  readonly keeps: boolean;
}

const chunked = (...lines: string[]): string =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${lines.join("\r\n")}\r\n`;

const FORMS: readonly Form[] = [
  { name: "a length", answer: ok("hello"), body: "hello", keeps: true },
  { name: "a length of 0", answer: ok(""), body: "", keeps: true },
  { name: "chunks", answer: chunked("5", "hello", "1", "!", "0", ""), body: "hello!", keeps: true },
  {
    name: "chunks that hold line ends",
    answer: chunked("4", "\r\n\r\n", "2", "\r\n", "0", ""),
    body: "\r\n\r\n\r\n",
    keeps: true,
  },
  {
    name: "a chunk size in hexadecimal",
    answer: chunked("1A", "abcdefghijklmnopqrstuvwxyz", "0", ""),
    body: "abcdefghijklmnopqrstuvwxyz",
    keeps: true,
  },
  { name: "chunk extensions", answer: chunked('3;a=b;c="d"', "abc", "0;end", ""), body: "abc", keeps: true },
  { name: "a trailer", answer: chunked("3", "abc", "0", "x-sum: 1", "x-more: 2", ""), body: "abc", keeps: true },
  {
    name: "the end of the connection",
    answer: "HTTP/1.1 200 OK\r\nx: y\r\n\r\nall of it",
    body: "all of it",
    ends: true,
    keeps: false,
  },
  { name: "HTTP/1.0", answer: "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", body: "old", keeps: false },
  { name: "Connection: close", answer: ok("last", "Connection: close"), body: "last", keeps: false },
  { name: "HEAD", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", body: "", keeps: true },
  { name: "204", status: 204, answer: "HTTP/1.1 204 No Content\r\n\r\n", body: "", keeps: true },
  { name: "304", status: 304, answer: "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", body: "", keeps: true },
  { name: "100 before the answer", answer: `HTTP/1.1 100 Continue\r\n\r\n${ok("hello")}`, body: "hello", keeps: true },
  {
    name: "103 with headers, twice",
    answer: `${"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(2)}${ok("hello")}`,
    body: "hello",
    keeps: true,
  },
  { name: "no reason phrase", answer: "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", body: "x", keeps: true },
  {
    name: "an error's body",
    status: 503,
    answer: "HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\n\r\nslow",
    body: "slow",
    keeps: true,
  },
];

const formLaw = (form: Form, cuts: "whole" | "bytes"): Law => ({
  name: `an answer by ${form.name}, ${cuts === "whole" ? "in one piece" : "byte by byte"}`,
  run: async (world) => {
    const server = await world.serve(({ path }, socket) => {
      if (path === "/next") return void socket.write(ok("the next answer"));
      void say(socket, form.answer, cuts).then(() => form.ends && socket.end());
    });
    const client = world.client(server.origin, { connections: 1 });
    const response = await ask(client, "/", { method: form.method ?? "GET" });
    expect(response.status).toBe(form.status ?? 200);
    expect(await response.text()).toBe(form.body);
    expect(await textOf(client, "/next")).toBe("the next answer");
    expect(server.seen[1]?.connection).toBe(form.keeps ? 1 : 2);
  },
});

/** Each is no answer, or two: whichever a reader takes, another may take the other. */
const HOSTILE: Readonly<Record<string, string>> = {
  "a length beside chunks":
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
  "chunks beside a length":
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
  "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
  "two lengths in one line": "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
  "a length below 0": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
  "a length with a sign": "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
  "a length in hexadecimal": "HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc",
  "an empty length": "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc",
  "a length beyond numbers": "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
  "another coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
  "a coding before chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
  "chunked twice": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "chunked, misspelt": "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
  "chunks in HTTP/1.0": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "a space before the colon": "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
  "a folded line": "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 3\r\n\r\nabc",
  "a bare LF": "HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\nabc",
  "a bare CR": "HTTP/1.1 200 OK\r\nX-A: b\rContent-Length: 9\r\nContent-Length: 3\r\n\r\nabc",
  "a NUL in a value": "HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 3\r\n\r\nabc",
  "a line without a colon": "HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 3\r\n\r\nabc",
  "a name that is none": "HTTP/1.1 200 OK\r\nX(A): b\r\nContent-Length: 3\r\n\r\nabc",
  "an empty name": "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 3\r\n\r\nabc",
  "another protocol": "SSH-2.0-OpenSSH_9\r\n\r\n",
  "another version": "HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
  "a status of two digits": "HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc",
  "a status of four digits": "HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nabc",
  "101 that nobody asked for": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
  "a chunk size of nothing": chunked("", "abc", "0", ""),
  "a chunk size with a sign": chunked("+3", "abc", "0", ""),
  "a chunk size with 0x": chunked("0x3", "abc", "0", ""),
  "a chunk size below 0": chunked("-3", "abc", "0", ""),
  "a chunk size beyond numbers": chunked("fffffffffffffffff", "abc", "0", ""),
  "a space before a chunk size": chunked(" 3", "abc", "0", ""),
  "a chunk longer than its size": chunked("3", "abcd", "0", ""),
  "a chunk line that ends in LF": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
  "a chunk that ends in LF": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
  "a trailer without a colon": chunked("3", "abc", "0", "nothing", ""),
};

const hostileLaw = ([name, answer]: [string, string]): Law => ({
  name: `${name} is no answer, and its connection no other's`,
  run: async (world) => {
    const server = await world.serve(({ path }, socket) => {
      socket.write(path === "/next" ? ok("the next answer") : Buffer.from(answer, "latin1"));
    });
    const client = world.client(server.origin, { connections: 1 });
    expect((await failure(textOf(client))).code).toBe("NET_UNREACHABLE");
    expect(await textOf(client, "/next")).toBe("the next answer");
    expect(server.seen[1]?.connection).toBe(2);
  },
});

const surplus: Law = {
  name: "bytes behind an answer are nobody's answer",
  run: async (world) => {
    for (const form of [ok("mine"), chunked("4", "mine", "0", ""), "HTTP/1.1 204 No Content\r\n\r\n"]) {
      const server = await world.serve(({ path }, socket) => {
        socket.write(path === "/next" ? ok("the next answer") : form + ok("evil"));
      });
      const client = world.client(server.origin, { connections: 1 });
      const [first, next] = [textOf(client), textOf(client, "/next")];
      // undici hears of the surplus before it hands out what came with it.
      expect(await first.catch(() => "refused")).toMatch(/^(mine|refused|)$/);
      expect(await next).toBe("the next answer");
      expect(server.seen.at(-1)?.connection).toBe(2);
    }
  },
};

const late: Law = {
  name: "bytes on an idle connection are nobody's answer",
  run: async (world) => {
    const server = await world.serve((_seen, socket) => void socket.write(ok("mine")));
    const client = world.client(server.origin);
    expect(await textOf(client)).toBe("mine");
    server.sockets[0]?.write(ok("evil"));
    await until(() => server.sockets[0]?.destroyed === true || server.sockets[0]?.readyState !== "open");
    expect(await textOf(client)).toBe("mine");
    expect(server.seen[1]?.connection).toBe(2);
  },
};

const headers: Law = {
  name: "headers are in lower case, trimmed, joined where repeated, one character a byte",
  run: async (world) => {
    const lines = [
      "X-Two: a",
      "x-two:   b\t ",
      "X-Empty:",
      "X-High: \xe4\xff",
      "__proto__: p",
      "Constructor: c",
      "X-Colon: a:b: c",
    ];
    const server = await world.serve((_seen, socket) => void socket.write(Buffer.from(ok("", ...lines), "latin1")));
    const { headers } = await ask(world.client(server.origin));
    expect({ ...headers, proto: headers["__proto__"] }).toMatchObject({
      "x-two": "a, b",
      "x-empty": "",
      "x-high": "\xe4\xff",
      constructor: "c",
      "x-colon": "a:b: c",
      "content-length": "0",
      proto: "p",
    });
  },
};

export const framingLaws: readonly Law[] = [
  ...FORMS.flatMap((form) => [formLaw(form, "whole"), formLaw(form, "bytes")]),
  ...Object.entries(HOSTILE).map(hostileLaw),
  surplus,
  late,
  headers,
];
