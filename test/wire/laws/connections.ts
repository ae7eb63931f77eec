/** Which connection a request goes out on, who waits for one, and what ends it. */
import { getEventListeners } from "node:events";
import fc from "fast-check";
import { expect } from "vitest";
import { ask, failure, type Law, never, ok, pause, textOf, thrown, until } from "./world.ts";

const law = (name: string, run: Law["run"]): Law => ({ name, run });

const kept = law("a connection is used again, the one used last first", async (world) => {
  const server = await world.serve(
    ({ path }, socket) => void setTimeout(() => socket.write(ok(path)), path === "/slow" ? 50 : 5),
  );
  const client = world.client(server.origin);
  await Promise.all([textOf(client, "/slow"), textOf(client, "/quick")]);
  const last = server.seen.find(({ path }) => path === "/slow")?.connection;
  for (let time = 0; time < 5; time++) expect(await textOf(client, "/again")).toBe("/again");
  const again = server.seen.filter(({ path }) => path === "/again").map(({ connection }) => connection);
  expect(new Set(again)).toEqual(new Set([last]));
});

const bound = law("no more connections than allowed; who waits is served in turn", async (world) => {
  const server = await world.serve(({ path }, socket) => void setTimeout(() => socket.write(ok(path)), 2));
  const client = world.client(server.origin, { connections: 2 });
  const done: number[] = [];
  const asked = Array.from({ length: 40 }, (_, at) =>
    textOf(client, `/${at}`).then((text) => done.push(Number(text.slice(1)))),
  );
  await Promise.all(asked);
  expect(server.sockets.length).toBe(2);
  expect(server.seen.map(({ path }) => Number(path.slice(1)))).toEqual(Array.from({ length: 40 }, (_, at) => at));
  expect(done.length).toBe(40);
});

const own = law("many at once: each gets its own answer", async (world) => {
  const server = await world.serve(({ path, body }, socket) => {
    const [, delay = 0, size = 0, way = 0] = path.slice(1).split("-").map(Number);
    const text = `${path}:${body.toString("latin1")}:`.padEnd(size, path);
    const chunks = `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
    setTimeout(() => socket.write(way === 1 ? chunks : ok(text), () => way === 2 && socket.destroy()), delay);
  });
  const request = fc.record({
    delay: fc.nat(6),
    size: fc.constantFrom(0, 100, 70_000, 400_000),
    way: fc.nat(1),
    bodyBytes: fc.nat(3000),
    leaves: fc.nat(9),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(request, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 6 }),
      async (list, connections) => {
        const client = world.client(server.origin, { connections });
        const one = async ({ delay, size, way, bodyBytes, leaves }: (typeof list)[number], at: number) => {
          const path = `/${at}-${delay}-${size}-${way}`;
          const body = `${at}`.repeat(bodyBytes);
          const stop = new AbortController();
          if (leaves === 0) setTimeout(() => stop.abort(), delay);
          const signal = leaves === 0 ? stop.signal : never;
          const text = await textOf(client, path, { method: "PUT", body, signal }).catch((error: unknown) => {
            if (leaves === 0) return undefined;
            throw error;
          });
          if (text !== undefined) expect(text).toBe(`${path}:${body}:`.padEnd(size, path));
        };
        await Promise.all(list.map(one));
        await client.close();
      },
    ),
    { numRuns: 25 },
  );
});

const closedIdle = law("a connection that the other side closes while idle is not used", async (world) => {
  const server = await world.serve((_seen, socket) => void socket.write(ok("here")));
  const client = world.client(server.origin);
  for (const end of ["end", "destroy", "resetAndDestroy"] as const) {
    expect(await textOf(client)).toBe("here");
    server.sockets.at(-1)?.[end]();
    await pause(30);
    expect(await textOf(client)).toBe("here");
  }
  expect(server.sockets.length).toBe(4);
});

const race = law(
  "a kept connection that ends before a byte of the answer to a change is NET_UNREACHABLE, to be tried again",
  async (world) => {
    for (const end of ["end", "destroy", "resetAndDestroy"] as const) {
      const server = await world.serve(
        ({ path }, socket) => void (path === "/" ? socket.write(ok("here")) : socket[end]()),
      );
      const client = world.client(server.origin);
      expect(await textOf(client)).toBe("here");
      const change = { method: "PUT", body: "new" };
      expect(await failure(textOf(client, "/race", change))).toMatchObject({ code: "NET_UNREACHABLE", retry: "later" });
      expect(server.seen.length).toBe(2);
      expect(await textOf(client)).toBe("here");
    }
  },
);

const again = law(
  "a question that meets the end of a kept connection is asked once more on another, and only once",
  async (world) => {
    for (const end of ["end", "destroy", "resetAndDestroy"] as const) {
      let races = 0;
      const server = await world.serve(
        ({ path }, socket) => void (path === "/" || ++races === 2 ? socket.write(ok("here")) : socket[end]()),
      );
      const client = world.client(server.origin);
      expect(await textOf(client)).toBe("here");
      expect(await textOf(client, "/race")).toBe("here");
      expect([server.seen.length, server.sockets.length]).toEqual([3, 2]);
      // On a new connection there is nothing to have met, and no third time.
      expect(await failure(textOf(client, "/race"))).toMatchObject({ code: "NET_UNREACHABLE" });
      expect(races).toBe(4);
    }
  },
);

const hint = law("a server that keeps a connection for a second only is asked on another one", async (world) => {
  const server = await world.serve((_seen, socket) => void socket.write(ok("here", "Keep-Alive: timeout=1")));
  const client = world.client(server.origin);
  for (let time = 0; time < 3; time++) expect(await textOf(client)).toBe("here");
  expect(server.sockets.length).toBe(3);
});

const nobody = law(
  "an origin where nobody listens is NET_UNREACHABLE for all who wait, and names it",
  async (world) => {
    const server = await world.serve(() => undefined);
    const { origin } = server;
    await server.close();
    const client = world.client(origin, { connections: 2 });
    for (const error of await Promise.all(Array.from({ length: 6 }, () => failure(ask(client))))) {
      expect(error).toMatchObject({ code: "NET_UNREACHABLE", retry: "later" });
      expect(error.message).toContain(origin);
      expect(error.message).toContain("ECONNREFUSED");
    }
  },
);

const abortPhases = law("an abort in any phase is its reason, and costs nobody else an answer", async (world) => {
  const server = await world.serve(({ path }, socket) => {
    if (path === "/silent") return;
    if (path === "/half") socket.write("HTTP/1.1 200 OK\r\ncontent-le");
    else if (path === "/body") socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
    else socket.write(ok("whole"));
  });
  const client = world.client(server.origin, { connections: 1 });
  const reason = new Error("called off");
  for (const path of ["/silent", "/half", "/body"]) {
    const stop = new AbortController();
    const asked = textOf(client, path, { signal: stop.signal });
    const waiting = textOf(client, "/");
    const leaving = new AbortController();
    const left = thrown(textOf(client, "/never", { signal: leaving.signal }));
    setTimeout(() => leaving.abort(reason), 10);
    expect(await left).toBe(reason);
    stop.abort(reason);
    expect(await thrown(asked)).toBe(reason);
    expect(await waiting).toBe("whole");
    expect(getEventListeners(stop.signal, "abort").length).toBe(0);
    expect(getEventListeners(leaving.signal, "abort").length).toBe(0);
  }
  expect(server.seen.some(({ path }) => path === "/never")).toBe(false);
  const gone = AbortSignal.abort(reason);
  expect(await thrown(ask(client, "/", { signal: gone }))).toBe(reason);
});

const listeners = law(
  "listeners of a signal do not pile up: one stays at most, however many answers were read",
  async (world) => {
    const server = await world.serve((_seen, socket) => void socket.write(ok("here")));
    const client = world.client(server.origin);
    const { signal } = new AbortController();
    for (let time = 0; time < 20; time++) await textOf(client, "/", { signal });
    expect(getEventListeners(signal, "abort").length).toBeLessThanOrEqual(1);
  },
);

const timeouts = law("silence before the head, within it and within the body is NET_TIMEOUT", async (world) => {
  const server = await world.serve(({ path }, socket) => {
    if (path === "/half") socket.write("HTTP/1.1 200 OK\r\ncontent-le");
    if (path === "/body") socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
  });
  const client = world.client(server.origin, { timeoutMs: 300 });
  const started = performance.now();
  const errors = await Promise.all(["/silent", "/half", "/body"].map((path) => failure(textOf(client, path))));
  expect(errors.map(({ code }) => code)).toEqual(["NET_TIMEOUT", "NET_TIMEOUT", "NET_TIMEOUT"]);
  const elapsedMs = performance.now() - started;
  expect(elapsedMs).toBeGreaterThan(250);
  expect(elapsedMs).toBeLessThan(3000);
});

const alive = law("an answer that comes slowly and does come is no silence", async (world) => {
  const server = await world.serve((_seen, socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
    let left = 10;
    const clock = setInterval(() => {
      if (left-- > 0) socket.write("x");
      else clearInterval(clock);
    }, 120);
  });
  expect(await textOf(world.client(server.origin, { timeoutMs: 600 }))).toBe("xxxxxxxxxx");
});

const stalled = law("a request that nobody reads is NET_TIMEOUT", async (world) => {
  const server = await world.serve((_seen, socket) => void socket.pause(), true);
  const client = world.client(server.origin, { timeoutMs: 400 });
  const sent = ask(client, "/", { method: "PUT", body: Buffer.alloc(32 * 1024 * 1024) });
  expect((await failure(sent)).code).toBe("NET_TIMEOUT");
});

const closing = law("a closed client sends nothing more, and ends what is under way", async (world) => {
  const server = await world.serve(() => undefined);
  const client = world.client(server.origin, { connections: 1 });
  const under = [failure(ask(client)), failure(ask(client))];
  await until(() => server.seen.length === 1);
  await client.close();
  for (const one of under) expect((await one).code).toBe("NET_UNREACHABLE");
  expect((await failure(ask(client))).code).toBe("NET_UNREACHABLE");
  expect(server.seen.length).toBe(1);
});

const requests = law("a request goes out as it was given, with its length", async (world) => {
  const server = await world.serve((_seen, socket) => void socket.write(ok("")));
  const client = world.client(server.origin);
  const path = "/a//b/../%2e?x=1&y";
  const headers = { "x-a": "b", "x-high": "\xe4" };
  for (const [method, body, length] of [
    ["GET", undefined, undefined],
    ["HEAD", undefined, undefined],
    ["DELETE", undefined, undefined],
    ["PUT", undefined, "0"],
    ["POST", "", "0"],
    ["PUT", "\u00e4", "2"],
    ["PUT", [Buffer.from("ab"), Buffer.alloc(0), Buffer.from("c")], "3"],
    ["POST", new Uint8Array(300_000), "300000"],
  ] as const) {
    await (await client.send({ method, path, headers, body, signal: never })).dismiss();
    const { head, body: came } = server.seen.at(-1) as { head: string; body: Buffer };
    expect(head.startsWith(`${method} ${path} HTTP/1.1\r\n`)).toBe(true);
    expect(head).toMatch(/\r\nhost: 127\.0\.0\.1:\d+(\r\n|$)/i);
    expect(head).toContain("\r\nx-a: b");
    expect(head).toContain("\r\nx-high: \xe4");
    expect(head.match(/content-length: \d+/gi)?.join()).toBe(
      length === undefined ? undefined : `content-length: ${length}`,
    );
    expect(came.length).toBe(Number(length ?? 0));
  }
});

const unsendable = law("a request that HTTP cannot carry is refused and costs no connection", async (world) => {
  const server = await world.serve((_seen, socket) => void socket.write(ok("")));
  const client = world.client(server.origin, { connections: 1 });
  for (const bad of [
    { path: "no-slash" },
    { path: "/a b" },
    { path: "/a\r\nx: y" },
    { path: "/\u00e4" },
    { method: "GET /x HTTP/1.1\r\n" },
    { headers: { "x-a": "b\r\nx-c: d" } },
    { headers: { "x-a": "b\0" } },
    { headers: { "x-a": "\u20ac" } },
    { headers: { "x a": "b" } },
    { headers: { "": "b" } },
    { headers: { "transfer-encoding": "chunked" } },
    { headers: { Connection: "close" } },
    { headers: { expect: "100-continue" } },
  ]) {
    expect((await failure(ask(client, "/", bad))).code, JSON.stringify(bad)).toBe("PROVIDER_REFUSED");
  }
  expect(await textOf(client)).toBe("");
  expect(server.seen.length).toBe(1);
});

const contradicting = law("a length that is not the body's is refused before anything is sent", async (world) => {
  const server = await world.serve((_seen, socket) => void socket.write(ok("")));
  const client = world.client(server.origin);
  for (const length of ["2", "4", "x"]) {
    const sent = ask(client, "/", { method: "PUT", headers: { "content-length": length }, body: "abc" });
    expect((await failure(sent)).code).toBe("PROVIDER_REFUSED");
  }
  expect(server.seen.length).toBe(0);
});

export const connectionLaws: readonly Law[] = [
  kept,
  bound,
  own,
  closedIdle,
  race,
  again,
  hint,
  nobody,
  abortPhases,
  listeners,
  timeouts,
  alive,
  stalled,
  closing,
  requests,
  unsendable,
  contradicting,
];
