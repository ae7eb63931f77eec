/**
 * One object in parts from one process (upload.ts has the requests). While it runs the operator sees nothing under the key, only an
 * entry among the bucket's multipart uploads; that entry is gone again after any failure but that of this process itself (a
 * lifecycle rule AbortIncompleteMultipartUpload clears those).
 */
import type { PutOptions } from "../store.ts";
import type { Bucket } from "./condition.ts";
import type { Part } from "../parts.ts";
import { abortUpload, completeUpload, createUpload, type SentPart, sendPart } from "./upload.ts";

const IN_FLIGHT_MAX = 2;
/** Parts grow with objects above 160 GB (10,000 parts are allowed); two of these at once are too much memory. */
const LARGE_PART_BYTES = 64 * 1024 * 1024;
const ABORT_TIMEOUT_MS = 15_000;

export class Multipart {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #put: PutOptions;
  readonly #sent: SentPart[] = [];
  #id = "";

  constructor(bucket: Bucket, key: string, put: PutOptions) {
    this.#bucket = bucket;
    this.#key = key;
    this.#put = put;
  }

  get #name() {
    return { key: this.#key, id: this.#id };
  }

  async create(headers: Readonly<Record<string, string>>): Promise<void> {
    this.#id = await createUpload(this.#bucket, this.#key, headers, this.#put.signal);
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
        const most = part.sizeBytes > LARGE_PART_BYTES ? 1 : IN_FLIGHT_MAX;
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
    this.#sent.push(await sendPart(this.#bucket, this.#name, part, signal));
  }

  /** Returns the new ETag, "" where the server does not tell. */
  complete(crc32c: number): Promise<string> {
    return completeUpload(this.#bucket, this.#name, this.#sent, { ...this.#put, crc32c });
  }

  /** With a signal of its own: the put's may be what ended it. A failure to abort hides no other error. */
  async abort(): Promise<void> {
    // The bucket's lifecycle rule is the second line.
    await abortUpload(this.#bucket, this.#name, AbortSignal.timeout(ABORT_TIMEOUT_MS)).catch(() => undefined);
  }
}
