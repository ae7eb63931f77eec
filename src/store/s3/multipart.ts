/**
 * One object in parts (Amazon S3 API Reference, CreateMultipartUpload, UploadPart, CompleteMultipartUpload). While it runs the
 * operator sees nothing under the key, only an entry among the bucket's multipart uploads; that entry is gone again after any
 * failure but that of this process itself (a lifecycle rule AbortIncompleteMultipartUpload clears those).
 */
import { crc32cText } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import { childText, parseXml } from "../../wire/xml.ts";
import type { PutOptions } from "../store.ts";
import { type Bucket, proveArrival, refusedWrite, sendConditional } from "./condition.ts";
import type { S3Request } from "./connection.ts";
import { unquoted } from "./head.ts";
import type { Part } from "./parts.ts";
import { parseRefusal } from "./refusal.ts";

const IN_FLIGHT_MAX = 2;
/** Parts grow with objects above 160 GB (10,000 parts are allowed); two of these at once are too much memory. */
const LARGE_PART_BYTES = 64 * 1024 * 1024;
const ABORT_TIMEOUT_MS = 15_000;

interface Sent {
  readonly number: number;
  readonly etag: string;
  readonly crc32c: number;
}

export class Multipart {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #put: PutOptions;
  readonly #sent: Sent[] = [];
  #uploadId = "";

  constructor(bucket: Bucket, key: string, put: PutOptions) {
    this.#bucket = bucket;
    this.#key = key;
    this.#put = put;
  }

  async create(headers: Readonly<Record<string, string>>): Promise<void> {
    const text = await this.#ask({
      method: "POST",
      key: this.#key,
      query: { uploads: "" },
      headers: { ...headers, "x-amz-checksum-algorithm": "CRC32C", "x-amz-checksum-type": "FULL_OBJECT" },
      signal: this.#put.signal,
    });
    this.#uploadId = childText(parseXml(text), "UploadId") ?? "";
    if (this.#uploadId === "") throw this.#error("a multipart upload without a name");
  }

  /** Two parts at a time; returns the CRC32C of the whole body. When it throws, nothing is under way any more. */
  async send(parts: AsyncIterable<Part>): Promise<number> {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#put.signal]);
    const active = new Set<Promise<void>>();
    let crc = 0;
    try {
      for await (const part of parts) {
        crc = part.crc32cSoFar;
        const upload = this.#sendPart(part, signal).finally(part.release);
        active.add(upload);
        // One that failed stays, so that the race or the end brings it to light however late they look.
        void upload.then(
          () => active.delete(upload),
          () => {},
        );
        const most = part.bytes.length > LARGE_PART_BYTES ? 1 : IN_FLIGHT_MAX;
        while (active.size >= most) await Promise.race(active);
      }
      await Promise.all(active);
      return crc;
    } catch (error) {
      stop.abort();
      await Promise.allSettled(active);
      throw error;
    }
  }

  async #sendPart(part: Part, signal: AbortSignal): Promise<void> {
    const { connection } = this.#bucket;
    const response = await connection.send({
      method: "PUT",
      key: this.#key,
      query: { partNumber: String(part.number), uploadId: this.#uploadId },
      headers: { "x-amz-checksum-crc32c": crc32cText(part.crc32c) },
      body: part.bytes,
      signal,
    });
    if (response.status !== 200) throw connection.error(await connection.refusal(response), "PUT", this.#key);
    await response.dismiss();
    proveArrival(this.#key, part, response);
    const etag = unquoted(response.headers["etag"] ?? "");
    if (etag === "") throw this.#error("a part without ETag");
    this.#sent.push({ number: part.number, etag, crc32c: part.crc32c });
  }

  /** Returns the new ETag, "" where the server does not tell. */
  async complete(crc: number): Promise<string> {
    const rows = this.#sent.toSorted((a, b) => a.number - b.number).map(rowOf);
    const request: S3Request = {
      method: "POST",
      key: this.#key,
      query: { uploadId: this.#uploadId },
      headers: {
        "content-type": "application/xml",
        "x-amz-checksum-crc32c": crc32cText(crc),
        "x-amz-checksum-type": "FULL_OBJECT",
        "x-amz-mp-object-size": String(this.#put.sizeBytes),
      },
      body: Buffer.from(`<CompleteMultipartUpload xmlns="${NAMESPACE}">${rows.join("")}</CompleteMultipartUpload>`),
      signal: this.#put.signal,
    };
    const response = await sendConditional(this.#bucket, request, this.#key, this.#put.condition);
    const text = await response.text();
    // The status is sent before the work is done: a failure can follow it.
    const refusal = parseRefusal(text);
    if (refusal !== undefined) {
      const said = { status: response.status, ...refusal };
      throw refusedWrite(this.#bucket.connection, said, request, this.#key, this.#put.condition);
    }
    const root = parseXml(text);
    if (root.name !== "CompleteMultipartUploadResult") throw this.#error(`<${root.name}> to Complete`);
    return unquoted(childText(root, "ETag") ?? "");
  }

  /** With a signal of its own: the put's may be what ended it. A failure to abort hides no other error. */
  async abort(): Promise<void> {
    try {
      const query = { uploadId: this.#uploadId };
      const signal = AbortSignal.timeout(ABORT_TIMEOUT_MS);
      const response = await this.#bucket.connection.send({ method: "DELETE", key: this.#key, query, signal });
      await response.dismiss();
    } catch {
      // The bucket's lifecycle rule is the second line.
    }
  }

  async #ask(request: S3Request): Promise<string> {
    const { connection } = this.#bucket;
    const response = await connection.send(request);
    if (response.status === 200) return response.text();
    throw connection.error(await connection.refusal(response), request.method, this.#key);
  }

  #error(what: string): SealiftError {
    return new SealiftError("PROVIDER_ERROR", `${this.#bucket.connection.name} answered with ${what}`, {
      object: this.#key,
    });
  }
}

const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

const rowOf = ({ number, etag, crc32c }: Sent): string =>
  `<Part><PartNumber>${number}</PartNumber><ETag>${escaped(`"${etag}"`)}</ETag><ChecksumCRC32C>${crc32cText(crc32c)}</ChecksumCRC32C></Part>`;

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
