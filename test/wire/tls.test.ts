/** TLS, by both clients: who is trusted, what the handshake says, and that sessions are taken up again. */
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HttpKind, HttpClient } from "../../src/wire/http.ts";
import { selfSigned } from "../threats/proxy.ts";
import { ask, failure, textOf } from "./laws/world.ts";

describe.each(["socket", "undici"] as const)("%s over TLS", (http: HttpKind) => {
  const authority = selfSigned("IP:127.0.0.1,DNS:localhost");
  const large = Buffer.alloc(3 * 1024 * 1024, "0123456789abcdef-");
  const seen: { name: string | false | undefined; resumed: boolean; protocol: string | false | null }[] = [];
  let server: Server;
  let port = 0;

  beforeAll(async () => {
    server = createServer({ ...authority, ALPNProtocols: ["h2", "http/1.1"] }, (socket: TLSSocket) => {
      seen.push({
        name: (socket as TLSSocket & { servername?: string | false }).servername,
        resumed: socket.isSessionReused(),
        protocol: socket.alpnProtocol,
      });
      socket.on("error", () => undefined);
      socket.on("data", (data) => {
        const body = data.toString("latin1").startsWith("GET /large") ? large : Buffer.from("here");
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`);
        socket.write(body);
        if (data.toString("latin1").startsWith("GET /last")) socket.end();
      });
    });
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(() => void server.close());

  const over = async (origin: string, ca: string | undefined, act: (client: HttpClient) => Promise<void>) => {
    const client = new HttpClient({ origin, ca, http, connections: 1, timeoutMs: 5000 });
    try {
      await act(client);
    } finally {
      await client.close();
    }
  };

  it("speaks to whom its authority vouches for, by name or address", async () => {
    for (const [host, name] of [
      ["localhost", "localhost"],
      ["127.0.0.1", false],
    ] as const) {
      await over(`https://${host}:${port}`, authority.cert, async (client) => {
        expect(await textOf(client)).toBe("here");
        expect((await (await ask(client, "/large")).bytes()).equals(large)).toBe(true);
      });
      expect(seen.at(-1)).toMatchObject({ name, protocol: "http/1.1" });
    }
  });

  it("speaks to nobody else, whatever the environment says", async () => {
    const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env;
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      for (const ca of [undefined, selfSigned().cert]) {
        await over(`https://127.0.0.1:${port}`, ca, async (client) => {
          expect(await failure(ask(client))).toMatchObject({ code: "NET_UNREACHABLE" });
        });
      }
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
  });

  it("takes up its session again on the next connection", async () => {
    await over(`https://localhost:${port}`, authority.cert, async (client) => {
      expect(await textOf(client, "/last")).toBe("here");
      await new Promise((resolve) => setTimeout(resolve, 30));
      expect(await textOf(client)).toBe("here");
    });
    expect(seen.slice(-2).map(({ resumed }) => resumed)).toEqual([false, true]);
  });
});
