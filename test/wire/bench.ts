/**
 * CPU time of a GET and a PUT of 16 KiB, and of large bodies, by both clients in turns, against a server in another process. Run it
 * from the built tree: `tsc -p config/tsconfig.bench.json && node dist/test/wire/bench.js [small|large]`.
 */
import { fork } from "node:child_process";
import { once, setMaxListeners } from "node:events";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { giveBack } from "../../src/wire/buffers.ts";
import { HttpClient, type HttpKind } from "../../src/wire/http.ts";
import { signRequest, UNSIGNED_PAYLOAD } from "../../src/wire/sigv4.ts";

const ROUNDS = 5;
const PAIRS = 10_000;
const AT_ONCE = 32;
const GIB = 1024 ** 3;
const { signal } = new AbortController();
setMaxListeners(0, signal);
const credentials = { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "secret" };
const body = Buffer.alloc(16_384, 1);
const host = "bucket.s3.us-east-1.amazonaws.com";

interface Cost {
  readonly cpuUs: number;
  readonly wallMs: number;
}

async function cost(act: () => Promise<unknown>): Promise<Cost> {
  const [cpu, started] = [process.cpuUsage(), performance.now()];
  await act();
  const { user, system } = process.cpuUsage(cpu);
  return { cpuUs: user + system, wallMs: performance.now() - started };
}

function headersOf(method: string, path: string, isSigned: boolean): Record<string, string> {
  const headers = {
    host,
    ...(method === "PUT" ? { "content-length": "16384", "x-amz-meta-a": "b" } : { "x-amz-checksum-mode": "ENABLED" }),
  };
  if (!isSigned) return headers;
  const about = {
    method,
    path,
    headers,
    payloadHash: UNSIGNED_PAYLOAD,
    credentials,
    region: "us-east-1",
    service: "s3",
  };
  return signRequest({ ...about, now: new Date() });
}

async function pairs(client: HttpClient, count: number, isSigned: boolean): Promise<void> {
  let left = count;
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const path = `/some/key-${left}`;
      const got = await client.send({ method: "GET", path, headers: headersOf("GET", path, isSigned), signal });
      if ((await got.bytes()).length !== body.length) throw new Error("not the body");
      const put = await client.send({ method: "PUT", path, headers: headersOf("PUT", path, isSigned), body, signal });
      await put.dismiss();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

async function large(client: HttpClient, way: "discard" | "return" | "pipe"): Promise<void> {
  const response = await client.send({ method: "GET", path: `/large/${4 * GIB}`, headers: {}, signal });
  let size = 0;
  const take = (chunk: Uint8Array): void => {
    size += chunk.length;
    if (way === "return") giveBack(chunk);
  };
  if (way === "pipe") {
    const sink = (chunk: Uint8Array, _: string, done: () => void): void => {
      take(chunk);
      done();
    };
    await pipeline(response.body, new Writable({ write: sink }));
  } else for await (const chunk of response.body) take(chunk);
  if (size !== 4 * GIB) throw new Error("not the body");
}

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? Number.NaN;

type Act = (client: HttpClient) => Promise<unknown>;

async function compare(
  name: string,
  origin: string,
  rounds: number,
  act: Act,
  show: (cost: Cost) => number,
  unit: string,
): Promise<void> {
  const found: Record<HttpKind, number[]> = { socket: [], undici: [] };
  for (let round = 0; round <= rounds; round++) {
    for (const http of ["socket", "undici"] as const) {
      const client = new HttpClient({ origin, http });
      const spent = await cost(() => act(client));
      await client.close();
      if (round > 0) found[http].push(show(spent));
    }
  }
  const text = (list: readonly number[]): string =>
    `${median(list).toFixed(3)} ${unit} (${list.map((one) => one.toFixed(2)).join(" ")})`;
  console.log(`${name}\n  socket ${text(found.socket)}\n  undici ${text(found.undici)}`);
}

async function main(): Promise<void> {
  const server = fork(new URL("bench-server.js", import.meta.url));
  const [port] = (await once(server, "message")) as [number];
  const origin = `http://127.0.0.1:${port}`;
  const what = process.argv[2] ?? "all";
  if (what !== "large") {
    for (const isSigned of [false, true]) {
      const act: Act = (client) => pairs(client, PAIRS, isSigned);
      await compare(
        `GET + PUT of 16 KiB${isSigned ? ", signed" : ""}`,
        origin,
        ROUNDS,
        act,
        ({ cpuUs }) => cpuUs / PAIRS,
        "us of CPU",
      );
    }
  }
  if (what !== "small") {
    for (const way of ["discard", "return", "pipe"] as const) {
      await compare(
        `4 GiB, ${way}: CPU`,
        origin,
        3,
        (client) => large(client, way),
        ({ cpuUs }) => cpuUs / 4e6,
        "s of CPU a GiB",
      );
      await compare(
        `4 GiB, ${way}: rate`,
        origin,
        1,
        (client) => large(client, way),
        ({ wallMs }) => 4000 / wallMs,
        "GiB/s",
      );
    }
  }
  server.kill();
}

await main();
