/** An object's head as S3's response headers say it, and its attributes as request headers say them. */
import { parseCrc32c } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import type { AtRest, Attributes, ObjectHead } from "../../core/object.ts";
import { headerOf, META, textOf } from "./metadata.ts";

export type Headers = Readonly<Record<string, string>>;

type ContentField = Exclude<keyof Attributes, "metadata">;

const CONTENT_HEADERS: readonly (readonly [ContentField, string])[] = [
  ["contentType", "content-type"],
  ["contentEncoding", "content-encoding"],
  ["contentLanguage", "content-language"],
  ["contentDisposition", "content-disposition"],
  ["cacheControl", "cache-control"],
  ["expires", "expires"],
];

/** `sizeBytes` is given: only the reader knows whether Content-Length or Content-Range states it. */
export function headOf(key: string, headers: Headers, sizeBytes: number): ObjectHead {
  const etag = unquoted(headers["etag"] ?? "");
  const lastModifiedMs = Date.parse(headers["last-modified"] ?? "");
  if (etag === "" || Number.isNaN(lastModifiedMs)) {
    throw new SealiftError("PROVIDER_ERROR", "the answer lacks ETag or Last-Modified", { object: key });
  }
  const atRest = atRestOf(headers);
  const version = versionOf(headers);
  const crc = fullCrc32cOf(headers);
  const storageClass = headers["x-amz-storage-class"];
  return {
    key,
    sizeBytes,
    ...(version === undefined ? {} : { version }),
    etag,
    lastModifiedMs,
    ...(crc === undefined ? {} : { crc32c: crc }),
    ...(isMd5(etag, atRest) ? { md5: etag } : {}),
    ...(storageClass === undefined ? {} : { storageClass }),
    atRest,
    attributes: attributesOf(key, headers),
  };
}

/** Buckets that were versioned once answer `null`, which names no version that stays. */
export function versionOf(headers: Headers): string | undefined {
  const version = headers["x-amz-version-id"];
  return version === "null" ? undefined : version;
}

export const unquoted = (etag: string): string => etag.replace(/^W\//, "").replaceAll(/^"|"$/g, "");

/** Composite values are checksums of checksums of parts: they say nothing about the object's bytes as one. */
export const fullCrc32cOf = (headers: Headers): number | undefined =>
  headers["x-amz-checksum-type"] === "COMPOSITE" ? undefined : parseCrc32c(headers["x-amz-checksum-crc32c"]);

/** Parts make `...-N`; under KMS and customer keys the ETag is no MD5, whatever it looks like. */
export const isMd5 = (etag: string, { mode }: AtRest): boolean =>
  (mode === "none" || mode === "SSE-S3") && /^[0-9a-f]{32}$/.test(etag);

const SSE = "x-amz-server-side-encryption";

const MODES = new Map<string, AtRest["mode"]>([
  ["AES256", "SSE-S3"],
  ["aws:kms", "SSE-KMS"],
  ["aws:kms:dsse", "DSSE-KMS"],
]);

/** Amazon S3 API Reference, HeadObject. A word that is not known here (`aws:fsx`) counts as the mode that promises least: no MD5. */
export function atRestOf(headers: Headers): AtRest {
  if (headers[`${SSE}-customer-algorithm`] !== undefined) return { mode: "SSE-C" };
  const stated = headers[SSE];
  if (stated === undefined) return { mode: "none" };
  const keyName = headers[`${SSE}-aws-kms-key-id`];
  return { mode: MODES.get(stated) ?? "SSE-KMS", ...(keyName === undefined ? {} : { keyName }) };
}

export const serverKeyHeaders = (keyName: string | undefined): Record<string, string> =>
  keyName === undefined ? {} : { [SSE]: "aws:kms", [`${SSE}-aws-kms-key-id`]: keyName };

function attributesOf(key: string, headers: Headers): Attributes {
  // Set through other doors (SOAP), in names that HTTP cannot carry: S3 only counts them, and they would be lost without a word.
  if (Number(headers["x-amz-missing-meta"] ?? 0) > 0) {
    throw new SealiftError("METADATA_UNFIT", "S3 holds metadata that it cannot return over HTTP", { object: key });
  }
  const metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(META)) metadata.set(name.slice(META.length), textOf(value));
  }
  const content: Partial<Record<ContentField, string>> = {};
  for (const [field, name] of CONTENT_HEADERS) {
    const value = headers[name];
    if (value !== undefined) content[field] = value;
  }
  return { metadata, ...content };
}

/** METADATA_UNFIT where a header cannot hold an attribute unchanged. */
export function attributeHeaders(key: string, attributes: Attributes): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of attributes.metadata) headers[META + name] = fitting(key, name, () => headerOf(value));
  for (const [field, name] of CONTENT_HEADERS) {
    const value = attributes[field];
    if (value !== undefined) headers[name] = fitting(key, name, () => verbatim(value));
  }
  return headers;
}

function verbatim(value: string): string {
  if (/^[!-~](?:[ -~]*[!-~])?$/.test(value)) return value;
  throw new SealiftError("METADATA_UNFIT", "only visible ASCII without white space at its ends is carried unchanged");
}

function fitting(key: string, name: string, write: () => string): string {
  try {
    return write();
  } catch (error) {
    if (!(error instanceof SealiftError)) throw error;
    throw new SealiftError(error.code, `${JSON.stringify(name)}: ${error.message}`, { object: key, cause: error });
  }
}
