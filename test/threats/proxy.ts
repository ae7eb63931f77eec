/** A man in the middle who computes: forwards to a pocket cloud, over TLS or not, and changes bytes on the way. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, request as forward } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Authority {
  readonly key: string;
  readonly cert: string;
}

/** `names`: subjectAltName, by default the loopback address. */
export function selfSigned(names = "IP:127.0.0.1", days = 2): Authority {
  const directory = mkdtempSync(join(tmpdir(), "sealift-authority-"));
  try {
    const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
    const make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const about = ["-days", String(days), "-subj", "/CN=proxy", "-addext", `subjectAltName=${names}`];
    execFileSync("openssl", [...make, "-keyout", key, "-out", cert, ...about], { stdio: "ignore" });
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

export interface ProxyOptions {
  readonly tls?: Authority;
  readonly changeRequest?: (body: Buffer, request: IncomingMessage) => Buffer;
  readonly changeAnswer?: (body: Buffer, request: IncomingMessage) => Buffer;
}

export interface Proxy {
  readonly url: string;
  readonly seen: IncomingMessage[];
  close(): Promise<void>;
}

export async function startProxy(to: string, options: ProxyOptions = {}): Promise<Proxy> {
  const listener: RequestListener = (incoming, outgoing) => {
    void whole(incoming).then((body) => {
      const { method, url = "/", headers } = incoming;
      const { port } = new URL(to);
      const onward = forward({ port, host: "127.0.0.1", method, path: url, headers }, (answer) => {
        void whole(answer).then((bytes) => {
          outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
          outgoing.end(options.changeAnswer?.(bytes, incoming) ?? bytes);
        });
      });
      onward.on("error", () => outgoing.destroy());
      onward.end(options.changeRequest?.(body, incoming) ?? body);
    });
  };
  return listen(listener, options.tls);
}

/** A server that answers as it is told, and remembers who asked. */
export async function listen(answer: RequestListener, tls?: Authority): Promise<Proxy> {
  const seen: IncomingMessage[] = [];
  const listener: RequestListener = (incoming, outgoing) => {
    seen.push(incoming);
    answer(incoming, outgoing);
  };
  const server = tls ? createTlsServer({ ...tls }, listener) : createServer(listener);
  // A refused handshake is the point.
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `${tls ? "https" : "http"}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url, seen, close };
}

async function whole(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The same bytes, one of them changed. */
export function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}
