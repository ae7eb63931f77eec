/** The bytes of an object: whole, in a range, or unpacked for clients that do not take gzip. */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import type { PocketRequest } from "../http.ts";
import { Refusal } from "./answer.ts";
import { etagOf } from "./resource.ts";
import type { StoredObject } from "./state.ts";
import { customerKey } from "./upload.ts";

export async function download(object: StoredObject, { headers }: PocketRequest, response: ServerResponse) {
  const { bytes, set } = object;
  if (customerKey(headers) !== object.customerKeySha256) {
    const reason = "resourceIsEncryptedWithCustomerEncryptionKey";
    throw new Refusal(400, reason, "The target object is encrypted by a customer-supplied encryption key.");
  }
  const packed = set.contentEncoding === "gzip";
  if (packed && !/\bgzip\b/.test(headers["accept-encoding"] ?? "")) {
    // Decompressive transcoding: no length and no range, and the hash is still that of the stored bytes.
    const { "content-encoding": _, ...rest } = headOf(object);
    response.writeHead(200, { ...rest, warning: "214 UploadServer gunzipped" });
    await pipeline(Readable.from(bytes.chunks), createGunzip(), response);
    return;
  }
  const range = rangeOf(headers, bytes.sizeBytes);
  const length = range.end - range.start;
  const partial = range.asked ? { "content-range": `bytes ${range.start}-${range.end - 1}/${bytes.sizeBytes}` } : {};
  response.writeHead(range.asked ? 206 : 200, { ...headOf(object), ...partial, "content-length": length });
  await pour(bytes.chunks, range.start, range.end, response);
}

function headOf(object: StoredObject): Record<string, string | number> {
  const { bytes, set } = object;
  const head: Record<string, string | number> = {
    "content-type": set.contentType ?? "application/octet-stream",
    etag: etagOf(object),
    "last-modified": new Date(object.updated).toUTCString(),
    "x-goog-generation": object.generation,
    "x-goog-metageneration": object.metageneration,
    "x-goog-hash": `crc32c=${bytes.crc32c}${bytes.md5Hash === undefined ? "" : `,md5=${bytes.md5Hash}`}`,
    "x-goog-storage-class": set.storageClass ?? "STANDARD",
    "x-goog-stored-content-encoding": set.contentEncoding ?? "identity",
    "x-goog-stored-content-length": bytes.sizeBytes,
    ...(object.componentCount === undefined ? {} : { "x-goog-component-count": object.componentCount }),
  };
  for (const [name, value] of [
    ["content-encoding", set.contentEncoding],
    ["content-language", set.contentLanguage],
    ["content-disposition", set.contentDisposition],
    ["cache-control", set.cacheControl],
  ] as const) {
    if (value) head[name] = Buffer.from(value, "utf8").toString("latin1");
  }
  return head;
}

function rangeOf(headers: IncomingHttpHeaders, sizeBytes: number): { start: number; end: number; asked: boolean } {
  const match = /^bytes=(\d*)-(\d*)$/.exec(headers.range ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) return { start: 0, end: sizeBytes, asked: false };
  const [, from = "", to = ""] = match;
  const start = from === "" ? Math.max(sizeBytes - Number(to), 0) : Number(from);
  const end = from === "" || to === "" ? sizeBytes : Math.min(Number(to) + 1, sizeBytes);
  if (start >= end) throw new Refusal(416, "requestedRangeNotSatisfiable", "Request range not satisfiable");
  return { start, end, asked: true };
}

async function pour(chunks: readonly Buffer[], start: number, end: number, response: ServerResponse): Promise<void> {
  let at = 0;
  for (const chunk of chunks) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, chunk.length);
    at += chunk.length;
    if (from >= to) continue;
    if (response.destroyed) return;
    if (!response.write(chunk.subarray(from, to))) await drained(response);
  }
  response.end();
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off("drain", go).off("close", go);
      resolve();
    };
    response.on("drain", go).on("close", go);
  });
}
