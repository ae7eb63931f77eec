/** Row 4. Whatever is read from outside has a limit with a name: bombs end with a code, in bounded memory. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { createServer, type Server as TcpServer } from "node:net";
import type { AddressInfo } from "node:net";
import { Server, ServerCredentials, type ServiceDefinition } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import { afterEach, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { DataKey, keyUri } from "../../src/core/key.ts";
import type { ObjectHead } from "../../src/core/object.ts";
import { ENVELOPES } from "../../src/compose/envelopes.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import { openGcsStore } from "../../src/store/gcs/gcs.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import { recognise } from "../../src/transfer/recognise.ts";
import { NEVER } from "../transfer/wayward.ts";
import { listen } from "./proxy.ts";

const MIB = 1024 * 1024;
const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const AWS = keyUri("aws-kms://arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000001");
const GCP = keyUri("gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k");

const closing: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const codeOf = async (act: () => unknown): Promise<string> => {
  try {
    await act();
    return "accepted";
  } catch (error) {
    return asSealiftError(error).code;
  }
};

/** What a process of its own makes of the bombs, and by how much each has made it grow. */
const BOMBS = `
import { gzipSync } from "node:zlib";
const from = (path) => import(new URL(path, process.argv[1]));
const [{ decodePage, readRecord }, { parseXml }, { parseJob }, { parseAnswer }, { parseContext }, { parseInstruction }] = await Promise.all(
  ["ledger/codec.js", "wire/xml.js", "config/job.js", "kms/answer.js", "envelope/s3ec/context.js", "envelope/s3ec/instruction.js"].map(from));
const zeros = gzipSync(Buffer.alloc(16 * 2 ** 20), { level: 9 });
const laughs = Array.from({ length: 30 }, (_, i) => '<!ENTITY l' + (i + 1) + ' "' + ('&l' + i + ';').repeat(10) + '">').join("");
const endless = { cancel: async () => {}, body: (async function* () { const mib = Buffer.alloc(2 ** 20); for (;;) yield mib; })() };
const deep = (open, n) => open.repeat(n);
const bombs = {
  "gzip: 1 GiB in a page of 1 MiB": () => decodePage(Buffer.concat(Array(64).fill(zeros)), "page"),
  "gzip: a page that is nothing but lines": () => decodePage(gzipSync("\\n".repeat(8 * 2 ** 20)), "page"),
  "a record without end": () => readRecord("record", endless, 32 * 2 ** 20),
  "xml: a billion laughs": () => parseXml('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">' + laughs + ']><x>&l30;</x>'),
  "xml: one great entity, many times": () => parseXml('<!DOCTYPE x [<!ENTITY a "' + "a".repeat(2 ** 20) + '">]><x>' + "&a;".repeat(10000) + "</x>"),
  "xml: an entity from a file": () => parseXml('<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'),
  "xml: an entity that nobody declared": () => parseXml("<x>&l30;</x>"),
  "xml: nested a million deep": () => parseXml(deep("<a>", 1e6)),
  "xml: two million elements": () => parseXml("<x>" + "<a/>".repeat(2e6) + "</x>"),
  "xml: a comment without end": () => parseXml("<x><!--" + "-".repeat(8 * 2 ** 20)),
  "xml: a tag of megabytes": () => parseXml("<x" + " a='1'".repeat(2e6) + "b></x>"),
  "xml: more than its limit": () => parseXml("<x>" + "a".repeat(17 * 2 ** 20) + "</x>"),
  "json: a million deep, as a KMS's answer": () => { if (parseAnswer(deep("[", 1e6)) === undefined) throw { code: "none" }; },
  "json: a million deep and closed": () => { if (parseAnswer(deep("[", 1e6) + deep("]", 1e6)) === undefined) throw { code: "none" }; },
  "yaml: a billion laughs": () => parseJob(Array.from({ length: 30 }, (_, i) => "a" + i + ": &a" + i + " [" + (i ? ("*a" + (i - 1) + ",").repeat(9) : "x,") + "]").join("\\n"), "job"),
  "yaml: deep": () => parseJob(deep("[", 20000), "job"),
  "context: deep": () => parseContext(deep('{"a":', 1000), "x-amz-matdesc"),
  "context: megabytes": () => parseContext('{"a":"' + "x".repeat(16 * 2 ** 20) + '"}', "x-amz-matdesc"),
  "context: thousands of pairs": () => parseContext("{" + Array.from({ length: 700 }, (_, i) => '"' + i.toString(36) + '":""').join() + "}", "x-amz-matdesc"),
  "instruction file: deep": () => parseInstruction(Buffer.from(deep('{"x-amz-key-v2":', 4000))),
  "instruction file: megabytes": () => parseInstruction(Buffer.from('{"x-amz-key-v2":"' + "A".repeat(16 * 2 ** 20) + '"}')),
  "instruction file: a name without end": () => parseInstruction(Buffer.from('{"' + "a".repeat(65000))),
  "instruction file: one value of escapes": () => parseInstruction(Buffer.from('{"x-amz-matdesc":"' + "\\\\u0041".repeat(10000) + '"}')),
  "context: encoded words": () => parseContext("=?utf-8?q?" + "=41".repeat(2700) + "?=", "x-amz-matdesc"),
};
for (const [name, explode] of Object.entries(bombs)) {
  const before = process.resourceUsage().maxRSS;
  let end = "accepted";
  try { await explode(); } catch (error) { end = error.code ?? String(error); }
  console.log(JSON.stringify({ name, end, grownMiB: Math.round((process.resourceUsage().maxRSS - before) / 1024) }));
}`;

describe("parsers, in a process of their own", { timeout: 180_000 }, () => {
  it("end every bomb with a code, and grow by little", async () => {
    const src = new URL("../../dist/src/", import.meta.url).href;
    const output = await new Promise<string>((resolve, reject) => {
      const args = ["--max-old-space-size=768", "--input-type=module", "-e", BOMBS, "--", src];
      execFile(process.execPath, args, { maxBuffer: MIB }, (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      );
    });
    const ends = output
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { name: string; end: string; grownMiB: number });
    expect(ends).toHaveLength(24);
    const expected: Record<string, string> = {
      gzip: "LEDGER_BROKEN",
      "a record without end": "LEDGER_BROKEN",
      xml: "PROVIDER_ERROR",
      json: "none",
      yaml: "JOB_INVALID",
      context: "SEAL_MALFORMED",
      "instruction file": "SEAL_MALFORMED",
    };
    for (const { name, end } of ends) expect([name, end]).toEqual([name, expected[name.split(":")[0] ?? ""]]);
    // The largest text that any of them may hold is 16 MiB, twice that in memory, and then split or parsed.
    for (const { name, grownMiB } of ends) expect(`${name}: ${grownMiB < 400}`).toBe(`${name}: true`);
  });
});

/** A server that answers without end, and how much of it was taken. */
async function endless(type: string, start = "", status = 200) {
  const sent = { bytes: 0 };
  const server = await listen((request, response) => {
    request.resume();
    response.writeHead(status, { "content-type": type });
    response.write(start);
    const chunk = Buffer.alloc(64 * 1024, " ");
    const more = () => {
      while (!response.destroyed && sent.bytes < 512 * MIB) {
        sent.bytes += chunk.length;
        if (!response.write(chunk)) return;
      }
    };
    response.on("drain", more);
    more();
  });
  closing.push(() => server.close());
  return { url: server.url, sent };
}

const s3At = async (endpoint: string) => {
  const buffer = new Budget(8 * MIB);
  const store = await openS3Store({ bucket: "b", region: "us-east-1", credentials, endpoint, pathStyle: true, buffer });
  closing.push(() => store.close());
  return store;
};
const gcsAt = async (endpoint: string) => {
  const store = await openGcsStore({ bucket: "b", anonymous: true, endpoint, buffer: new Budget(8 * MIB) });
  closing.push(() => store.close());
  return store;
};
async function first(listing: AsyncIterable<unknown>): Promise<void> {
  for await (const page of listing) if (page) return;
}

describe("answers without end are left at their limit", () => {
  /** Sockets hold some of it on both sides. */
  const SLACK = 16 * MIB;
  const wrapped = { scheme: "gcp-kms", uri: GCP, bytes: new Uint8Array(64) } as const;
  const cases: Record<string, readonly [string, string, number, (url: string) => Promise<unknown>, number?]> = {
    "a listing of S3": [
      "application/xml",
      "<ListBucketResult>",
      16 * MIB,
      async (url) => first((await s3At(url)).list("", {}, NEVER)),
    ],
    "an error of S3": [
      "application/xml",
      "<Error>",
      64 * 1024,
      async (url) => (await s3At(url)).open("x", { signal: NEVER }),
      403,
    ],
    "a listing of Cloud Storage": [
      "application/json",
      "{",
      64 * MIB,
      async (url) => first((await gcsAt(url)).list("", {}, NEVER)),
    ],
    "a head of Cloud Storage": ["application/json", "{", MIB, async (url) => (await gcsAt(url)).head("x", NEVER)],
    "an error of Cloud Storage": [
      "application/json",
      "{",
      64 * 1024,
      async (url) => (await gcsAt(url)).head("x", NEVER),
      403,
    ],
    "AWS KMS": [
      "application/json",
      "{",
      64 * 1024,
      (endpoint) => {
        const kms = openAwsKms({ endpoint, region: "us-east-1", credentials });
        closing.push(() => kms.close());
        return kms.wrap(AWS, new DataKey(Buffer.alloc(32, 1)), new Map(), NEVER);
      },
    ],
    "Cloud KMS": [
      "application/json",
      "{",
      64 * 1024,
      (endpoint) => {
        const kms = openGcpKms({ endpoint, anonymous: true });
        closing.push(() => kms.close());
        return kms.unwrap(wrapped, new Map(), NEVER);
      },
    ],
  };
  for (const [name, [type, start, limit, ask, status]] of Object.entries(cases)) {
    it(name, async () => {
      const { url, sent } = await endless(type, start, status);
      expect(await codeOf(() => ask(url))).toMatch(
        /^(PROVIDER_ERROR|PROVIDER_REFUSED|ACCESS_DENIED|LIST_BROKEN|NET_UNREACHABLE)$/,
      );
      expect(sent.bytes).toBeLessThan(limit + SLACK);
    });
  }

  it("Cloud KMS by gRPC, a message of 5 MiB", async () => {
    const require = createRequire(import.meta.url);
    const protos = require("@google-cloud/kms/build/protos/protos.json") as Parameters<typeof fromJSON>[0];
    const definition = fromJSON(protos, { defaults: true })[
      "google.cloud.kms.v1.KeyManagementService"
    ] as ServiceDefinition;
    const server = new Server();
    let sizeBytes = 5 * MIB;
    server.addService(definition, {
      Decrypt: (_call: unknown, done: (error: null, answer: object) => void) =>
        done(null, { plaintext: Buffer.alloc(sizeBytes, 1), plaintextCrc32c: { value: 1 } }),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, at) =>
        error ? reject(error) : resolve(at),
      );
    });
    const kms = openGcpKms({ transport: "grpc", grpcEndpoint: `127.0.0.1:${port}`, anonymous: true });
    closing.push(
      () => kms.close(),
      () => server.forceShutdown(),
    );
    expect(await codeOf(() => kms.unwrap(wrapped, new Map(), NEVER))).toBe("THROTTLED");
    // The control: an answer within the limit is read, and found wrong by its checksum.
    sizeBytes = 32;
    expect(await codeOf(() => kms.unwrap(wrapped, new Map(), NEVER))).toBe("KMS_CORRUPTED");
  });

  it("a flood of headers, of one line or of many", async () => {
    for (const flood of [`x-amz-meta-a: ${"x".repeat(MIB)}\r\n`, "x-amz-meta-a: 1\r\n".repeat(100_000)]) {
      const server: TcpServer = createServer((socket) => {
        socket.on("error", () => undefined).resume();
        socket.write(`HTTP/1.1 200 OK\r\n${flood}content-length: 0\r\n\r\n`);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      closing.push(() => new Promise((resolve) => server.close(resolve)));
      const store = await s3At(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      expect(await codeOf(() => store.head("x", NEVER))).toBe("NET_UNREACHABLE");
    }
  });
});

describe("envelopes", () => {
  const head = (metadata: ReadonlyMap<string, string>, sizeBytes = 64): ObjectHead => ({
    key: "a",
    sizeBytes,
    etag: "e",
    lastModifiedMs: 0,
    atRest: { mode: "none" },
    attributes: { metadata },
  });
  const read = (metadata: ReadonlyMap<string, string>, sizeBytes?: number) =>
    codeOf(() => recognise(head(metadata, sizeBytes), new Uint8Array(), ENVELOPES));
  const b64 = (bytes: number) => Buffer.alloc(bytes, 7).toString("base64");
  const good = new Map([
    ["x-amz-key-v2", b64(64)],
    ["x-amz-wrap-alg", "kms+context"],
    ["x-amz-cek-alg", "AES/GCM/NoPadding"],
    ["x-amz-matdesc", '{"aws:x-amz-cek-alg":"AES/GCM/NoPadding"}'],
    ["x-amz-iv", b64(12)],
    ["x-amz-tag-len", "128"],
  ]);
  const withOne = (name: string, value: string) => new Map([...good, [name, value]]);

  it("with ten thousand wrapped keys, or one of megabytes, are malformed; ten thousand other names are none of theirs", async () => {
    expect(await read(good)).toBe("accepted");
    const spellings = new Map(good);
    for (let i = 0; i < 10_000; i++) {
      const bits = (at: number) => (i >> at) % 2 === 1;
      const letters = "x-amz-key-v2".split("").map((letter, at) => (bits(at) ? letter.toUpperCase() : letter));
      spellings.set(letters.join(""), b64(64));
    }
    expect(spellings.size).toBeGreaterThan(250);
    expect(await read(spellings)).toBe("SEAL_MALFORMED");
    expect(await read(withOne("x-amz-key-v2", b64(4 * MIB)))).toBe("SEAL_MALFORMED");
    const crowd = new Map(good);
    for (let i = 0; i < 10_000; i++) crowd.set(`name-${i}`, "x");
    expect(await read(crowd)).toBe("accepted");
  });

  it.each(["4294967296", "18446744073709551616", "9".repeat(4000), "-1", "1e9", "0x10", "64 ", "٦٤"])(
    "that state a length of %s for a body of 64 bytes are malformed",
    async (length) => {
      expect(await read(withOne("x-amz-unencrypted-content-length", length))).toBe("SEAL_MALFORMED");
    },
  );

  it("of bodies beyond what AES-GCM may hold, or shorter than its tag, are malformed", async () => {
    expect(await read(good, 2 ** 36)).toBe("SEAL_MALFORMED");
    expect(await read(good, Number.MAX_SAFE_INTEGER)).toBe("SEAL_MALFORMED");
    expect(await read(good, 15)).toBe("SEAL_MALFORMED");
  });
});
