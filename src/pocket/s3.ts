/**
 * A pocket Amazon S3: path-style HTTP on 127.0.0.1, objects in memory. It checks signatures, hashes and checksums, and shows
 * encryption at rest as S3 shows it. What is known of S3 only from its documentation is marked where it is done.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { heard } from "./harm.ts";
import { type PocketRequest, type PocketServer, startPocketServer } from "./http.ts";
import { parseAddress } from "./s3/address.ts";
import { type BucketOptions, makeBucket } from "./s3/buckets.ts";
import type { Answer, Cloud } from "./s3/call.ts";
import { S3Refusal } from "./s3/refusal.ts";
import { findRoute } from "./s3/routes.ts";
import { Gate, type S3Credentials } from "./s3/signature.ts";
import { element } from "./s3/xml.ts";

export interface PocketS3Options {
  readonly port?: number | undefined;
  readonly credentials?: S3Credentials | undefined;
  readonly region?: string | undefined;
  /** The server's clock. */
  readonly nowMs?: (() => number) | undefined;
  /** Rows of a listing's page, however many are asked for: S3 promises no number. */
  readonly rowsMax?: number | undefined;
  /** As servers exist: joins parts in the order in which they are named, checks nothing about the whole and states no checksum. */
  readonly joinsBlindly?: boolean | undefined;
}

export interface PocketS3 extends PocketServer {
  /** A bucket that is there already is emptied. */
  createBucket(name: string, options?: BucketOptions): void;
}

const ROWS_MAX = 1000;

export async function startPocketS3(options: PocketS3Options = {}): Promise<PocketS3> {
  const nowMs = options.nowMs ?? Date.now;
  const { rowsMax = ROWS_MAX, joinsBlindly = false } = options;
  const cloud: Cloud = { region: options.region ?? "us-east-1", nowMs, buckets: new Map(), rowsMax, joinsBlindly };
  const credentials = options.credentials ?? { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
  const gate = new Gate(credentials, cloud.region, nowMs);
  let requests = 0;
  const server = await startPocketServer(async (request, response, count) => {
    const requestId = (++requests).toString(16).toUpperCase().padStart(16, "0");
    let answer: Answer;
    try {
      answer = await operate(cloud, gate, request, count);
    } catch (error) {
      if (!(error instanceof S3Refusal)) throw error;
      answer = refuse(error, request, requestId);
      abandon(request.incoming);
    }
    await send(request, response, answer, requestId);
  }, options.port);
  return { ...server, createBucket: (name, bucketOptions) => void makeBucket(cloud, name, bucketOptions) };
}

async function operate(
  cloud: Cloud,
  gate: Gate,
  request: PocketRequest,
  count: (label: string) => void,
): Promise<Answer> {
  const { bucket: bucketName, key, canonical } = parseAddress(request.path);
  const signed = gate.admit(request, canonical);
  const { name, operation } = findRoute(request, bucketName, key);
  count(name);
  return operation({ cloud, request: heard(request), signed, bucketName, key });
}

function refuse(refusal: S3Refusal, request: PocketRequest, requestId: string): Answer {
  if (refusal.status === 304) return { status: 304, headers: { ...refusal.headers } };
  // Lines stay lines here: what was signed is read by people.
  const details = Object.entries(refusal.elements).map(([name, text]) => element(name, text).replaceAll("&#xa;", "\n"));
  const body =
    `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${element("Code", refusal.code)}${element("Message", refusal.message)}` +
    `${details.join("")}${element("Resource", request.path)}${element("RequestId", requestId)}` +
    `${element("HostId", `pocket/${requestId}`)}</Error>`;
  return { status: refusal.status, headers: { "content-type": "application/xml", ...refusal.headers }, body };
}

/** What is left of a refused body is read and dropped: closing at once would reset the connection before the answer is read. */
function abandon(incoming: IncomingMessage): void {
  if (!incoming.complete) incoming.resume();
}

async function send(
  request: PocketRequest,
  response: ServerResponse,
  { status, headers, body }: Answer,
  requestId: string,
): Promise<void> {
  headers["x-amz-request-id"] = requestId;
  headers["server"] = "AmazonS3";
  if (body === undefined || typeof body === "string") {
    const text = body ?? "";
    if (status !== 204 && status !== 304 && request.method !== "HEAD")
      headers["content-length"] = Buffer.byteLength(text);
    response.writeHead(status, headers);
    // Text goes out with the head in one write; a Buffer would cost a second.
    if (text === "" || request.method === "HEAD") response.end();
    else response.end(text);
    return;
  }
  response.writeHead(status, headers);
  await sendBytes(response, body.chunks);
}

async function sendBytes(response: ServerResponse, chunks: Iterable<Buffer>): Promise<void> {
  let held: Buffer | undefined;
  for (const chunk of chunks) {
    if (held !== undefined && !response.write(held)) await drained(response);
    if (response.destroyed) return;
    held = chunk;
  }
  // The last chunk goes out with the end, so that a small object is one write.
  response.end(held);
}

const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.once("drain", done).once("close", done);
    if (response.destroyed || response.closed) done();
  });
