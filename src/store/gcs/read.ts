/** Head and bytes of one generation. */
import { crc32cInPassing, parseCrc32c } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream } from "../../core/object.ts";
import type { HttpResponse } from "../../wire/http.ts";
import { changed, checksum, cut, matchesPin, notFound } from "../fit.ts";
import type { OpenObject, OpenOptions } from "../store.ts";
import type { GcsApi } from "./api.ts";
import { absence, fault } from "./fault.ts";
import { FIELDS, type GcsHead } from "./resource.ts";

/** undefined: there is no such object. With `version`, STORE_CHANGED where another generation is live. */
export async function readHead(
  api: GcsApi,
  key: string,
  version: string | undefined,
  signal: AbortSignal,
): Promise<GcsHead | undefined> {
  const path = api.object(key, { ifGenerationMatch: version, fields: FIELDS });
  const response = await api.send({ method: "GET", path, key, signal });
  if (response.status === 200) return api.resource(response, key);
  const error = await absence(response, { bucket: api.bucket, key });
  if (error !== undefined) throw error;
  return undefined;
}

/**
 * The media answer has no custom metadata and the metadata answer has no bytes, so two requests are needed; both are held to one
 * generation. With a pinned generation they run side by side.
 */
export async function openObject(api: GcsApi, key: string, options: OpenOptions): Promise<OpenObject> {
  const { ifVersion, range, signal } = options;
  if (ifVersion?.version !== undefined) return openPinned(api, key, ifVersion.version, options);
  const head = await readHead(api, key, undefined, signal);
  if (head === undefined) throw notFound(key);
  if (ifVersion !== undefined && !matchesPin(ifVersion, head)) throw changed(key);
  readable(head);
  const span = spanOf(head, range);
  if (span.start >= span.end) return empty(head);
  try {
    return await streamed(await media(api, key, head.version, options), api, head, options);
  } catch (error) {
    // Replaced between our two requests: the caller had no pin, so a new try reads the new object.
    if (!(error instanceof SealiftError) || error.code !== "STORE_CHANGED") throw error;
    throw new SealiftError("STORE_CHANGED", error.message, { object: key, retry: "later" });
  }
}

async function openPinned(api: GcsApi, key: string, version: string, options: OpenOptions): Promise<OpenObject> {
  const [headed, bytes] = await Promise.allSettled([
    readHead(api, key, version, options.signal),
    media(api, key, version, options),
  ]);
  try {
    if (headed.status === "rejected") throw headed.reason;
    const head = headed.value;
    if (head === undefined) throw notFound(key);
    readable(head);
    const span = spanOf(head, options.range);
    if (bytes.status === "rejected") throw bytes.reason;
    if (span.start < span.end) return await streamed(bytes.value, api, head, options);
    await bytes.value.dismiss();
    return empty(head);
  } catch (error) {
    if (bytes.status === "fulfilled") await bytes.value.dismiss();
    throw error;
  }
}

function readable({ key, atRest }: GcsHead): void {
  if (atRest.mode !== "CSEK") return;
  throw new SealiftError("STORE_KEY_NEEDED", "the object is under a customer-supplied key", { object: key });
}

const empty = (head: GcsHead): OpenObject => ({ head, body: nothing(), cancel: async () => {} });
async function* nothing(): ByteStream {}

const spanOf = ({ sizeBytes }: GcsHead, range: OpenOptions["range"]) => ({
  start: Math.min(range?.start ?? 0, sizeBytes),
  end: Math.min(range?.end ?? sizeBytes, sizeBytes),
});

function media(api: GcsApi, key: string, version: string, { range, signal }: OpenOptions): Promise<HttpResponse> {
  const path = api.object(key, { alt: "media", ifGenerationMatch: version });
  // Without gzip here, objects with Content-Encoding gzip would come unpacked ("Transcoding of gzip-compressed files").
  const headers: Record<string, string> = { "accept-encoding": "gzip" };
  if (range !== undefined) headers["range"] = `bytes=${range.start}-${range.end - 1}`;
  return api.send({ method: "GET", path, headers, key, signal });
}

async function streamed(
  response: HttpResponse,
  api: GcsApi,
  head: GcsHead,
  { range, signal }: OpenOptions,
): Promise<OpenObject> {
  const { key } = head;
  if (response.status !== 200 && response.status !== 206) {
    throw await fault(response, { bucket: api.bucket, key });
  }
  const span = spanOf(head, range);
  const whole = span.start === 0 && span.end === head.sizeBytes;
  const odd = oddity(response, head, whole);
  if (odd !== undefined) {
    await response.dismiss();
    throw odd;
  }
  const sum = whole ? head.crc32c : undefined;
  return { head, body: checked(response, key, span.end - span.start, sum, signal), cancel: () => response.dismiss() };
}

/** Answers that are not the stored bytes of this generation. */
function oddity({ status, headers }: HttpResponse, head: GcsHead, whole: boolean): SealiftError | undefined {
  const { key } = head;
  const generation = headers["x-goog-generation"];
  if (generation !== undefined && generation !== head.version) return changed(key);
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== head.attributes.contentEncoding) {
    return new SealiftError("PROVIDER_ERROR", `the bytes came re-encoded (${encoding})`, { object: key });
  }
  if (!whole && status !== 206) return new SealiftError("PROVIDER_ERROR", "the range was ignored", { object: key });
  const stated = parseCrc32c(/(?:^|[ ,])crc32c=([^, ]+)/.exec(headers["x-goog-hash"] ?? "")?.[1]);
  if (stated === undefined || head.crc32c === undefined || stated === head.crc32c) return undefined;
  return checksum(key, "the media answer states another CRC32C than the resource");
}

async function* checked(
  response: HttpResponse,
  key: string,
  sizeBytes: number,
  sum: number | undefined,
  signal: AbortSignal,
): ByteStream {
  let actualBytes = 0;
  let crc = 0;
  try {
    for await (const chunk of response.body) {
      actualBytes += chunk.length;
      if (actualBytes > sizeBytes) break;
      if (sum !== undefined) crc = crc32cInPassing(chunk, crc);
      yield chunk;
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (!(error instanceof SealiftError)) throw error;
    if (error.code !== "NET_UNREACHABLE") throw error.about(key);
    const message = `the connection broke at ${actualBytes} of ${sizeBytes} bytes`;
    throw new SealiftError("STORE_CUT", message, { object: key, cause: error });
  }
  if (actualBytes !== sizeBytes) throw cut(key, actualBytes, sizeBytes);
  if (sum !== undefined && crc !== sum) throw checksum(key, "the bytes differ from the CRC32C of the resource");
}
