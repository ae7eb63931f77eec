/**
 * The two ways into Cloud Storage. Up to a limit the body is collected and goes out as one multipart/related request; above it a
 * resumable session takes it in chunks. Either way nothing is visible before the service has the last byte and the CRC32C that
 * was computed here.
 */
import { randomBytes } from "node:crypto";
import type { Budget } from "../../core/budget.ts";
import { crc32c, crc32cText } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream } from "../../core/object.ts";
import { giveBack } from "../../wire/buffers.ts";
import type { HttpResponse } from "../../wire/http.ts";
import { changed, checksum, cut } from "../fit.ts";
import { partsOf } from "../parts.ts";
import type { PutOptions, PutReceipt } from "../store.ts";
import type { GcsApi } from "./api.ts";
import { fault } from "./fault.ts";
import { readHead } from "./read.ts";
import { type GcsHead, resourceOf } from "./resource.ts";
import { Session } from "./session.ts";

export interface Upload {
  readonly api: GcsApi;
  readonly buffer: Budget;
  readonly chunkBytes: number;
}

/** Bodies of up to so many chunks go out in one request. */
const SINGLE_CHUNKS = 4;

export async function putObject(
  upload: Upload,
  key: string,
  body: ByteStream,
  options: PutOptions,
): Promise<PutReceipt> {
  const generation = await generationOf(upload.api, key, options);
  const query = { name: key, ifGenerationMatch: generation, kmsKeyName: options.serverKeyName };
  const put = options.sizeBytes <= upload.chunkBytes * SINGLE_CHUNKS ? putSingle : putResumable;
  const { head, crc } = await put(upload, key, body, options, query);
  if (head.sizeBytes === options.sizeBytes && head.crc32c === crc) return { head, crc32c: crc };
  throw await withdrawn(upload.api, head);
}

/** Where it is not known what became of the removal, it may still come to pass: nothing is built on what stands there meanwhile. */
async function withdrawn(api: GcsApi, head: GcsHead): Promise<SealiftError> {
  const lie = "the service states another size or CRC32C than was sent; what it made";
  try {
    await api.withdraw(head);
    return checksum(head.key, `${lie} is removed again`);
  } catch (cause) {
    const message = `${lie} could not be removed (${String(cause)})`;
    return new SealiftError("STORE_CHECKSUM", message, { object: head.key, cause, retry: "never" });
  }
}

/** The JSON API compares generations, so a pin by ETag alone is looked up first. */
export async function generationOf(
  api: GcsApi,
  key: string,
  { condition, signal }: Pick<PutOptions, "condition" | "signal">,
): Promise<string | undefined> {
  if (condition === "any") return undefined;
  if (condition === "absent") return "0";
  if (condition.version !== undefined) return condition.version;
  const head = await readHead(api, key, undefined, signal);
  if (head?.etag !== condition.etag) throw changed(key);
  return head.version;
}

export type UploadQuery = Readonly<Record<string, string | undefined>>;

interface Made {
  readonly head: GcsHead;
  readonly crc: number;
}

async function putSingle(
  { api, buffer }: Upload,
  key: string,
  body: ByteStream,
  options: PutOptions,
  query: UploadQuery,
): Promise<Made> {
  const boundary = `sealift-${randomBytes(18).toString("hex")}`;
  const part = (type: string) => `--${boundary}\r\nContent-Type: ${type}\r\n\r\n`;
  const headers = { "content-type": `multipart/related; boundary=${boundary}` };
  const path = api.upload({ ...query, uploadType: "multipart" });
  const { sizeBytes, attributes, signal, condition } = options;
  for await (const whole of partsOf(key, body, options, Math.max(sizeBytes, 1), buffer)) {
    try {
      const resource = `${part("application/json; charset=UTF-8")}${resourceOf(key, attributes, whole.crc32c)}\r\n`;
      const start = Buffer.from(resource + part(mediaType(options)));
      const end = Buffer.from(`\r\n--${boundary}--\r\n`);
      const request = [start, ...whole.pieces, end];
      const response = await api.send({ method: "POST", path, headers, body: request, key, signal });
      return { head: await made(api, response, key, condition), crc: whole.crc32c };
    } finally {
      whole.release();
    }
  }
  throw new SealiftError("INTERNAL", "a body without parts", { object: key });
}

/** Repeated in the resource; without either the service would set one of its own. */
const mediaType = ({ attributes }: PutOptions): string =>
  /^[\x20-\x7e]+$/.test(attributes.contentType ?? "") ? (attributes.contentType ?? "") : "application/octet-stream";

async function made(
  api: GcsApi,
  response: HttpResponse,
  key: string,
  condition: PutOptions["condition"],
): Promise<GcsHead> {
  if (response.status === 200 || response.status === 201) return api.resource(response, key);
  const error = await fault(response, { bucket: api.bucket, key, condition });
  if (error.code !== "STORE_NOT_FOUND") throw error;
  throw new SealiftError("PREFLIGHT_ACCESS", error.message, { object: key });
}

async function putResumable(
  { api, buffer, chunkBytes }: Upload,
  key: string,
  body: ByteStream,
  options: PutOptions,
  query: UploadQuery,
): Promise<Made> {
  const resource = resourceOf(key, options.attributes, options.crc32c);
  const release = await buffer.take(chunkBytes, options.signal);
  let session: Session | undefined;
  try {
    session = await Session.start(api, key, resource, options, query);
    let crc = 0;
    for await (const { bytes, last } of chunks(Buffer.allocUnsafe(chunkBytes), key, body, options)) {
      crc = crc32c(bytes, crc);
      if (!last) {
        await session.send(bytes);
        continue;
      }
      announced(key, options, crc);
      const answer = await session.finish(bytes, crc32cText(crc));
      return { head: await made(api, answer, key, options.condition), crc };
    }
    throw new SealiftError("INTERNAL", "a body ended without its last chunk", { object: key });
  } catch (error) {
    await session?.cancel();
    throw error;
  } finally {
    release();
  }
}

function announced(key: string, { crc32c: sum }: PutOptions, crc: number): void {
  if (sum !== undefined && sum !== crc) throw checksum(key, "the body differs from the CRC32C announced for it");
}

/**
 * The body in fillings of one buffer, each valid until the next is asked for. The last one is given only when the body has ended
 * at its announced length, so that a body that is cut, too long or broken is never finished.
 */
async function* chunks(
  buffer: Buffer,
  key: string,
  body: ByteStream,
  { sizeBytes, signal }: PutOptions,
): AsyncGenerator<{ readonly bytes: Buffer; readonly last: boolean }, void> {
  let total = 0;
  let filled = 0;
  for await (const piece of body) {
    signal.throwIfAborted();
    total += piece.length;
    if (total > sizeBytes) break;
    for (let at = 0; at < piece.length; ) {
      if (filled === buffer.length) {
        yield { bytes: buffer, last: false };
        filled = 0;
      }
      const some = piece.subarray(at, at + buffer.length - filled);
      buffer.set(some, filled);
      filled += some.length;
      at += some.length;
    }
    giveBack(piece);
  }
  signal.throwIfAborted();
  if (total !== sizeBytes) throw cut(key, total, sizeBytes);
  yield { bytes: buffer.subarray(0, filled), last: true };
}
