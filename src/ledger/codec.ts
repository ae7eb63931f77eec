/** Records as bytes. A page is gzip over a header line and one line an object; everything else is one JSON text. */
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import type { z } from "zod";
import { SealiftError } from "../core/error.ts";
import type { ListedObject } from "../core/object.ts";
import { type PageHeader, type PageLine, pageHeader, pageLine } from "./records.ts";

/** 1,000 lines of a 1,024-byte key, escaped, with version and ETag, are below this. Guards against gzip bombs. */
export const PAGE_BYTES_MAX = 16 * 1024 * 1024;
/** A plan of a thousand ranges, or an outcome with a thousand problems, escaped to the last character, is half of this. */
export const RECORD_BYTES_MAX = 32 * 1024 * 1024;
/** A retry names up to ten million pages. */
export const RETRY_BYTES_MAX = 256 * 1024 * 1024;

export interface Page {
  readonly header: PageHeader;
  readonly objects: readonly ListedObject[];
  /** Of the stored bytes. */
  readonly sha256: string;
}

export const sha256Hex = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

/** LIST_BROKEN where a row is not one that could be read back: a page that nobody can read would end its migration. */
export function encodePage(header: PageHeader, objects: readonly ListedObject[]): Buffer {
  const lines = objects.map((object) => {
    const line = toLine(object);
    if (pageLine.safeParse(line).success) return JSON.stringify(line);
    throw new SealiftError("LIST_BROKEN", "the listing holds a row that is not an object's", { object: object.key });
  });
  return gzipSync(`${[JSON.stringify(header), ...lines].join("\n")}\n`, { level: 6 });
}

export function decodePage(bytes: Uint8Array, name: string): Page {
  const lines = unzip(bytes, name).split("\n");
  if (lines.pop() !== "") throw broken(name, "is cut off");
  const header = parseRecord(pageHeader, lines[0] ?? "", name);
  const objects = lines.slice(1).map((line) => fromLine(parseRecord(pageLine, line, name)));
  if (objects.length !== header.count)
    throw broken(name, `holds ${objects.length} objects, its header says ${header.count}`);
  return { header, objects, sha256: sha256Hex(bytes) };
}

function unzip(bytes: Uint8Array, name: string): string {
  try {
    return gunzipSync(bytes, { maxOutputLength: PAGE_BYTES_MAX }).toString("utf8");
  } catch (error) {
    throw broken(name, "does not unpack", error);
  }
}

const toLine = (object: ListedObject): PageLine => ({
  k: object.key,
  s: object.sizeBytes,
  e: object.etag,
  ...(object.version === undefined ? {} : { v: object.version }),
  t: object.lastModifiedMs,
  ...(object.storageClass === undefined ? {} : { c: object.storageClass }),
  ...(object.stood === undefined ? {} : { w: object.stood }),
});

const fromLine = (line: PageLine): ListedObject => ({
  key: line.k,
  sizeBytes: line.s,
  etag: line.e,
  version: line.v,
  lastModifiedMs: line.t,
  storageClass: line.c,
  ...(line.w === undefined ? {} : { stood: line.w }),
});

/** The bytes of a stored record. LEDGER_BROKEN beyond the limit, whatever size its head claims. */
export async function readRecord(
  name: string,
  opened: { readonly body: AsyncIterable<Uint8Array>; cancel(): Promise<void> },
  bytesMax: number,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of opened.body) {
    chunks.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes <= bytesMax) continue;
    await opened.cancel().catch(() => undefined);
    throw broken(name, `is larger than ${bytesMax} bytes`);
  }
  return Buffer.concat(chunks);
}

export const encodeRecord = (record: object): Buffer => Buffer.from(`${JSON.stringify(record)}\n`);

/** LEDGER_BROKEN where the text is not JSON of that shape. */
export function parseRecord<T>(shape: z.ZodType<T>, text: string, name: string): T {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw broken(name, "is not JSON", error);
  }
  const parsed = shape.safeParse(data);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw broken(name, `has an unexpected shape at ${issue?.path.join(".") || "its root"}: ${issue?.message ?? ""}`);
}

export const broken = (name: string, what: string, cause?: unknown): SealiftError =>
  new SealiftError("LEDGER_BROKEN", `ledger record ${name} ${what}`, { cause });
