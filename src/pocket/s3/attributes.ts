/** What travels beside an object's bytes: user metadata, the content headers, tags and the storage class. */
import type { IncomingHttpHeaders } from "node:http";
import { S3Refusal } from "./refusal.ts";
import { decodeWords, encodeWords } from "./rfc2047.ts";

export interface S3Attributes {
  /** Names without `x-amz-meta-`, in lower case; values decoded. */
  readonly metadata: ReadonlyMap<string, string>;
  /** As sent, one character a byte. */
  readonly headers: Readonly<Record<string, string>>;
  readonly storageClass: string;
}

const META = "x-amz-meta-";
const METADATA_BYTES_MAX = 2048;
const KEPT = [
  "content-type",
  "content-language",
  "content-disposition",
  "cache-control",
  "expires",
  "x-amz-website-redirect-location",
] as const;
const STORAGE_CLASSES = new Set(
  "STANDARD REDUCED_REDUNDANCY STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING GLACIER DEEP_ARCHIVE GLACIER_IR".split(" "),
);

export function readAttributes(headers: IncomingHttpHeaders): S3Attributes {
  const storageClass = String(headers["x-amz-storage-class"] ?? "STANDARD");
  if (!STORAGE_CLASSES.has(storageClass)) {
    throw new S3Refusal("InvalidStorageClass", "The storage class you specified is not valid");
  }
  return { metadata: readMetadata(headers), headers: readContentHeaders(headers), storageClass };
}

function readMetadata(headers: IncomingHttpHeaders): Map<string, string> {
  const metadata = new Map<string, string>();
  let sizeBytes = 0;
  for (const header in headers) {
    if (!header.startsWith(META)) continue;
    const name = header.slice(META.length);
    const value = decodeWords(String(headers[header]));
    sizeBytes += name.length + Buffer.byteLength(value);
    metadata.set(name, value);
  }
  if (sizeBytes <= METADATA_BYTES_MAX) return metadata;
  throw new S3Refusal("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size", {
    elements: { Size: String(sizeBytes), MaxSizeAllowed: String(METADATA_BYTES_MAX) },
  });
}

function readContentHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of KEPT) {
    const value = headers[name];
    if (typeof value === "string") kept[name] = value;
  }
  kept["content-type"] ??= "binary/octet-stream";
  const encoding = contentEncoding(headers["content-encoding"]);
  if (encoding !== undefined) kept["content-encoding"] = encoding;
  return kept;
}

/** `aws-chunked` describes the transfer; what stands beside it belongs to the object. */
function contentEncoding(text: string | undefined): string | undefined {
  if (text === undefined || !text.includes("aws-chunked")) return text;
  const rest = text.split(",").filter((coding) => coding.trim() !== "aws-chunked");
  return rest.length === 0 ? undefined : rest.join(",").trim();
}

export function attributeHeaders(attributes: S3Attributes, into: Record<string, string | number>): void {
  Object.assign(into, attributes.headers);
  for (const [name, value] of attributes.metadata) into[META + name] = encodeWords(value);
  if (attributes.storageClass !== "STANDARD") into["x-amz-storage-class"] = attributes.storageClass;
}

export type Tags = ReadonlyMap<string, string>;

/** The `x-amz-tagging` header: a query string. */
export function readTags(header: string | string[] | undefined): Tags {
  return header === undefined ? new Map() : checkTags([...new URLSearchParams(String(header))]);
}

export function checkTags(pairs: readonly (readonly [string, string])[]): Tags {
  const tags = new Map(pairs);
  const fits = pairs.every(([name, value]) => name !== "" && name.length <= 128 && value.length <= 256);
  if (fits && tags.size === pairs.length && tags.size <= 10) return tags;
  throw new S3Refusal(
    "InvalidTag",
    "Object tags are limited to 10, with distinct names of 1 to 128 characters and values up to 256",
  );
}
