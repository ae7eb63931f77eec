/** One bucket of the JSON API (storage/v1): paths, tokens and whole answers. */
import { SealiftError } from "../../core/error.ts";
import type { GoogleTokens } from "../../wire/google.ts";
import type { HttpBody, HttpClient, HttpResponse } from "../../wire/http.ts";
import { fault } from "./fault.ts";
import { FIELDS, type GcsHead, headOf } from "./resource.ts";

/** 8 KiB of metadata, each byte of it escaped, and what Google adds. */
const RESOURCE_BYTES_MAX = 128 * 1024;

export type Query = Readonly<Record<string, string | undefined>>;

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE" | "PATCH";
  /** Encoded, with its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: HttpBody;
  /** The object that a failure of the network is told of. */
  readonly key?: string | undefined;
  readonly signal: AbortSignal;
}

export class GcsApi {
  readonly bucket: string;
  readonly #http: HttpClient;
  readonly #tokens: GoogleTokens;
  readonly #userProject: string | undefined;

  constructor(bucket: string, http: HttpClient, tokens: GoogleTokens, userProject: string | undefined) {
    this.bucket = bucket;
    this.#http = http;
    this.#tokens = tokens;
    this.#userProject = userProject;
  }

  get origin(): string {
    return this.#http.origin;
  }

  objects(query: Query): string {
    return `/storage/v1/b/${encodeURIComponent(this.bucket)}/o${this.#query(query)}`;
  }

  object(key: string, query: Query): string {
    return `/storage/v1/b/${encodeURIComponent(this.bucket)}/o/${encodeURIComponent(key)}${this.#query(query)}`;
  }

  compose(key: string, query: Query): string {
    return `/storage/v1/b/${encodeURIComponent(this.bucket)}/o/${encodeURIComponent(key)}/compose${this.#query(query)}`;
  }

  upload(query: Query): string {
    return `/upload/storage/v1/b/${encodeURIComponent(this.bucket)}/o${this.#query({ ...query, fields: FIELDS })}`;
  }

  #query(query: Query): string {
    const pairs = Object.entries({ ...query, userProject: this.#userProject });
    const given = pairs.filter((pair): pair is [string, string] => pair[1] !== undefined);
    return `?${given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&")}`;
  }

  async send({ method, path, headers, body, key, signal }: ApiRequest): Promise<HttpResponse> {
    signal.throwIfAborted();
    try {
      const token = await this.#tokens.headers(signal);
      return await this.#http.send({ method, path, headers: { ...token, ...headers }, body, signal });
    } catch (error) {
      throw about(error, key);
    }
  }

  /** The object resource in a successful answer. */
  async resource(response: HttpResponse, key: string): Promise<GcsHead> {
    const text = await response.text(RESOURCE_BYTES_MAX).catch((error: unknown) => {
      throw about(error, key);
    });
    const head = headOf(parse(text));
    if (head?.key === key) return head;
    const what = head === undefined ? "no whole object resource" : `the resource of ${JSON.stringify(head.key)}`;
    throw new SealiftError("PROVIDER_ERROR", `${this.origin} answered with ${what}`, { object: key });
  }

  /** Removes what a put has just made and must not keep, and nothing else. */
  async withdraw({ key, version }: GcsHead): Promise<void> {
    const path = this.object(key, { generation: version });
    const response = await this.send({ method: "DELETE", path, key, signal: AbortSignal.timeout(30_000) });
    if (response.status === 404) return response.dismiss();
    if (response.status >= 300) throw await fault(response, { bucket: this.bucket, key });
    await response.dismiss();
  }
}

const about = (error: unknown, key: string | undefined): unknown =>
  error instanceof SealiftError && key !== undefined ? error.about(key) : error;

/** undefined: not JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
