/** GET and HEAD of an object: whole, in ranges, by part, by version, and its attributes. */
import { attributeHeaders } from "./attributes.ts";
import { atRestHeaders, keyFor } from "./atrest.ts";
import { type Bucket, type Content, isObject, type Version } from "./bucket.ts";
import { readSegments } from "./bytes.ts";
import {
  type Answer,
  type AnswerHeaders,
  bucketOf,
  type Call,
  httpDate,
  noSuchKey,
  quoted,
  versionHeaders,
  versionIdOf,
  xmlAnswer,
} from "./call.ts";
import type { Checksum } from "./checksum.ts";
import { checkRead } from "./conditions.ts";
import { S3Refusal } from "./refusal.ts";
import { document, element } from "./xml.ts";

export type Existing = Version & { content: Content };

/** The object a read speaks of; refusals name delete markers as S3 does. */
export function findObject(bucket: Bucket, key: string, versionId: string | undefined): Existing {
  const version = bucket.find(key, versionId);
  if (version && isObject(version)) return version;
  if (!version && versionId !== undefined) {
    throw new S3Refusal("NoSuchVersion", "The specified version does not exist.", {
      elements: { Key: key, VersionId: versionId },
    });
  }
  if (!version) throw noSuchKey(key);
  const headers = { "x-amz-delete-marker": "true", "x-amz-version-id": version.versionId };
  if (versionId === undefined) throw noSuchKey(key, headers);
  throw new S3Refusal("MethodNotAllowed", "The specified method is not allowed against this resource.", {
    headers: { ...headers, allow: "DELETE" },
  });
}

/** Archived bytes cannot be read before a restore, which the pocket does not offer. */
export function refuseArchived({ content }: Existing): void {
  const { storageClass } = content.attributes;
  if (storageClass !== "GLACIER" && storageClass !== "DEEP_ARCHIVE") return;
  throw new S3Refusal("InvalidObjectState", "The operation is not valid for the object's storage class", {
    elements: { StorageClass: storageClass },
  });
}

export function getObject(call: Call): Answer {
  const bucket = bucketOf(call);
  const version = findObject(bucket, call.key, versionIdOf(call.request.query));
  refuseArchived(version);
  return read(call, bucket, version);
}

export function headObject(call: Call): Answer {
  const bucket = bucketOf(call);
  const { status, headers } = read(call, bucket, findObject(bucket, call.key, versionIdOf(call.request.query)));
  return { status, headers };
}

function read(call: Call, bucket: Bucket, version: Existing): Answer {
  const { content, sizeBytes } = version;
  const key = keyFor(content.atRest, call.request.headers)?.key;
  checkRead(call.request.headers, version);
  const headers = describe(bucket, version);
  const span = spanOf(call, version, headers);
  if (call.request.headers["x-amz-checksum-mode"] === "ENABLED" && !span && content.checksum) {
    checksumHeaders(content.checksum, headers);
  }
  override(call.request.query, headers);
  const [start, end] = span ?? [0, sizeBytes];
  headers["content-length"] = end - start;
  if (span) headers["content-range"] = `bytes ${start}-${end - 1}/${sizeBytes}`;
  const chunks = readSegments(content.segments, key, start, end);
  return { status: span ? 206 : 200, headers, body: { chunks, sizeBytes: end - start } };
}

function describe(bucket: Bucket, version: Existing): AnswerHeaders {
  const { content, lastModifiedMs } = version;
  const headers: AnswerHeaders = {
    etag: quoted(content.etag),
    "last-modified": httpDate(lastModifiedMs),
    "accept-ranges": "bytes",
  };
  attributeHeaders(content.attributes, headers);
  atRestHeaders(content.atRest, headers);
  versionHeaders(bucket, version, headers);
  if (content.tags.size > 0) headers["x-amz-tagging-count"] = content.tags.size;
  return headers;
}

export function checksumHeaders({ name, text, type }: Checksum, into: AnswerHeaders): void {
  into[`x-amz-checksum-${name}`] = text;
  into["x-amz-checksum-type"] = type;
}

/** [start, end) of a range or of a part; undefined for the whole. */
function spanOf(call: Call, version: Existing, headers: AnswerHeaders): [number, number] | undefined {
  const { query } = call.request;
  const partNumber = query.size === 0 ? null : query.get("partNumber");
  const range = call.request.headers.range;
  if (partNumber === null) return range === undefined ? undefined : parseRange(range, version.sizeBytes);
  if (range !== undefined) {
    throw new S3Refusal("InvalidRequest", "Cannot specify both Range header and partNumber query parameter");
  }
  const { segments, partsCount } = version.content;
  const number = Number(partNumber);
  const segment = segments[number - 1];
  if (!segment) throw new S3Refusal("InvalidPartNumber", "The requested partnumber is not satisfiable");
  if (partsCount !== undefined) headers["x-amz-mp-parts-count"] = partsCount;
  if (segment.sizeBytes === version.sizeBytes) return undefined;
  const start = segments.slice(0, number - 1).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return [start, start + segment.sizeBytes];
}

/** One byte range (RFC 9110, section 14.1.2); what is not one is ignored. */
export function parseRange(header: string, sizeBytes: number): [number, number] | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header.trim()) ?? [];
  if (first === undefined || last === undefined || (first === "" && last === "")) return undefined;
  const start = first === "" ? Math.max(sizeBytes - Number(last), 0) : Number(first);
  const end = first === "" || last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (first !== "" && last !== "" && Number(last) < Number(first)) return undefined;
  if (start < end) return [start, end];
  throw new S3Refusal("InvalidRange", "The requested range is not satisfiable", {
    elements: { RangeRequested: header, ActualObjectSize: String(sizeBytes) },
    headers: { "content-range": `bytes */${sizeBytes}` },
  });
}

const OVERRIDES = [
  "content-type",
  "content-language",
  "expires",
  "cache-control",
  "content-disposition",
  "content-encoding",
];

function override(query: URLSearchParams, headers: AnswerHeaders): void {
  if (query.size === 0) return;
  for (const name of OVERRIDES) {
    const value = query.get(`response-${name}`);
    if (value !== null) headers[name] = value;
  }
}

export function getObjectAttributes(call: Call): Answer {
  const bucket = bucketOf(call);
  const version = findObject(bucket, call.key, versionIdOf(call.request.query));
  keyFor(version.content.atRest, call.request.headers);
  const wanted = new Set(String(call.request.headers["x-amz-object-attributes"] ?? "").split(/ *, */));
  const { checksum, partsCount, etag, attributes } = version.content;
  const parts: Record<string, string> = {
    ETag: element("ETag", etag),
    Checksum: checksum ? `<Checksum>${checksumElements(checksum)}</Checksum>` : "",
    ObjectParts: partsCount ? `<ObjectParts>${element("PartsCount", partsCount)}</ObjectParts>` : "",
    StorageClass: element("StorageClass", attributes.storageClass),
    ObjectSize: element("ObjectSize", version.sizeBytes),
  };
  const headers: AnswerHeaders = { "last-modified": httpDate(version.lastModifiedMs) };
  versionHeaders(bucket, version, headers);
  const inner = Object.entries(parts).filter(([name]) => wanted.has(name));
  return xmlAnswer(document("GetObjectAttributesResponse", inner.map(([, xml]) => xml).join("")), headers);
}

export const checksumElements = ({ name, text, type }: Checksum): string =>
  element(`Checksum${name.toUpperCase()}`, text) + element("ChecksumType", type);
