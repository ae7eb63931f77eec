/** Writes that happen only under their condition, and the proof that what arrived is what was sent. */
import { createHash } from "node:crypto";
import { SealiftError } from "../../core/error.ts";
import type { VersionPin } from "../../core/object.ts";
import type { HttpResponse } from "../../wire/http.ts";
import { changed, checksum } from "../fit.ts";
import type { PutOptions } from "../store.ts";
import type { Connection, S3Request } from "./connection.ts";
import { atRestOf, fullCrc32cOf, isMd5, unquoted } from "./head.ts";
import type { Part } from "../parts.ts";
import type { Reading } from "./reading.ts";
import type { Refusal } from "./refusal.ts";

/** One bucket, to be written to and to be asked. */
export interface Bucket {
  readonly connection: Connection;
  readonly reading: Reading;
}

export const pinOf = (condition: PutOptions["condition"]): VersionPin | undefined =>
  typeof condition === "string" ? undefined : condition;

/** Sends a write that only happens under its condition; the answer is a success or an error is thrown. */
export async function sendConditional(
  { connection, reading }: Bucket,
  request: S3Request,
  key: string,
  condition: PutOptions["condition"],
): Promise<HttpResponse> {
  const pin = pinOf(condition);
  const send = (conditional: Record<string, string>) =>
    connection.send({ ...request, headers: { ...request.headers, ...conditional } });
  const first = await send(
    pin ? { "if-match": `"${pin.etag}"` } : condition === "absent" ? { "if-none-match": "*" } : {},
  );
  if (first.status < 300) return first;
  const refusal = await connection.refusal(first);
  if (pin && refusal.status === 412 && (await reading.head(key, request.signal))?.etag === pin.etag) {
    // Ceph compares If-Match with an ETag without quotes. Sent so, the condition is as binding as it was.
    const second = await send({ "if-match": pin.etag });
    if (second.status < 300) return second;
    throw refusedWrite(connection, await connection.refusal(second), request, key, condition);
  }
  throw refusedWrite(connection, refusal, request, key, condition);
}

/** Complete can fail after its status was sent, and then says so in words only. */
export function refusedWrite(
  connection: Connection,
  refusal: Refusal,
  { method }: S3Request,
  key: string,
  condition: PutOptions["condition"],
): SealiftError {
  const failed = refusal.status === 412 || refusal.code === "PreconditionFailed";
  if (failed && condition === "absent") {
    return new SealiftError("STORE_EXISTS", "an object stands there already", { object: key });
  }
  const gone = refusal.status === 404 && (refusal.code === "NoSuchKey" || refusal.code === "");
  if (typeof condition !== "string" && (failed || gone)) return changed(key);
  return connection.error(refusal, method, key);
}

/** Compares what S3 says it received with what was sent: its CRC32C, or, from servers that state none, an ETag that is an MD5. */
export function proveArrival(key: string, part: Part, { headers }: HttpResponse): void {
  const stated = fullCrc32cOf(headers);
  if (stated !== undefined) {
    if (stated === part.crc32c) return;
    throw checksum(key, "S3 states another CRC32C than that of the bytes sent");
  }
  const etag = unquoted(headers["etag"] ?? "");
  if (!isMd5(etag, atRestOf(headers))) return;
  const md5 = createHash("md5");
  for (const piece of part.pieces) md5.update(piece);
  if (md5.digest("hex") === etag) return;
  throw checksum(key, "S3 states another MD5 than that of the bytes sent");
}
