/** Bodies large and small, both ways: whole, cut, refused, given up, and no faster than they are read. */
import { createHash, randomBytes } from "node:crypto";
import { expect } from "vitest";
import { ask, failure, type Law, ok, pause, textOf, until } from "./world.ts";

const law = (name: string, run: Law["run"]): Law => ({ name, run });
const MIB = 1024 * 1024;
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const sizes = law("bodies of every size arrive whole, at once and as a stream", async (world) => {
  const list = [1, 16_384, 65_500, 65_536, 65_537, 262_143, 262_144, 262_145, 524_288, 786_433, 3 * MIB + 1];
  const all = randomBytes(3 * MIB + 1);
  const server = await world.serve(({ path }, socket) => {
    const [, size = "", way] = path.split("/");
    const body = all.subarray(0, Number(size));
    if (way === "chunked") {
      socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
      for (let at = 0; at < body.length; at += 70_001) {
        const chunk = body.subarray(at, at + 70_001);
        socket.write(`${chunk.length.toString(16)}\r\n`);
        socket.write(chunk);
        socket.write("\r\n");
      }
      socket.write("0\r\n\r\n");
    } else {
      socket.write(`HTTP/1.1 200 OK\r\n${way === "close" ? "" : `content-length: ${size}\r\n`}\r\n`);
      socket.write(body, () => way === "close" && socket.end());
    }
  });
  const client = world.client(server.origin);
  for (const size of list) {
    for (const way of ["length", "chunked", "close"]) {
      const path = `/${size}/${way}`;
      const expected = digest(all.subarray(0, size));
      expect(digest(await (await ask(client, path)).bytes()), path).toBe(expected);
      const hash = createHash("sha256");
      for await (const chunk of (await ask(client, path)).body) {
        hash.update(chunk);
        if (size < 100_000) await pause(0);
      }
      expect(hash.digest("hex"), path).toBe(expected);
    }
  }
});

const kept = law("chunks belong to their reader for as long as it likes", async (world) => {
  const all = randomBytes(5 * MIB);
  const server = await world.serve((_seen, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${all.length}\r\n\r\n`);
    socket.write(all);
  });
  const client = world.client(server.origin);
  const chunks: Uint8Array[] = [];
  for (let time = 0; time < 3; time++) {
    for await (const chunk of (await ask(client)).body) chunks.push(chunk);
  }
  expect(digest(Buffer.concat(chunks))).toBe(digest(Buffer.concat([all, all, all])));
});

const upload = law("large bodies go out whole, in one piece and in many", async (world) => {
  const server = await world.serve(({ body }, socket) => void socket.write(ok(digest(body))));
  const client = world.client(server.origin, { connections: 1 });
  const all = randomBytes(5 * MIB + 3);
  const pieces = Array.from({ length: 90 }, (_, at) => all.subarray(at * 60_000, (at + 1) * 60_000));
  expect(await textOf(client, "/", { method: "PUT", body: all })).toBe(digest(all));
  expect(await textOf(client, "/", { method: "PUT", body: pieces })).toBe(digest(Buffer.concat(pieces)));
  expect(server.sockets.length).toBe(1);
});

const early = law("an answer before the body is read is heard, and the connection not used again", async (world) => {
  const server = await world.serve(({ path, connection }, socket) => {
    if (path === "/next") socket.write(ok(`on ${connection}`));
    else socket.write("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig");
  }, true);
  const client = world.client(server.origin, { connections: 1 });
  const response = await ask(client, "/", { method: "PUT", body: Buffer.alloc(64 * MIB) });
  expect(response.status).toBe(413);
  expect(await response.text()).toBe("big");
  expect(await textOf(client, "/next")).toBe("on 2");
});

const cut = law("a body that is cut gives what came, and then NET_UNREACHABLE", async (world) => {
  const answers: Record<string, string> = {
    "/length": "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
    "/large": `HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n${"x".repeat(300_000)}`,
    "/chunked": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\n",
    "/unended": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
  };
  const server = await world.serve(({ path }, socket) => void socket.end(answers[path] ?? ""));
  const client = world.client(server.origin);
  for (const [path, size] of Object.entries({ "/length": 3, "/large": 300_000, "/chunked": 3, "/unended": 3 })) {
    let count = 0;
    const reading = async () => {
      for await (const chunk of (await ask(client, path)).body) count += chunk.length;
    };
    expect((await failure(reading())).code, path).toBe("NET_UNREACHABLE");
    expect(count, path).toBe(size);
    expect((await failure(ask(client, path).then((response) => response.bytes()))).code).toBe("NET_UNREACHABLE");
  }
});

const reset = law("a reset is an error, also where the body lasts until the end", async (world) => {
  const server = await world.serve((_seen, socket) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\nsome");
    setTimeout(() => socket.resetAndDestroy(), 20);
  });
  expect((await failure(textOf(world.client(server.origin)))).code).toBe("NET_UNREACHABLE");
});

const tooMuch = law("more than asked for is PROVIDER_ERROR", async (world) => {
  const server = await world.serve(({ path }, socket) => {
    const body = "x".repeat(300_000);
    const chunks = `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    socket.write(path === "/chunked" ? chunks : ok(body));
  });
  const client = world.client(server.origin);
  for (const path of ["/length", "/chunked"]) {
    for (const max of [0, 1000, 299_999]) {
      const error = await failure(ask(client, path).then((response) => response.text(max)));
      expect(error.code).toBe("PROVIDER_ERROR");
      expect(error.message).toContain(`more than ${max} bytes`);
    }
    expect((await ask(client, path).then((response) => response.bytes(300_000))).length).toBe(300_000);
  }
});

const slow = law("a slow reader is waited for: the other side cannot send ahead without bound", async (world) => {
  const total = 64 * MIB;
  let written = 0;
  const server = await world.serve((_seen, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`);
    const more = (): void => {
      if (written >= total) return;
      written += MIB;
      socket.write(Buffer.alloc(MIB), more);
    };
    more();
  });
  const client = world.client(server.origin, { timeoutMs: 300 });
  let count = 0;
  for await (const chunk of (await ask(client)).body) {
    // Longer than the timeout: silence is the other side's, not the reader's.
    if (count === 0) await pause(900);
    if (count === 0) expect(written).toBeLessThan(24 * MIB);
    count += chunk.length;
  }
  expect(count).toBe(total);
});

const leaving = law("a reader that leaves closes the connection", async (world) => {
  const server = await world.serve(({ path, connection }, socket) => {
    if (path === "/next") return void socket.write(ok(`on ${connection}`));
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${20 * MIB}\r\n\r\n`);
    socket.write(Buffer.alloc(MIB));
  });
  const client = world.client(server.origin, { connections: 1 });
  for await (const chunk of (await ask(client)).body) {
    expect(chunk.length).toBeGreaterThan(0);
    break;
  }
  expect(await textOf(client, "/next")).toBe("on 2");
});

const dismissed = law("a small rest is drained and its connection kept; a large one closes it", async (world) => {
  const server = await world.serve(({ path, connection }, socket) => {
    if (path === "/next") return void socket.write(ok(`on ${connection}`));
    const size = Number(path.slice(1));
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\nx`);
    setTimeout(() => socket.write(Buffer.alloc(size - 1)), 10);
  });
  for (const [size, connection] of [
    [2, 1],
    [100_000, 1],
    [4 * MIB, 2],
  ] as const) {
    const client = world.client(server.origin, { connections: 1 });
    const before = server.sockets.length;
    await (await ask(client, `/${size}`)).dismiss();
    expect(await textOf(client, "/next")).toBe(`on ${before + connection}`);
  }
});

const dismissedCut = law("dismissing does not throw, whatever happens to the rest", async (world) => {
  const server = await world.serve(({ path }, socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx");
    if (path === "/cut") setTimeout(() => socket.destroy(), 10);
  });
  const client = world.client(server.origin, { timeoutMs: 300 });
  await (await ask(client, "/cut")).dismiss();
  await (await ask(client, "/silent")).dismiss();
  const stop = new AbortController();
  const gone = await ask(client, "/silent", { signal: stop.signal });
  setTimeout(() => stop.abort(), 20);
  await gone.dismiss();
  await until(() => server.open === 0);
});

const trickle = law("what has come is handed out before more does", async (world) => {
  for (const size of [10, 400_000]) {
    const server = await world.serve((_seen, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\nabc`);
    });
    const response = await ask(world.client(server.origin));
    const { value } = (await response.body[Symbol.asyncIterator]().next()) as { value: Uint8Array };
    expect(Buffer.from(value).toString()).toBe("abc");
    expect(server.seen.length).toBe(1);
  }
});

const limits = law("a head that is too large is refused; one of 60 KiB is not", async (world) => {
  const server = await world.serve(({ path }, socket) => {
    const lines = Array.from({ length: Number(path.slice(1)) }, (_, at) => `x-meta-${at}: ${"v".repeat(1000)}`);
    socket.write(ok("here", ...lines));
  });
  const client = world.client(server.origin);
  expect(await textOf(client, "/58")).toBe("here");
  expect((await failure(textOf(client, "/80"))).code).toBe("NET_UNREACHABLE");
  expect(await textOf(client, "/58")).toBe("here");
});

const endlessHead = law("a head, an interim answer or a trailer without end is refused", async (world) => {
  const starts: Record<string, [string, string]> = {
    "/head": ["HTTP/1.1 200 OK\r\n", `x: ${"y".repeat(1000)}\r\n`],
    "/line": ["HTTP/1.1 200 OK\r\nx: ", "y".repeat(1000)],
    "/interim": ["", "HTTP/1.1 100 Continue\r\n\r\n"],
    "/trailer": ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", `x: ${"y".repeat(1000)}\r\n`],
    "/extension": ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;", "y".repeat(1000)],
  };
  const server = await world.serve(({ path }, socket) => {
    const [start, more] = starts[path] ?? ["", ""];
    socket.write(start);
    const go = (): void => void (socket.destroyed || setImmediate(() => socket.write(more, go)));
    go();
  });
  for (const path of Object.keys(starts)) {
    const client = world.client(server.origin);
    expect((await failure(textOf(client, path))).code, path).toBe("NET_UNREACHABLE");
  }
});

export const bodyLaws: readonly Law[] = [
  sizes,
  kept,
  upload,
  early,
  cut,
  reset,
  tooMuch,
  slow,
  leaving,
  dismissed,
  dismissedCut,
  trickle,
  limits,
  endlessHead,
];
