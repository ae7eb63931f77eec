/** Multipart uploads ("Uploading and copying objects using multipart upload", Amazon S3 User Guide). */
import { createHash, randomBytes } from "node:crypto";
import { encodeListed } from "./address.ts";
import { readAttributes, readTags } from "./attributes.ts";
import { atRestHeaders, etagIsMd5, keyFor, requestedAtRest } from "./atrest.ts";
import { type Received, receive } from "./body.ts";
import { makeSegment } from "./bytes.ts";
import { type Answer, type AnswerHeaders, bucketOf, type Call, quoted, xmlAnswer } from "./call.ts";
import { type ChecksumType, parseChecksumName, startChecksum } from "./checksum.ts";
import { parseRange } from "./reading.ts";
import { S3Refusal } from "./refusal.ts";
import type { Part, Upload } from "./upload.ts";
import { copySource, opaqueEtag } from "./writing.ts";
import { document, element } from "./xml.ts";

const PARTS_MAX = 10_000;

export async function createUpload(call: Call): Promise<Answer> {
  const { headers } = call.request;
  await receive(call.request, call.signed);
  const bucket = bucketOf(call);
  const { atRest } = requestedAtRest(headers, bucket.defaultKey, call.cloud.region);
  const checksum = uploadChecksum(headers["x-amz-checksum-algorithm"], headers["x-amz-checksum-type"]);
  const upload: Upload = {
    id: randomBytes(32).toString("base64url"),
    key: call.key,
    startedMs: call.cloud.nowMs(),
    attributes: readAttributes(headers),
    tags: readTags(headers["x-amz-tagging"]),
    atRest,
    checksum,
    parts: new Map(),
  };
  bucket.uploads.set(upload.id, upload);
  const answer: AnswerHeaders = {};
  atRestHeaders(atRest, answer);
  if (checksum) {
    answer["x-amz-checksum-algorithm"] = checksum.name.toUpperCase();
    answer["x-amz-checksum-type"] = checksum.type;
  }
  const inner = element("Bucket", bucket.name) + element("Key", call.key) + element("UploadId", upload.id);
  return xmlAnswer(document("InitiateMultipartUploadResult", inner), answer);
}

type Header = string | string[] | undefined;

function uploadChecksum(algorithm: Header, type: Header): Upload["checksum"] {
  if (algorithm === undefined) {
    if (type === undefined) return undefined;
    throw invalidRequest("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.");
  }
  const name = parseChecksumName(String(algorithm));
  const chosen = type === undefined ? "COMPOSITE" : String(type).toUpperCase();
  const known = chosen === "COMPOSITE" || (chosen === "FULL_OBJECT" && name.startsWith("crc"));
  if (known) return { name, type: chosen as ChecksumType };
  throw invalidRequest(`The ${chosen} checksum type cannot be used with the ${name} checksum algorithm.`);
}

export function uploadOf(call: Call): Upload {
  const upload = bucketOf(call).uploads.get(call.request.query.get("uploadId") ?? "");
  if (upload && upload.key === call.key) return upload;
  throw new S3Refusal(
    "NoSuchUpload",
    "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
  );
}

function partNumberOf(call: Call): number {
  const number = Number(call.request.query.get("partNumber"));
  if (Number.isInteger(number) && number >= 1 && number <= PARTS_MAX) return number;
  throw new S3Refusal("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
}

export async function uploadPart(call: Call): Promise<Answer> {
  const number = partNumberOf(call);
  const { atRest, checksum } = uploadOf(call);
  const key = keyFor(atRest, call.request.headers)?.key;
  const received = await receive(call.request, call.signed, { md5: true, checksum: checksum?.name });
  refuseOtherChecksum(checksum, received.checksum);
  const part = makePart(call, number, received, key);
  uploadOf(call).parts.set(number, part); // Asked again: the upload may be gone by now.
  const answer: AnswerHeaders = { etag: quoted(part.etag) };
  atRestHeaders(atRest, answer);
  if (received.checksum?.stated) {
    answer[`x-amz-checksum-${received.checksum.name}`] = received.checksum.digest.toString("base64");
  }
  return { status: 200, headers: answer };
}

/** A composite is made of what the parts stated; a full-object checksum can be computed without them. */
function refuseOtherChecksum(wanted: Upload["checksum"], got: Received["checksum"]): void {
  if (!wanted) return;
  const missing = wanted.type === "COMPOSITE" && !got?.stated;
  if (!missing && got?.name === wanted.name) return;
  throw invalidRequest(
    `Checksum Type mismatch occurred, expected checksum Type: ${wanted.name}, actual checksum Type: ${missing ? "null" : got?.name}`,
  );
}

function makePart(call: Call, number: number, received: Received, key: Buffer | undefined): Part {
  const { chunks, sizeBytes, checksum } = received;
  const md5 = received.md5 ?? Buffer.alloc(16);
  return {
    number,
    segment: makeSegment(chunks, sizeBytes, key),
    etag: etagIsMd5(uploadOf(call).atRest) ? md5.toString("hex") : opaqueEtag(),
    md5,
    checksum,
    lastModifiedMs: call.cloud.nowMs(),
  };
}

export async function uploadPartCopy(call: Call): Promise<Answer> {
  await receive(call.request, call.signed);
  const number = partNumberOf(call);
  const upload = uploadOf(call);
  const key = keyFor(upload.atRest, call.request.headers)?.key;
  const source = copySource(call);
  const [start, end] = sourceRange(call, source.version.sizeBytes);
  const md5 = createHash("md5");
  const name = upload.checksum?.name;
  const running = name === undefined ? undefined : startChecksum(name);
  const chunks: Buffer[] = [];
  for (const chunk of source.read(start, end)) {
    md5.update(chunk);
    running?.update(chunk);
    chunks.push(chunk);
  }
  const checksum = name && running ? { name, digest: running.digest(), stated: true } : undefined;
  const part = makePart(call, number, { chunks, sizeBytes: end - start, md5: md5.digest(), checksum }, key);
  upload.parts.set(number, part);
  const answer: AnswerHeaders = {};
  atRestHeaders(upload.atRest, answer);
  if (source.bucket.versioning !== undefined) answer["x-amz-copy-source-version-id"] = source.version.versionId;
  const inner =
    element("LastModified", new Date(part.lastModifiedMs).toISOString()) +
    element("ETag", quoted(part.etag)) +
    partChecksum(part);
  return xmlAnswer(document("CopyPartResult", inner), answer);
}

function sourceRange(call: Call, sizeBytes: number): [number, number] {
  const header = call.request.headers["x-amz-copy-source-range"];
  if (header === undefined) return [0, sizeBytes];
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(String(header)) ?? [];
  if (first === undefined || Number(last) >= sizeBytes) {
    throw new S3Refusal("InvalidArgument", `Range specified is not valid for source object of size: ${sizeBytes}`);
  }
  return parseRange(String(header), sizeBytes) ?? [0, sizeBytes];
}

export function abortUpload(call: Call): Answer {
  bucketOf(call).uploads.delete(uploadOf(call).id);
  return { status: 204, headers: {} };
}

export function listParts(call: Call): Answer {
  const { query } = call.request;
  const upload = uploadOf(call);
  const marker = Number(query.get("part-number-marker") ?? 0);
  const rowsMax = Math.min(Number(query.get("max-parts") ?? 1000), 1000);
  const behind = [...upload.parts.values()].filter(({ number }) => number > marker).sort((a, b) => a.number - b.number);
  const shown = behind.slice(0, rowsMax);
  const truncated = behind.length > shown.length;
  const inner =
    element("Bucket", call.bucketName) +
    element("Key", call.key) +
    element("UploadId", upload.id) +
    element("PartNumberMarker", marker) +
    element("NextPartNumberMarker", shown.at(-1)?.number ?? 0) +
    element("MaxParts", rowsMax) +
    element("IsTruncated", truncated) +
    checksumKind(upload) +
    shown.map(partRow).join("") +
    element("StorageClass", upload.attributes.storageClass);
  return xmlAnswer(document("ListPartsResult", inner));
}

const partRow = (part: Part): string =>
  `<Part>${element("PartNumber", part.number)}${element("LastModified", new Date(part.lastModifiedMs).toISOString())}` +
  `${element("ETag", quoted(part.etag))}${element("Size", part.segment.sizeBytes)}${partChecksum(part)}</Part>`;

const partChecksum = ({ checksum }: Part): string =>
  checksum ? element(`Checksum${checksum.name.toUpperCase()}`, checksum.digest.toString("base64")) : "";

const checksumKind = ({ checksum }: Upload): string =>
  checksum ? element("ChecksumAlgorithm", checksum.name.toUpperCase()) + element("ChecksumType", checksum.type) : "";

/** All uploads that are neither completed nor aborted, by key and then by age. */
export function listUploads(call: Call): Answer {
  const { query } = call.request;
  const prefix = query.get("prefix") ?? "";
  const encoding = query.get("encoding-type") ?? undefined;
  const show = encoding === "url" ? encodeListed : (text: string) => text;
  const rowsMax = Math.min(Number(query.get("max-uploads") ?? 1000), 1000);
  const [keyMarker, idMarker] = [query.get("key-marker") ?? "", query.get("upload-id-marker") ?? ""];
  const all = [...bucketOf(call).uploads.values()]
    .filter((upload) => upload.key.startsWith(prefix))
    .sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)) || a.startedMs - b.startedMs);
  const at = all.findIndex((upload) => upload.key === keyMarker && upload.id === idMarker);
  const behind =
    at < 0 ? all.filter(({ key }) => Buffer.compare(Buffer.from(key), Buffer.from(keyMarker)) > 0) : all.slice(at + 1);
  const shown = behind.slice(0, rowsMax);
  const last = behind.length > shown.length ? shown.at(-1) : undefined;
  const inner =
    element("Bucket", call.bucketName) +
    element("KeyMarker", show(keyMarker)) +
    element("UploadIdMarker", idMarker) +
    element("NextKeyMarker", last && show(last.key)) +
    element("NextUploadIdMarker", last?.id) +
    element("Prefix", show(prefix)) +
    element("EncodingType", encoding) +
    element("MaxUploads", rowsMax) +
    element("IsTruncated", last !== undefined) +
    shown.map((upload) => uploadRow(upload, show)).join("");
  return xmlAnswer(document("ListMultipartUploadsResult", inner));
}

const uploadRow = (upload: Upload, show: (key: string) => string): string =>
  `<Upload>${element("Key", show(upload.key))}${element("UploadId", upload.id)}` +
  `${element("StorageClass", upload.attributes.storageClass)}` +
  `${element("Initiated", new Date(upload.startedMs).toISOString())}${checksumKind(upload)}</Upload>`;

export const invalidRequest = (message: string): S3Refusal => new S3Refusal("InvalidRequest", message);
