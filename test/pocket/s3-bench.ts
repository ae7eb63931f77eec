/** A pocket S3 with the official client beside it, and requests signed by hand for what that client would never send. */
import { createHash, createHmac } from "node:crypto";
import { type IncomingHttpHeaders, request as httpRequest } from "node:http";
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { type PocketS3, type PocketS3Options, startPocketS3 } from "../../src/pocket/s3.ts";

export interface S3Bench {
  readonly pocket: PocketS3;
  readonly client: S3Client;
  close(): Promise<void>;
}

export const connect = (pocket: PocketS3, config: S3ClientConfig = {}): S3Client =>
  new S3Client({
    endpoint: pocket.url,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "pocket", secretAccessKey: "pocket-secret" },
    maxAttempts: 1,
    ...config,
  });

export async function startBench(options: PocketS3Options = {}): Promise<S3Bench> {
  const pocket = await startPocketS3(options);
  pocket.createBucket("plain");
  pocket.createBucket("versioned", { versioned: true });
  pocket.createBucket("sealed", { defaultKey: "default-key" });
  const client = connect(pocket);
  const close = async () => {
    client.destroy();
    await pocket.close();
  };
  return { pocket, client, close };
}

export const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
export const hmac = (key: string | Buffer, data: string): Buffer =>
  createHmac("sha256", key).update(data, "latin1").digest();

export interface RawRequest {
  readonly method?: string;
  /** As it goes out. */
  readonly path: string;
  /** As it is signed, where it differs. */
  readonly signedPath?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer | string | ((signed: RawSigned) => Buffer | string);
  readonly payload?: string;
  readonly secret?: string;
  readonly accessKeyId?: string;
  readonly region?: string;
  readonly timeMs?: number;
  /** Of the credential's scope, where it is not the request's. */
  readonly day?: string;
  /** Sent, but left out of the signature. */
  readonly unsigned?: Record<string, string>;
}

export interface RawSigned {
  readonly signature: string;
  readonly scope: string;
  readonly time: string;
  readonly key: Buffer;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The error document's code, or nothing. */
  readonly code: string | undefined;
}

/** One request over a fresh connection, signed in the Authorization header. */
export function raw(pocket: PocketS3, request: RawRequest): Promise<RawAnswer> {
  const url = new URL(pocket.url);
  const method = request.method ?? "GET";
  const time = new Date(request.timeMs ?? Date.now()).toISOString().replace(/[-:]|\.\d{3}/g, "");
  const fixed = typeof request.body === "function" ? "" : (request.body ?? "");
  const payload = request.payload ?? sha256(Buffer.from(fixed));
  const headers: Record<string, string> = {
    host: url.host,
    "x-amz-date": time,
    "x-amz-content-sha256": payload,
    ...request.headers,
  };
  const signed = sign(request, method, headers, time, payload);
  const [names, accessKeyId] = [Object.keys(headers).sort().join(";"), request.accessKeyId ?? "pocket"];
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${signed.scope}, SignedHeaders=${names}, Signature=${signed.signature}`;
  const body = Buffer.from(typeof request.body === "function" ? request.body(signed) : fixed);
  const unmeasured = method === "GET" || method === "HEAD" || request.unsigned?.["transfer-encoding"] !== undefined;
  const length = unmeasured ? {} : { "content-length": String(body.length) };
  return exchange(url, method, request.path, { ...length, ...headers, ...request.unsigned, authorization }, body);
}

function sign(
  request: RawRequest,
  method: string,
  headers: Record<string, string>,
  time: string,
  payload: string,
): RawSigned {
  const [path = "", query = ""] = (request.signedPath ?? request.path).split("?");
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${(headers[name] ?? "").trim().replace(/ +/g, " ")}\n`).join("");
  const canonical = [method, path, query.split("&").sort().join("&"), lines, names.join(";"), payload].join("\n");
  const scope = `${request.day ?? time.slice(0, 8)}/${request.region ?? "us-east-1"}/s3/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(Buffer.from(canonical, "latin1"))}`;
  const key = scope.split("/").reduce<Buffer | string>(hmac, `AWS4${request.secret ?? "pocket-secret"}`) as Buffer;
  return { signature: hmac(key, toSign).toString("hex"), scope, time, key };
}

export function exchange(
  url: URL,
  method: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer = Buffer.alloc(0),
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { host: url.hostname, port: url.port, method, path, headers, agent: false },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.once("error", reject);
        incoming.once("end", () => {
          const whole = Buffer.concat(chunks);
          const code = /<Error><Code>(\w+)/.exec(whole.toString("latin1"))?.[1];
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: whole, code });
        });
      },
    );
    outgoing.once("error", reject);
    outgoing.end(body);
  });
}

/** Reproducible bytes without a visible period. */
export function sample(sizeBytes: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let state = seed * 2_654_435_761 + 1;
  for (let i = 0; i < sizeBytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** What the attempt was refused with. */
export async function refusal(attempt: Promise<unknown>): Promise<{ name: string; status: number | undefined }> {
  try {
    await attempt;
  } catch (error) {
    const { name, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } };
    if ($metadata === undefined) throw error;
    return { name, status: $metadata.httpStatusCode };
  }
  throw new Error("it should have been refused");
}
