/** The requests of a multipart upload (Amazon S3 API Reference), each by the upload's name: any process can go on with one. */
import { crc32cText, parseCrc32c } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import { childText, parseXml, type XmlElement } from "../../wire/xml.ts";
import { within } from "../fit.ts";
import type { BegunUpload, HeldPart, PartRange, PutOptions } from "../store.ts";
import { type Bucket, proveArrival, refusedWrite, sendConditional } from "./condition.ts";
import type { Connection, S3Request } from "./connection.ts";
import { unquoted } from "./head.ts";
import { decodedKey } from "./listing.ts";
import type { Part } from "../parts.ts";
import { parseRefusal } from "./refusal.ts";

const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";
/** 10,000 parts in pages of 1,000; a server that pages on for ever is not followed. */
const PAGES_MAX = 10_000;

export interface UploadName {
  readonly key: string;
  readonly id: string;
}

/** A part as Complete names it. */
export interface SentPart {
  readonly number: number;
  readonly etag: string;
  readonly crc32c: number;
}

export async function createUpload(
  { connection }: Bucket,
  key: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string> {
  const checksum = { "x-amz-checksum-algorithm": "CRC32C", "x-amz-checksum-type": "FULL_OBJECT" };
  const response = await connection.send({
    method: "POST",
    key,
    query: { uploads: "" },
    headers: { ...headers, ...checksum },
    signal,
  });
  if (response.status !== 200) throw connection.error(await connection.refusal(response), "POST", key);
  const id = childText(parseXml(await response.text()), "UploadId") ?? "";
  if (id === "") throw strange(connection, key, "a multipart upload without a name");
  return id;
}

export async function sendPart(
  { connection }: Bucket,
  { key, id }: UploadName,
  part: Part,
  signal: AbortSignal,
): Promise<SentPart> {
  const response = await connection.send({
    method: "PUT",
    key,
    query: { partNumber: String(part.number), uploadId: id },
    headers: { "x-amz-checksum-crc32c": crc32cText(part.crc32c) },
    body: part.pieces,
    signal,
  });
  if (response.status !== 200) throw connection.error(await connection.refusal(response), "PUT", key);
  await response.dismiss();
  proveArrival(key, part, response);
  const etag = unquoted(response.headers["etag"] ?? "");
  if (etag === "") throw strange(connection, key, "a part without ETag");
  return { number: part.number, etag, crc32c: part.crc32c };
}

/** Returns the new ETag, "" where the server does not tell. */
export async function completeUpload(
  bucket: Bucket,
  { key, id }: UploadName,
  parts: readonly SentPart[],
  { sizeBytes, crc32c, condition, signal }: Pick<PutOptions, "sizeBytes" | "condition" | "signal"> & { crc32c: number },
): Promise<string> {
  const rows = parts.toSorted((a, b) => a.number - b.number).map(rowOf);
  const request: S3Request = {
    method: "POST",
    key,
    query: { uploadId: id },
    headers: {
      "content-type": "application/xml",
      "x-amz-checksum-crc32c": crc32cText(crc32c),
      "x-amz-checksum-type": "FULL_OBJECT",
      "x-amz-mp-object-size": String(sizeBytes),
    },
    body: Buffer.from(`<CompleteMultipartUpload xmlns="${NAMESPACE}">${rows.join("")}</CompleteMultipartUpload>`),
    signal,
  };
  const response = await sendConditional(bucket, request, key, condition);
  const text = await response.text();
  // The status is sent before the work is done: a failure can follow it.
  const refusal = parseRefusal(text);
  if (refusal !== undefined) {
    const said = { status: response.status, ...refusal };
    throw refusedWrite(bucket.connection, said, request, key, condition);
  }
  const root = parseXml(text);
  if (root.name !== "CompleteMultipartUploadResult") {
    throw strange(bucket.connection, key, `<${root.name}> to Complete`);
  }
  return unquoted(childText(root, "ETag") ?? "");
}

/** Absence is success. */
export async function abortUpload({ connection }: Bucket, { key, id }: UploadName, signal: AbortSignal): Promise<void> {
  const response = await connection.send({ method: "DELETE", key, query: { uploadId: id }, signal });
  if (response.status < 300) return response.dismiss();
  const refusal = await connection.refusal(response);
  if (refusal.status !== 404 || refusal.code === "NoSuchBucket") throw connection.error(refusal, "DELETE", key);
}

/** undefined: there is no such upload. */
export async function listParts(
  { connection }: Bucket,
  { key, id }: UploadName,
  signal: AbortSignal,
  only?: PartRange,
): Promise<readonly HeldPart[] | undefined> {
  const parts: HeldPart[] = [];
  let marker = String((only?.first ?? 1) - 1);
  for (let page = 0; page < PAGES_MAX; page++) {
    const query = { uploadId: id, "max-parts": "1000", "part-number-marker": marker };
    const response = await connection.send({ method: "GET", key, query, signal });
    if (response.status >= 300) {
      const refusal = await connection.refusal(response);
      // Ceph has no other word for it; a missing bucket is another matter.
      if (refusal.code === "NoSuchUpload" || refusal.code === "NoSuchKey") return undefined;
      throw connection.error(refusal, "GET", key);
    }
    const root = parseXml(await response.text());
    if (root.name !== "ListPartsResult") throw strange(connection, key, `<${root.name}> to ListParts`);
    for (const row of root.children) if (row.name === "Part") parts.push(heldOf(connection, key, row));
    const truncated = childText(root, "IsTruncated");
    const enough = only !== undefined && (parts.at(-1)?.last ?? 0) >= only.last;
    if (truncated === "false" || enough) return within(ascending(connection, key, parts), only);
    const next = childText(root, "NextPartNumberMarker") ?? "";
    if (truncated !== "true" || !(Number(next) > Number(marker))) {
      throw strange(connection, key, "a list of parts that neither ends nor goes on");
    }
    marker = next;
  }
  throw strange(connection, key, "a list of parts without an end");
}

function heldOf(connection: Connection, key: string, row: XmlElement): HeldPart {
  const number = Number(childText(row, "PartNumber"));
  const size = childText(row, "Size") ?? "";
  const tag = unquoted(childText(row, "ETag") ?? "");
  if (!Number.isInteger(number) || number < 1 || !/^\d{1,13}$/.test(size) || tag === "") {
    throw strange(connection, key, "a part that is not whole");
  }
  const crc32c = parseCrc32c(childText(row, "ChecksumCRC32C"));
  return { first: number, last: number, sizeBytes: Number(size), tag, ...(crc32c === undefined ? {} : { crc32c }) };
}

function ascending(connection: Connection, key: string, parts: HeldPart[]): HeldPart[] {
  const wrong = parts.findIndex(({ first }, index) => first <= (parts[index - 1]?.first ?? 0));
  if (wrong >= 0) throw strange(connection, key, "a list of parts that is not in order");
  return parts;
}

/** What XML 1.0 cannot hold. */
// oxlint-disable-next-line no-control-regex -- control characters are legal in S3 keys
const UNPRINTABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

/**
 * Keys that only begin like this one are among the answers, and not on every server behind it. An encoding is asked for where
 * there is no other way: Ceph encodes without saying so, and `a%20b` would be taken for `a b`, or the other way about.
 */
export async function listUploads({ connection }: Bucket, key: string, signal: AbortSignal): Promise<BegunUpload[]> {
  const found: BegunUpload[] = [];
  let marker: Record<string, string> = {};
  for (let page = 0; page < PAGES_MAX; page++) {
    const encoding: Record<string, string> = UNPRINTABLE.test(key) ? { "encoding-type": "url" } : {};
    const query = { uploads: "", prefix: key, "max-uploads": "1000", ...encoding, ...marker };
    const response = await connection.send({ method: "GET", query, signal });
    if (response.status >= 300) throw connection.error(await connection.refusal(response), "LIST", key);
    const root = parseXml(await response.text());
    if (root.name !== "ListMultipartUploadsResult") throw strange(connection, key, `<${root.name}> to a list`);
    const encoded = childText(root, "EncodingType") === "url";
    const named = (text: string) => (encoded ? decodedKey(text) : text);
    for (const row of root.children) {
      if (row.name !== "Upload" || named(childText(row, "Key") ?? "") !== key) continue;
      found.push({ id: childText(row, "UploadId") ?? "", begunMs: Date.parse(childText(row, "Initiated") ?? "") });
    }
    if (childText(root, "IsTruncated") !== "true") return found;
    const [nextKey, nextId] = [childText(root, "NextKeyMarker"), childText(root, "NextUploadIdMarker")];
    if (!nextKey || !nextId || nextId === marker["upload-id-marker"]) {
      throw strange(connection, key, "a list of uploads that neither ends nor goes on");
    }
    marker = { "key-marker": named(nextKey), "upload-id-marker": nextId };
  }
  throw strange(connection, key, "a list of uploads without an end");
}

const strange = (connection: Connection, key: string, what: string): SealiftError =>
  new SealiftError("PROVIDER_ERROR", `${connection.name} answered with ${what}`, { object: key });

const rowOf = ({ number, etag, crc32c }: SentPart): string =>
  `<Part><PartNumber>${number}</PartNumber><ETag>${escaped(`"${etag}"`)}</ETag><ChecksumCRC32C>${crc32cText(crc32c)}</ChecksumCRC32C></Part>`;

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
