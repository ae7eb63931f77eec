/** One resumable upload ("Resumable uploads", JSON API documentation). */
import { SealiftError } from "../../core/error.ts";
import type { HttpResponse } from "../../wire/http.ts";
import type { PutOptions } from "../store.ts";
import type { GcsApi, Query } from "./api.ts";
import { fault } from "./fault.ts";

/** Answers in a row that persist nothing. */
const STANDSTILLS_MAX = 5;

export class Session {
  readonly #api: GcsApi;
  readonly #path: string;
  readonly #key: string;
  readonly #options: PutOptions;
  /** Bytes that the service has said it keeps. */
  #persistedBytes = 0;

  private constructor(api: GcsApi, path: string, key: string, options: PutOptions) {
    this.#api = api;
    this.#path = path;
    this.#key = key;
    this.#options = options;
  }

  static async start(api: GcsApi, key: string, resource: string, options: PutOptions, query: Query): Promise<Session> {
    const { sizeBytes, condition, attributes, signal } = options;
    const type = attributes.contentType;
    const headers = {
      "content-type": "application/json; charset=UTF-8",
      "x-upload-content-length": String(sizeBytes),
      ...(type !== undefined && /^[\x20-\x7e]+$/.test(type) ? { "x-upload-content-type": type } : {}),
    };
    const path = api.upload({ ...query, uploadType: "resumable" });
    const response = await api.send({ method: "POST", path, headers, body: resource, key, signal });
    if (response.status !== 200 && response.status !== 201) {
      const error = await fault(response, { bucket: api.bucket, key, condition });
      if (error.code !== "STORE_NOT_FOUND") throw error;
      throw new SealiftError("PREFLIGHT_ACCESS", error.message, { object: key });
    }
    await response.dismiss();
    return new Session(api, pathOf(response, key), key, options);
  }

  /** A chunk that is not the last: until all of it is persisted. The service may keep less than it was sent. */
  async send(chunk: Uint8Array): Promise<void> {
    const rest = await this.#persist(chunk, this.#persistedBytes + chunk.length, {});
    if (rest === undefined) return;
    await rest.dismiss();
    throw this.#broken("finished the upload before its last chunk");
  }

  /** The last chunk, with the checksum of everything (that the header is honoured here is unverified on the live service). */
  async finish(chunk: Uint8Array, crc32c: string): Promise<HttpResponse> {
    const answer = await this.#persist(chunk, this.#options.sizeBytes, { "x-goog-hash": `crc32c=${crc32c}` });
    if (answer === undefined) throw this.#broken("took the last chunk and did not finish");
    return answer;
  }

  /** undefined: persisted up to `end`, and the session goes on. A response: it has ended, well or not. */
  async #persist(chunk: Uint8Array, end: number, extra: Record<string, string>): Promise<HttpResponse | undefined> {
    const start = end - chunk.length;
    const { sizeBytes, signal } = this.#options;
    for (let standstills = 0; standstills < STANDSTILLS_MAX; ) {
      const from = this.#persistedBytes;
      const range = from === end ? `bytes */${sizeBytes}` : `bytes ${from}-${end - 1}/${sizeBytes}`;
      const headers = { "content-range": range, ...extra };
      const body = chunk.subarray(from - start);
      const response = await this.#api.send({ method: "PUT", path: this.#path, headers, body, key: this.#key, signal });
      if (response.status !== 308) return this.#ended(response);
      await response.dismiss();
      this.#persistedBytes = this.#persistedOf(response, from, end);
      if (this.#persistedBytes === end && end < sizeBytes) return undefined;
      standstills = this.#persistedBytes > from ? 0 : standstills + 1;
    }
    throw this.#broken(`stands still at byte ${this.#persistedBytes}`);
  }

  /** Without a Range header nothing is persisted yet. */
  #persistedOf({ headers }: HttpResponse, from: number, end: number): number {
    const match = /^bytes=0-(\d+)$/.exec(headers["range"] ?? "");
    const persisted = match === null ? 0 : Number(match[1]) + 1;
    if (headers["range"] !== undefined && match === null)
      throw this.#broken("answered with a Range that cannot be read");
    if (persisted < from || persisted > end) throw this.#broken(`went from byte ${from} to byte ${persisted}`);
    return persisted;
  }

  async #ended(response: HttpResponse): Promise<HttpResponse> {
    if (response.status === 200 || response.status === 201) return response;
    const { condition } = this.#options;
    throw await fault(response, { bucket: this.#api.bucket, key: this.#key, condition });
  }

  #broken(what: string): SealiftError {
    return new SealiftError("PROVIDER_ERROR", `the upload session ${what}`, { object: this.#key });
  }

  /** With a signal of its own: the put's may be the reason. What cannot be cancelled now expires after a week. */
  async cancel(): Promise<void> {
    try {
      const signal = AbortSignal.timeout(10_000);
      const response = await this.#api.send({ method: "DELETE", path: this.#path, headers: {}, signal });
      await response.dismiss(); // 499: cancelled
    } catch {
      // the put fails with its own error
    }
  }
}

/** Only the path is taken from Location, so that neither tokens nor bytes follow it to another host. */
function pathOf({ headers }: HttpResponse, key: string): string {
  const location = headers["location"] ?? "";
  if (URL.canParse(location)) {
    const { pathname, search } = new URL(location);
    if (pathname.startsWith("/") && search.includes("upload_id=")) return pathname + search;
  }
  throw new SealiftError("PROVIDER_ERROR", "an upload session began without a Location", { object: key });
}
