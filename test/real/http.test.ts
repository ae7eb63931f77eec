/** Both clients against servers that none of us wrote: nginx, where it can be had, and Node's own. */
import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { HttpClient, type HttpKind } from "../../src/wire/http.ts";
import { ask, failure, pause, textOf } from "../wire/laws/world.ts";

const run = promisify(execFile);
const NGINX = "/usr/sbin/nginx";
const MIB = 1024 * 1024;
const BODY = randomBytes(8 * MIB + 5);
const KINDS: readonly HttpKind[] = ["socket", "undici"];

interface Running {
  readonly origin: string;
  close(): Promise<void>;
}

const isThere = (): Promise<boolean> =>
  access(NGINX).then(
    () => true,
    () => false,
  );

async function nginxMissing(): Promise<string | undefined> {
  if (await isThere()) return undefined;
  if (process.getuid?.() !== 0) return "install nginx-light (not root)";
  try {
    await run("apt-get", ["install", "-y", "-q", "--no-install-recommends", "nginx-light"], { maxBuffer: 64 * MIB });
  } catch (error) {
    return `apt-get could not install nginx-light: ${String(error).slice(0, 200)}`;
  }
  return (await isThere()) ? undefined : "installed, and not found";
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Files under `/`, PUT by WebDAV, a limit on what may be put, a redirect, and connections that end after three requests. */
async function startNginx(): Promise<Running> {
  const directory = await mkdtemp(join(tmpdir(), "sealift-nginx-"));
  const port = await freePort();
  for (const name of ["root", "temp"]) await mkdir(join(directory, name), { mode: 0o777 });
  await writeFile(join(directory, "root", "body"), BODY);
  await writeFile(
    join(directory, "nginx.conf"),
    `daemon off; pid ${directory}/pid; error_log ${directory}/error.log; user root;
events { worker_connections 64; }
http {
  access_log off; keepalive_requests 3; default_type application/octet-stream;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/temp/${name};`).join(" ")}
  server {
    listen 127.0.0.1:${port}; root ${directory}/root; client_max_body_size 64m;
    location /put/ { dav_methods PUT DELETE; create_full_put_path on; }
    location /small/ { client_max_body_size 1k; dav_methods PUT; }
    location /moved { return 302 http://169.254.169.254/; }
    location /none { return 204; }
  }
}
`,
  );
  const child = spawn(NGINX, ["-p", directory, "-c", join(directory, "nginx.conf")], { stdio: "ignore" });
  const origin = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 100 && !(await fetch(origin).catch(() => undefined)); tries++) await pause(50);
  return {
    origin,
    close: async () => {
      child.kill("SIGTERM");
      if (child.exitCode === null) await once(child, "exit");
      await rm(directory, { recursive: true });
    },
  };
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const missing = await nginxMissing();
if (missing !== undefined && process.env["CI"]) throw new Error(`nginx is needed here: ${missing}`);

async function withClient(kind: HttpKind, origin: string, act: (client: HttpClient) => Promise<void>): Promise<void> {
  const client = new HttpClient({ origin, http: kind, connections: 4, timeoutMs: 10_000 });
  try {
    await act(client);
  } finally {
    await client.close();
  }
}

describe.skipIf(missing !== undefined)(`nginx (${missing ?? "installed"})`, () => {
  it.each(KINDS)("%s reads, writes, is refused, and outlives its connections", { timeout: 60_000 }, async (kind) => {
    const nginx = await startNginx();
    try {
      await withClient(kind, nginx.origin, async (client) => {
        expect(digest(await (await ask(client, "/body")).bytes())).toBe(digest(BODY));
        const head = await ask(client, "/body", { method: "HEAD" });
        expect(head.headers["content-length"]).toBe(String(BODY.length));
        await head.dismiss();
        const part = await ask(client, "/body", { headers: { range: "bytes=100-199" } });
        expect([part.status, (await part.bytes()).equals(BODY.subarray(100, 200))]).toEqual([206, true]);
        expect((await ask(client, "/none")).status).toBe(204);
        const moved = await ask(client, "/moved");
        expect([moved.status, (await moved.text()).includes("302")]).toEqual([302, true]);
        for (const body of [Buffer.alloc(0), BODY.subarray(0, 16_384), [BODY.subarray(0, 5), BODY.subarray(5)]]) {
          const put = await ask(client, "/put/x", { method: "PUT", body });
          expect([201, 204]).toContain(put.status);
          await put.dismiss();
          const whole = Buffer.concat(Array.isArray(body) ? body : [body as Buffer]);
          expect(digest(await (await ask(client, "/put/x")).bytes())).toBe(digest(whole));
        }
        const large = await ask(client, "/small/x", { method: "PUT", body: BODY });
        expect(large.status).toBe(413);
        await large.dismiss();
        const many = Array.from({ length: 60 }, (_, at) =>
          ask(client, "/body", { headers: { range: `bytes=${at}-${at}` } }).then((response) => response.bytes()),
        );
        for (const [at, bytes] of (await Promise.all(many)).entries()) expect(bytes[0]).toBe(BODY[at]);
      });
    } finally {
      await nginx.close();
    }
  });
});

describe("Node's own server", () => {
  it.each(KINDS)("%s: chunks, trailers, an early answer, a connection that times out", async (kind) => {
    const server = createServer({ keepAliveTimeout: 1500 }, (request, response) => {
      if (request.url === "/early") {
        response.writeHead(403).end("no");
        return;
      }
      if (request.url === "/cut") {
        response.writeHead(200, { "content-length": 100 });
        response.write("some", () => response.destroy());
        return;
      }
      const hash = createHash("sha256");
      request.on("data", (chunk: Buffer) => hash.update(chunk));
      request.on("end", () => {
        response.writeHead(200, { trailer: "x-sum" });
        response.write(BODY.subarray(0, 100_000));
        response.addTrailers({ "x-sum": "1" });
        response.end(hash.digest("hex"));
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      await withClient(kind, origin, async (client) => {
        const answer = await (await ask(client, "/", { method: "PUT", body: BODY })).bytes();
        expect(answer.subarray(0, 100_000).equals(BODY.subarray(0, 100_000))).toBe(true);
        expect(answer.subarray(100_000).toString()).toBe(digest(BODY));
        expect((await ask(client, "/early", { method: "PUT", body: Buffer.alloc(1000) })).status).toBe(403);
        expect((await failure(textOf(client, "/cut"))).code).toBe("NET_UNREACHABLE");
        for (const waitMs of [400, 800, 1600]) {
          await pause(waitMs);
          expect((await (await ask(client)).bytes()).length).toBe(100_064);
        }
      });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
