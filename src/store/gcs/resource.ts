/** The object resource of the JSON API as a head, and attributes as a resource. */
import { crc32cText, parseCrc32c } from "../../core/crc32c.ts";
import type { AtRest, Attributes, ObjectHead } from "../../core/object.ts";

/** Asked for with `fields`, so that a page of a listing is a third of its size. */
export const FIELDS = [
  "name,size,generation,etag,updated,crc32c,md5Hash,storageClass,kmsKeyName,customerEncryption,metadata",
  "contentType,contentEncoding,contentLanguage,contentDisposition,cacheControl",
].join(",");

const HEADERS = ["contentType", "contentEncoding", "contentLanguage", "contentDisposition", "cacheControl"] as const;

export interface GcsHead extends ObjectHead {
  /** The generation: there is always one. */
  readonly version: string;
}

type Json = Readonly<Record<string, unknown>>;
export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

/** undefined: not a whole object resource. */
export function headOf(resource: unknown): GcsHead | undefined {
  if (!isObject(resource)) return undefined;
  const { name, size, generation, etag, updated, md5Hash } = resource;
  const lastModifiedMs = Date.parse(text(updated) ?? "");
  const [key, version, tag] = [text(name), text(generation), text(etag)];
  if (key === undefined || version === undefined || tag === undefined || Number.isNaN(lastModifiedMs)) return undefined;
  if (typeof size !== "string" || !/^\d{1,15}$/.test(size) || !/^\d+$/.test(version)) return undefined;
  const attributes = attributesOf(resource);
  if (attributes === undefined) return undefined;
  const md5 = text(md5Hash);
  return {
    key,
    sizeBytes: Number(size),
    version,
    etag: tag,
    lastModifiedMs,
    crc32c: parseCrc32c(text(resource["crc32c"])),
    md5: md5 === undefined ? undefined : Buffer.from(md5, "base64").toString("hex"),
    storageClass: text(resource["storageClass"]),
    atRest: atRestOf(resource),
    attributes,
  };
}

function attributesOf(resource: Json): Attributes | undefined {
  const given = resource["metadata"] ?? {};
  if (!isObject(given)) return undefined;
  const metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(given)) {
    if (typeof value !== "string") return undefined;
    metadata.set(name, value);
  }
  const headers: { -readonly [K in (typeof HEADERS)[number]]?: string } = {};
  for (const name of HEADERS) {
    const value = text(resource[name]);
    if (value !== undefined) headers[name] = value;
  }
  return { ...headers, metadata };
}

function atRestOf({ customerEncryption, kmsKeyName }: Json): AtRest {
  if (isObject(customerEncryption)) return { mode: "CSEK" };
  const keyName = text(kmsKeyName);
  return keyName === undefined ? { mode: "google-managed" } : { mode: "CMEK", keyName };
}

/** What is sent with an upload. With `crc32c` in it the service itself refuses other bytes, before anything is visible. */
export function resourceOf(key: string, attributes: Attributes, crc32c: number | undefined): string {
  const { metadata, expires: _, ...headers } = attributes;
  const sum = crc32c === undefined ? {} : { crc32c: crc32cText(crc32c) };
  return JSON.stringify({ name: key, ...headers, ...sum, metadata: Object.fromEntries(metadata) });
}
