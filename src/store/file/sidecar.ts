/**
 * The head of an object as a file. It names the data file, so its appearance is the moment at which the object exists:
 *
 *     {"sealift":1,"key":"a/b","version":"5f..","data":"b@5f..","sizeBytes":3,"crc32c":"..","md5":"..","lastModifiedMs":0,
 *      "metadata":[["name","value"]],"headers":{"contentType":"text/plain"}}
 */
import { open } from "node:fs/promises";
import { crc32cText, parseCrc32c } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import type { Attributes, ObjectHead } from "../../core/object.ts";

export interface Sidecar {
  readonly head: ObjectHead & { readonly version: string; readonly crc32c: number };
  /** Name of the data file beside it. */
  readonly data: string;
}

/** Far above what the limits on metadata and keys allow to be written. */
const SIDECAR_BYTES_MAX = 256 * 1024;
/** ECMA-262, 21.4.1.1: further from 1970 there are no dates. */
const TIME_MS_MAX = 8.64e15;

export function writeSidecar({ head, data }: Sidecar): string {
  const { metadata, ...headers } = head.attributes;
  const { key, version, sizeBytes, md5, lastModifiedMs } = head;
  const crc32c = crc32cText(head.crc32c);
  const fields = { sealift: 1, key, version, data, sizeBytes, crc32c, md5, lastModifiedMs };
  return JSON.stringify({ ...fields, metadata: [...metadata], headers });
}

/** undefined: there is none. Throws STORE_CHECKSUM where there is one that this store did not write. */
export async function readSidecar(path: string, key: string): Promise<Sidecar | undefined> {
  const text = await readText(path, key);
  if (text === undefined) return undefined;
  const sidecar = parseSidecar(text);
  if (sidecar === undefined) throw broken(path, key, "is damaged");
  // Where the file system folds case or normalises Unicode, two keys would be one file.
  if (sidecar.head.key !== key) throw broken(path, key, `belongs to ${JSON.stringify(sidecar.head.key)}`);
  return sidecar;
}

const broken = (path: string, key: string, what: string): SealiftError =>
  new SealiftError("STORE_CHECKSUM", `the head file ${path} ${what}`, { object: key });

async function readText(path: string, key: string): Promise<string | undefined> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, "r");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  try {
    if ((await handle.stat()).size > SIDECAR_BYTES_MAX) throw broken(path, key, "is too large");
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

type Json = { readonly [name: string]: unknown };
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === "string";
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function parseSidecar(text: string): Sidecar | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(json) || json["sealift"] !== 1) return undefined;
  const { key, version, data, sizeBytes, crc32c, md5, lastModifiedMs } = json;
  const crc = isText(crc32c) ? parseCrc32c(crc32c) : undefined;
  const attributes = parseAttributes(json["metadata"], json["headers"]);
  if (!isText(key) || !isText(version) || !isText(data) || !isText(md5) || crc === undefined) return undefined;
  if (!isCount(sizeBytes) || !isCount(lastModifiedMs) || lastModifiedMs > TIME_MS_MAX || attributes === undefined)
    return undefined;
  // A data file is always beside its head: anything else would read elsewhere on this machine.
  if (/[/\0]/.test(data) || !data.includes("@")) return undefined;
  const seen = { key, version, sizeBytes, md5, lastModifiedMs, etag: version, crc32c: crc };
  return { data, head: { ...seen, atRest: { mode: "none" }, attributes } };
}

const HEADERS = [
  "contentType",
  "contentEncoding",
  "contentLanguage",
  "contentDisposition",
  "cacheControl",
  "expires",
] as const;

function parseAttributes(pairs: unknown, headers: unknown): Attributes | undefined {
  if (!Array.isArray(pairs) || !isObject(headers)) return undefined;
  const metadata = new Map<string, string>();
  for (const pair of pairs) {
    if (!Array.isArray(pair) || !isText(pair[0]) || !isText(pair[1])) return undefined;
    metadata.set(pair[0], pair[1]);
  }
  const known: { -readonly [K in (typeof HEADERS)[number]]?: string } = {};
  for (const name of HEADERS) {
    const value = headers[name];
    if (isText(value)) known[name] = value;
  }
  return { ...known, metadata };
}
