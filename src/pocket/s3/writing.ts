/** PUT, copy and DELETE of an object, and its tags. */
import { createHash, randomBytes } from "node:crypto";
import { checkTags, readAttributes, readTags, type S3Attributes } from "./attributes.ts";
import { atRestHeaders, etagIsMd5, keyFor, requestedAtRest, type RequestedAtRest, SOURCE_KEY } from "./atrest.ts";
import { receive } from "./body.ts";
import type { Bucket, Content, Version } from "./bucket.ts";
import { makeSegment, readSegments } from "./bytes.ts";
import {
  type Answer,
  type AnswerHeaders,
  bucketOf,
  type Call,
  findBucket,
  quoted,
  versionHeaders,
  versionIdOf,
  xmlAnswer,
} from "./call.ts";
import { type Checksum, parseChecksumName, startChecksum } from "./checksum.ts";
import { checkCopySource, checkWrite } from "./conditions.ts";
import { parseAddress } from "./address.ts";
import { checksumElements, checksumHeaders, type Existing, findObject, refuseArchived } from "./reading.ts";
import { S3Refusal } from "./refusal.ts";
import { document, element, innerOf, textOf } from "./xml.ts";

export async function putObject(call: Call): Promise<Answer> {
  const { headers } = call.request;
  const bucket = bucketOf(call);
  const attributes = readAttributes(headers);
  const tags = readTags(headers["x-amz-tagging"]);
  const { atRest, customerKey } = requestedAtRest(headers, bucket.defaultKey, call.cloud.region);
  const received = await receive(call.request, call.signed, { md5: etagIsMd5(atRest) });
  const { chunks, sizeBytes } = received;
  const checksum: Checksum | undefined = received.checksum && {
    name: received.checksum.name,
    type: "FULL_OBJECT",
    text: received.checksum.digest.toString("base64"),
  };
  const segments = [makeSegment(chunks, sizeBytes, customerKey?.key)];
  const etag = etagIsMd5(atRest) && received.md5 ? received.md5.toString("hex") : opaqueEtag();
  const content: Content = { segments, etag, attributes, atRest, tags, checksum };
  checkWrite(headers, call.key, bucket.current(call.key));
  const version = bucket.add(call.key, content, call.cloud.nowMs());
  const answer: AnswerHeaders = { etag: quoted(etag) };
  atRestHeaders(atRest, answer);
  versionHeaders(bucket, version, answer);
  if (checksum) checksumHeaders(checksum, answer);
  return { status: 200, headers: answer };
}

export const opaqueEtag = (): string => randomBytes(16).toString("hex");

export interface CopySource {
  readonly bucket: Bucket;
  readonly version: Existing;
  /** The source's bytes [start, end) in the clear. */
  read(start: number, end: number): Iterable<Buffer>;
}

/** What `x-amz-copy-source` names, with its conditions and its SSE-C key checked. */
export function copySource(call: Call): CopySource {
  const { headers } = call.request;
  const text = String(headers["x-amz-copy-source"]);
  const [path = "", versionId] = text.split("?versionId=");
  const { bucket: name, key } = parseAddress(path.startsWith("/") ? path : `/${path}`);
  if (name === "" || key === "")
    throw new S3Refusal(
      "InvalidArgument",
      "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
    );
  const bucket = findBucket(call.cloud, name);
  const version = findObject(bucket, key, versionId);
  refuseArchived(version);
  const own = keyFor(version.content.atRest, headers, SOURCE_KEY);
  checkCopySource(headers, version);
  return { bucket, version, read: (start, end) => readSegments(version.content.segments, own?.key, start, end) };
}

export async function copyObject(call: Call): Promise<Answer> {
  const { headers } = call.request;
  await receive(call.request, call.signed);
  const bucket = bucketOf(call);
  const source = copySource(call);
  const requested = requestedAtRest(headers, bucket.defaultKey, call.cloud.region);
  const replace = headers["x-amz-metadata-directive"] === "REPLACE";
  if (!replace) refuseIdleCopy(call, source);
  const content = copyContent(call, source, requested, replace);
  checkWrite(headers, call.key, bucket.current(call.key));
  const version = bucket.add(call.key, content, call.cloud.nowMs());
  const answer: AnswerHeaders = {};
  atRestHeaders(content.atRest, answer);
  versionHeaders(bucket, version, answer);
  if (source.bucket.versioning !== undefined) answer["x-amz-copy-source-version-id"] = source.version.versionId;
  return xmlAnswer(
    document(
      "CopyObjectResult",
      element("LastModified", new Date(version.lastModifiedMs).toISOString()) +
        element("ETag", quoted(content.etag)) +
        (content.checksum ? checksumElements(content.checksum) : ""),
    ),
    answer,
  );
}

function copyContent(call: Call, source: CopySource, requested: RequestedAtRest, replace: boolean): Content {
  const { headers } = call.request;
  const { content, sizeBytes } = source.version;
  const { atRest, customerKey } = requested;
  const given = readAttributes(headers);
  const attributes = replace ? given : copiedAttributes(content.attributes, given);
  const tags = headers["x-amz-tagging-directive"] === "REPLACE" ? readTags(headers["x-amz-tagging"]) : content.tags;
  const algorithm = headers["x-amz-checksum-algorithm"];
  const name = typeof algorithm === "string" ? parseChecksumName(algorithm) : content.checksum?.name;
  const running = name === undefined ? undefined : startChecksum(name);
  const md5 = createHash("md5");
  const chunks: Buffer[] = [];
  for (const chunk of source.read(0, sizeBytes)) {
    running?.update(chunk);
    md5.update(chunk);
    chunks.push(chunk);
  }
  const text = running?.digest().toString("base64");
  return {
    segments: [makeSegment(chunks, sizeBytes, customerKey?.key)],
    etag: etagIsMd5(atRest) ? md5.digest("hex") : opaqueEtag(),
    attributes,
    atRest,
    tags,
    checksum: name === undefined || text === undefined ? undefined : { name, type: "FULL_OBJECT", text },
  };
}

/** The storage class is the request's, and a website redirect stays behind. */
function copiedAttributes(source: S3Attributes, given: S3Attributes): S3Attributes {
  const { "x-amz-website-redirect-location": _, ...headers } = source.headers;
  return { metadata: source.metadata, headers, storageClass: given.storageClass };
}

function refuseIdleCopy(call: Call, { bucket, version }: CopySource): void {
  const { headers } = call.request;
  const self = bucket.name === call.bucketName && version.key === call.key && bucket.current(call.key) === version;
  const changes = ["x-amz-storage-class", "x-amz-server-side-encryption", "x-amz-website-redirect-location"];
  const sse = headers["x-amz-server-side-encryption-customer-algorithm"];
  if (!self || sse !== undefined || changes.some((name) => headers[name] !== undefined)) return;
  throw new S3Refusal(
    "InvalidRequest",
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
  );
}

export function deleteObject(call: Call): Answer {
  const bucket = bucketOf(call);
  const current = bucket.current(call.key);
  if (call.request.headers["if-match"] !== undefined) checkWrite(call.request.headers, call.key, current);
  const removed = remove(call, bucket, call.key, versionIdOf(call.request.query));
  const headers: AnswerHeaders = {};
  if (removed && !removed.content) headers["x-amz-delete-marker"] = "true";
  if (removed) versionHeaders(bucket, removed, headers);
  return { status: 204, headers };
}

/** The delete marker that was laid or the version that went; undefined where there was nothing to do. */
function remove(call: Call, bucket: Bucket, key: string, versionId: string | undefined): Version | undefined {
  if (versionId !== undefined) return bucket.drop(key, versionId);
  if (bucket.versioning !== undefined) return bucket.add(key, undefined, call.cloud.nowMs());
  return bucket.drop(key, "null");
}

export async function deleteObjects(call: Call): Promise<Answer> {
  const { chunks } = await receive(call.request, call.signed);
  const bucket = bucketOf(call);
  const xml = Buffer.concat(chunks).toString("utf8");
  const quiet = textOf(xml, "Quiet") === "true";
  const entries = innerOf(xml, "Object");
  if (entries.length === 0 || entries.length > 1000) throw malformedXml();
  const rows = entries.map((entry) => {
    const key = textOf(entry, "Key");
    if (key === undefined) throw malformedXml();
    const versionId = textOf(entry, "VersionId");
    const removed = remove(call, bucket, key, versionId);
    const marker = removed !== undefined && !removed.content;
    const inner =
      element("Key", key) +
      element("VersionId", versionId) +
      (marker ? element("DeleteMarker", true) + element("DeleteMarkerVersionId", removed.versionId) : "");
    return quiet ? "" : `<Deleted>${inner}</Deleted>`;
  });
  return xmlAnswer(document("DeleteResult", rows.join("")));
}

export const malformedXml = (): S3Refusal =>
  new S3Refusal(
    "MalformedXML",
    "The XML you provided was not well-formed or did not validate against our published schema",
  );

export function getTagging(call: Call): Answer {
  const { content } = findObject(bucketOf(call), call.key, versionIdOf(call.request.query));
  const tags = [...content.tags].map(([key, value]) => `<Tag>${element("Key", key)}${element("Value", value)}</Tag>`);
  return xmlAnswer(document("Tagging", `<TagSet>${tags.join("")}</TagSet>`));
}

export async function putTagging(call: Call): Promise<Answer> {
  const { chunks } = await receive(call.request, call.signed);
  const version = findObject(bucketOf(call), call.key, versionIdOf(call.request.query));
  const pairs = innerOf(Buffer.concat(chunks).toString("utf8"), "Tag").map(
    (tag) => [textOf(tag, "Key") ?? "", textOf(tag, "Value") ?? ""] as const,
  );
  version.content = { ...version.content, tags: checkTags(pairs) };
  return { status: 200, headers: {} };
}

export function deleteTagging(call: Call): Answer {
  const version = findObject(bucketOf(call), call.key, versionIdOf(call.request.query));
  version.content = { ...version.content, tags: new Map() };
  return { status: 204, headers: {} };
}
