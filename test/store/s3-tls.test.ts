/** Over TLS: verified, with authorities of one's own, and with the body left out of the signature. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request as forward } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { bare, failure, gather, never, pieces, sample } from "./laws/law.ts";
import { type S3Bench, startS3Bench } from "./s3-bench.ts";

let bench: S3Bench;
let server: Server;
let endpoint: string;
let ca: string;
const payloadHashes = new Set<string>();

beforeAll(async () => {
  bench = await startS3Bench();
  const { key, cert } = selfSigned();
  ca = cert;
  // Passes everything on to the pocket S3 as it came.
  server = createServer({ key, cert }, (incoming, outgoing) => {
    payloadHashes.add(String(incoming.headers["x-amz-content-sha256"]));
    const { method, url = "/", headers } = incoming;
    const { port } = new URL(bench.pocket.url);
    const onward = forward({ port, host: "127.0.0.1", method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await bench.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function selfSigned(): { key: string; cert: string } {
  const directory = mkdtempSync(join(tmpdir(), "sealift-tls-"));
  try {
    const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
    const about = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
    const make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    execFileSync("openssl", [...make, "-keyout", key, "-out", cert, ...about], { stdio: "ignore" });
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("S3 over TLS", () => {
  it("trusts the authority it is given, and leaves the body to TLS", async () => {
    const store = await bench.open({ endpoint, ca });
    const options = { sizeBytes: 1000, attributes: bare, condition: "absent", signal: never } as const;
    await store.put("tls", pieces(sample(1000)), options);
    expect(await gather((await store.open("tls", { signal: never })).body)).toEqual(sample(1000));
    expect([...payloadHashes]).toEqual(["UNSIGNED-PAYLOAD"]);
  });

  it("trusts nobody else", async () => {
    const store = await bench.open({ endpoint });
    const error = asSealiftError(await failure(store.head("tls", never)));
    expect(error.code).toBe("NET_UNREACHABLE");
    expect(error.message).toMatch(/self.signed|certificate/i);
  });
});
