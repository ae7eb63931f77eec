/** HEAD and GET: the head, and the bytes counted and checked as they pass. */
import { crc32cInPassing } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream, ObjectHead, VersionPin } from "../../core/object.ts";
import type { HttpResponse } from "../../wire/http.ts";
import { changed, checksum, cut, notFound } from "../fit.ts";
import type { OpenObject, OpenOptions } from "../store.ts";
import type { Connection, S3Request } from "./connection.ts";
import { type CustomerKeys, mayNeedKey, needsKey } from "./customer.ts";
import { headOf } from "./head.ts";
import type { Refusal } from "./refusal.ts";

type Asked = { readonly response: HttpResponse } | { readonly refusal: Refusal };
type ObjectRequest = S3Request & { readonly key: string };
type Range = NonNullable<OpenOptions["range"]>;

/** Amazon S3 API Reference, GetObject: without it S3 keeps its checksums to itself. */
const STATE_CHECKSUMS = { "x-amz-checksum-mode": "ENABLED" };

export class Reading {
  readonly #connection: Connection;
  readonly #keys: CustomerKeys;

  constructor(connection: Connection, keys: CustomerKeys) {
    this.#connection = connection;
    this.#keys = keys;
  }

  /** A HEAD does not say whether the object or the whole bucket is missing; listing the bucket does. */
  async head(key: string, signal: AbortSignal, pin?: VersionPin): Promise<ObjectHead | undefined> {
    const { headers, query } = pinned(pin);
    const asked = await this.#ask({
      method: "HEAD",
      key,
      query,
      headers: { ...STATE_CHECKSUMS, ...headers },
      signal,
    });
    if ("response" in asked) {
      await asked.response.dismiss();
      return checkPinned(headOf(key, asked.response.headers, this.#length(key, asked.response)), pin);
    }
    if (asked.refusal.status === 404) return undefined;
    throw this.#error(asked.refusal, "HEAD", key);
  }

  async open(key: string, { ifVersion, range, signal }: OpenOptions): Promise<OpenObject> {
    if (range !== undefined && range.end <= range.start) return this.#nothing(key, signal, ifVersion);
    const { headers, query } = pinned(ifVersion);
    // With a range S3 may state the checksum of that part alone: it is not asked for one.
    const wanted = range === undefined ? STATE_CHECKSUMS : { range: `bytes=${range.start}-${range.end - 1}` };
    const asked = await this.#ask({ method: "GET", key, query, headers: { ...headers, ...wanted }, signal });
    if ("refusal" in asked) {
      if (asked.refusal.status === 416 && range !== undefined) return this.#nothing(key, signal, ifVersion, range);
      throw this.#error(asked.refusal, "GET", key);
    }
    const { response } = asked;
    try {
      const { sizeBytes, bodyBytes } = this.#extent(key, response, range);
      const head = checkPinned(headOf(key, response.headers, sizeBytes), ifVersion);
      const crc = range === undefined ? head.crc32c : undefined;
      return { head, body: exactly(key, response.body, bodyBytes, crc), cancel: () => response.dismiss() };
    } catch (error) {
      await response.dismiss();
      throw error;
    }
  }

  /** The head with no bytes: the range is empty, or begins behind the object's end. */
  async #nothing(key: string, signal: AbortSignal, pin?: VersionPin, range?: Range): Promise<OpenObject> {
    const head = await this.head(key, signal, pin);
    if (head === undefined) throw notFound(key);
    if (range !== undefined && range.start < head.sizeBytes) throw this.#unexpected(key, "a range within it refused");
    return { head, body: none(), cancel: async () => {} };
  }

  /** Tries the customer keys where the answer hints at one. */
  async #ask(request: ObjectRequest): Promise<Asked> {
    const response = await this.#connection.send(request);
    if (response.status < 300) return { response };
    const refusal = await this.#explained(request, await this.#connection.refusal(response));
    if (!mayNeedKey(refusal)) return { refusal };
    for (const headers of this.#keys.inOrder()) {
      const again = await this.#connection.send({ ...request, headers: { ...request.headers, ...headers } });
      if (again.status < 300) {
        this.#keys.opened(headers);
        return { response: again };
      }
      const said = await this.#connection.refusal(again);
      if (said.status !== 400 && said.status !== 403) return { refusal: said };
    }
    return { refusal };
  }

  /** A HEAD that is refused has no body to say why (expired credentials, a missing key, another Region): the GET has. */
  async #explained(request: ObjectRequest, refusal: Refusal): Promise<Refusal> {
    if (request.method !== "HEAD" || ![400, 401, 403].includes(refusal.status)) return refusal;
    const response = await this.#connection.send({ ...request, method: "GET" });
    if (response.status >= 300) return this.#connection.refusal(response);
    await response.dismiss();
    return refusal;
  }

  /** The object's size and that of this body, which must be what was asked for and nothing else. */
  #extent(key: string, response: HttpResponse, range: Range | undefined): { sizeBytes: number; bodyBytes: number } {
    const bodyBytes = this.#length(key, response);
    if (range === undefined) {
      if (response.status !== 200) throw this.#unexpected(key, `status ${response.status} for the whole object`);
      return { sizeBytes: bodyBytes, bodyBytes };
    }
    const stated = response.headers["content-range"] ?? "";
    const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(stated) ?? [];
    const sizeBytes = Number(size);
    const end = Math.min(range.end, sizeBytes);
    const asAsked = Number(first) === range.start && Number(last) === end - 1 && bodyBytes === end - range.start;
    if (response.status === 206 && asAsked) return { sizeBytes, bodyBytes };
    throw this.#unexpected(key, `status ${response.status} and Content-Range ${JSON.stringify(stated)} for a range`);
  }

  #length(key: string, response: HttpResponse): number {
    const stated = response.headers["content-length"] ?? "";
    if (/^\d{1,15}$/.test(stated)) return Number(stated);
    throw this.#unexpected(key, "no Content-Length");
  }

  #unexpected(key: string, what: string): SealiftError {
    return new SealiftError("PROVIDER_ERROR", `${this.#connection.name} answered with ${what}`, { object: key });
  }

  #error(refusal: Refusal, method: string, key: string): SealiftError {
    if (refusal.status === 412) return changed(key);
    // GET of a version that is a delete marker (Amazon S3 User Guide, "Working with delete markers").
    if (refusal.status === 405 && refusal.code === "MethodNotAllowed") return notFound(key);
    if (needsKey(refusal)) {
      return new SealiftError("STORE_KEY_NEEDED", "none of the customer keys at hand opens it", { object: key });
    }
    return this.#connection.error(refusal, method, key);
  }
}

function pinned(pin: VersionPin | undefined): { headers: Record<string, string>; query: Record<string, string> } {
  if (pin === undefined) return { headers: {}, query: {} };
  return {
    headers: { "if-match": `"${pin.etag}"` },
    query: pin.version === undefined ? {} : { versionId: pin.version },
  };
}

/** Servers exist that ignore If-Match. */
function checkPinned(head: ObjectHead, pin: VersionPin | undefined): ObjectHead {
  if (pin === undefined || (head.etag === pin.etag && (pin.version ?? head.version) === head.version)) return head;
  throw changed(head.key);
}

async function* exactly(key: string, body: ByteStream, sizeBytes: number, crc: number | undefined): ByteStream {
  let actualBytes = 0;
  let sum = 0;
  try {
    for await (const chunk of body) {
      actualBytes += chunk.length;
      if (actualBytes > sizeBytes) break;
      if (crc !== undefined) sum = crc32cInPassing(chunk, sum);
      yield chunk;
    }
  } catch (error) {
    if (!(error instanceof SealiftError) || error.code !== "NET_UNREACHABLE") throw error;
    const message = `the connection was lost after ${actualBytes} of ${sizeBytes} bytes`;
    throw new SealiftError("STORE_CUT", message, { object: key, cause: error });
  }
  if (actualBytes !== sizeBytes) throw cut(key, actualBytes, sizeBytes);
  if (crc !== undefined && sum !== crc) throw checksum(key, "the bytes differ from the CRC32C that S3 states");
}

async function* none(): ByteStream {}
