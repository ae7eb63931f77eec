/**
 * PUT: one request up to 64 MiB, parts above. Nothing is sent of a small body before it is whole in memory with the right length
 * and checksum; of a large one nothing becomes an object before its last part was held to the same.
 */
import type { Budget } from "../../core/budget.ts";
import { crc32cText } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream, ObjectHead } from "../../core/object.ts";
import type { HttpResponse } from "../../wire/http.ts";
import { checkPut } from "../fit.ts";
import type { PutOptions, PutReceipt, StoreTraits } from "../store.ts";
import { type Bucket, pinOf, proveArrival, sendConditional } from "./condition.ts";
import type { S3Request } from "./connection.ts";
import { atRestOf, attributeHeaders, fullCrc32cOf, isMd5, serverKeyHeaders, unquoted, versionOf } from "./head.ts";
import { Multipart } from "./multipart.ts";
import { partsOf } from "../parts.ts";
import { checkStanding, writtenHead } from "./written.ts";

const MIB = 1024 * 1024;
const SINGLE_BYTES_MAX = 64 * MIB;
const PART_BYTES = 16 * MIB;
const PARTS_MAX = 10_000; // Amazon S3 User Guide, "Multipart upload limits"

export interface WritingOptions extends Bucket {
  readonly traits: StoreTraits;
  readonly buffer: Budget;
  readonly partBytes?: number | undefined;
}

export class Writing {
  readonly #options: WritingOptions;

  constructor(options: WritingOptions) {
    this.#options = options;
  }

  async put(key: string, body: ByteStream, options: PutOptions): Promise<PutReceipt> {
    checkPut(this.#options.traits, key, options);
    const headers = { ...attributeHeaders(key, options.attributes), ...serverKeyHeaders(options.serverKeyName) };
    const single = Math.min(this.#options.partBytes ?? SINGLE_BYTES_MAX, this.#options.buffer.limit);
    if (options.sizeBytes > single) return this.#putParts(key, body, headers, options);
    // If-Match knows only the ETag, and new metadata under the same bytes leaves that as it was.
    if (pinOf(options.condition)?.version !== undefined) await checkStanding(this.#options, key, options);
    return this.#putWhole(key, body, headers, options);
  }

  async #putWhole(
    key: string,
    body: ByteStream,
    headers: Record<string, string>,
    options: PutOptions,
  ): Promise<PutReceipt> {
    const { buffer, connection } = this.#options;
    for await (const part of partsOf(key, body, options, Math.max(options.sizeBytes, 1), buffer)) {
      try {
        const request: S3Request = {
          method: "PUT",
          key,
          headers: { ...headers, "x-amz-checksum-crc32c": crc32cText(part.crc32c) },
          body: part.pieces,
          signal: options.signal,
        };
        const response = await sendConditional(this.#options, request, key, options.condition);
        await response.dismiss();
        proveArrival(key, part, response);
        return { head: await this.#headAfter(key, response, options), crc32c: part.crc32c };
      } finally {
        part.release();
      }
    }
    throw new SealiftError("INTERNAL", `${connection.name}: a body without parts`, { object: key });
  }

  /** What was written, from the answer and from what was sent; S3 is asked again only where the answer left something open. */
  async #headAfter(key: string, response: HttpResponse, options: PutOptions): Promise<ObjectHead> {
    const { headers } = response;
    const atRest = atRestOf(headers);
    const etag = unquoted(headers["etag"] ?? "");
    // By the server's own clock it is not older than this.
    const dateMs = Date.parse(headers["date"] ?? "");
    const elsewhere = options.serverKeyName !== undefined && atRest.mode !== "SSE-KMS";
    if (etag === "" || elsewhere || Number.isNaN(dateMs)) return writtenHead(this.#options, key, etag, options);
    const version = versionOf(headers);
    const crc = fullCrc32cOf(headers);
    return {
      key,
      sizeBytes: options.sizeBytes,
      ...(version === undefined ? {} : { version }),
      etag,
      lastModifiedMs: dateMs,
      ...(crc === undefined ? {} : { crc32c: crc }),
      ...(isMd5(etag, atRest) ? { md5: etag } : {}),
      atRest,
      attributes: options.attributes,
    };
  }

  async #putParts(
    key: string,
    body: ByteStream,
    headers: Record<string, string>,
    options: PutOptions,
  ): Promise<PutReceipt> {
    await checkStanding(this.#options, key, options);
    const multipart = new Multipart(this.#options, key, options);
    await multipart.create(headers);
    try {
      const crc = await multipart.send(partsOf(key, body, options, this.#partBytes(options), this.#options.buffer));
      await checkStanding(this.#options, key, options);
      const etag = await multipart.complete(crc);
      return { head: await writtenHead(this.#options, key, etag, options, crc), crc32c: crc };
    } catch (error) {
      await multipart.abort();
      throw error;
    }
  }

  #partBytes({ sizeBytes }: PutOptions): number {
    const least = Math.ceil(sizeBytes / PARTS_MAX / MIB) * MIB;
    return this.#options.partBytes ?? Math.max(PART_BYTES, least);
  }
}
