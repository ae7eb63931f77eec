/**
 * ListObjectsV2, with keys percent-encoded (`encoding-type=url`) because XML 1.0 cannot hold every key. A listing that is believed
 * to have ended when it has not loses objects without a word, so a page is either whole and in order, or LIST_BROKEN.
 */
import { asSealiftError, SealiftError } from "../../core/error.ts";
import { compareKeys, type KeyRange, type ListedObject } from "../../core/object.ts";
import { childText, parseXml, resolved, type XmlElement } from "../../wire/xml.ts";
import type { ListPage } from "../store.ts";
import type { Connection } from "./connection.ts";
import { unquoted } from "./head.ts";
import { parseRefusal } from "./refusal.ts";
import { isRead, type Row, scanRows } from "./rows.ts";

interface RawPage {
  readonly objects: readonly ListedObject[];
  readonly nextToken: string | undefined;
}

/** A cycle of tokens can only consist of empty pages: a page with keys must go forward. */
const EMPTY_PAGES_MAX = 10_000;

export async function* list(
  connection: Connection,
  prefix: string,
  range: KeyRange,
  signal: AbortSignal,
): AsyncIterable<ListPage> {
  let previous = range.after;
  let token: string | undefined;
  let emptyPages = 0;
  for (;;) {
    const page = await askPage(connection, { prefix, after: range.after, token, signal });
    checkOrder(connection, page.objects, prefix, previous);
    if (page.nextToken !== undefined && page.nextToken === token) throw broken(connection, "a token is repeated");
    emptyPages = page.objects.length === 0 ? emptyPages + 1 : 0;
    if (emptyPages > EMPTY_PAGES_MAX) throw broken(connection, "it goes on without keys");
    const objects = withinEnd(page.objects, range.until);
    const last = page.nextToken === undefined || objects.length < page.objects.length;
    yield { objects, last };
    if (last) return;
    previous = page.objects.at(-1)?.key ?? previous;
    token = page.nextToken;
  }
}

interface Question {
  readonly prefix: string;
  readonly after: string | undefined;
  readonly token: string | undefined;
  readonly signal: AbortSignal;
}

async function askPage(connection: Connection, { prefix, after, token, signal }: Question): Promise<RawPage> {
  const query: Record<string, string> = { "list-type": "2", "encoding-type": "url", "max-keys": "1000" };
  if (prefix !== "") query["prefix"] = prefix;
  if (token !== undefined) query["continuation-token"] = token;
  else if (after) query["start-after"] = after;
  const response = await connection.send({ method: "GET", query, signal });
  if (response.status >= 300) {
    const error = connection.error(await connection.refusal(response), "LIST");
    // A bucket is not an object: what is missing is what the job needs.
    throw error.code === "STORE_NOT_FOUND" ? new SealiftError("PREFLIGHT_ACCESS", error.message) : error;
  }
  const text = await response.text();
  if (response.status !== 200) throw broken(connection, `status ${response.status}`);
  const error = text.includes("<Error") ? parseRefusal(text) : undefined;
  if (error !== undefined) throw connection.error({ status: 200, ...error }, "LIST");
  try {
    return readPage(text);
  } catch (cause) {
    throw broken(connection, asSealiftError(cause).message, cause);
  }
}

function broken(connection: Connection, why: string, cause?: unknown): SealiftError {
  return new SealiftError("LIST_BROKEN", `${connection.name}: LIST: ${why}`, { cause });
}

const unreadable = (why: string): SealiftError => new SealiftError("LIST_BROKEN", why);

/** Throws LIST_BROKEN, or PROVIDER_ERROR where it is no XML. */
export function readPage(document: string): RawPage {
  const scanned = scanRows(document);
  if (!scanned) return readStrictly(document);
  try {
    const root = parseXml(scanned.rest);
    // Rows that stand deeper than they should are none.
    const isWhole = root.children.filter(({ name }) => name === "Contents").length === 1;
    return isWhole ? pageOf(root, scanned.rows, true) : readStrictly(document);
  } catch {
    // What is wrong with it, the strict reader says.
    return readStrictly(document);
  }
}

export function readStrictly(document: string): RawPage {
  const root = parseXml(document);
  return pageOf(root, root.children.filter(({ name }) => name === "Contents").map(rowOf), false);
}

function rowOf({ children }: XmlElement): Row {
  const row: Row = {};
  for (const { name, text } of children) if (isRead(name)) row[name] = text;
  return row;
}

function pageOf(root: XmlElement, rows: readonly Row[], isScanned: boolean): RawPage {
  if (root.name !== "ListBucketResult") throw unreadable(`<${root.name}> instead of <ListBucketResult>`);
  const truncated = childText(root, "IsTruncated");
  const nextToken = childText(root, "NextContinuationToken") || undefined;
  if (truncated !== "true" && truncated !== "false") throw unreadable("IsTruncated is missing");
  if (truncated === "true" && nextToken === undefined) throw unreadable("it goes on, and names no token");
  if (truncated === "false" && nextToken !== undefined) throw unreadable("it ends, and names a token to go on with");
  const encoded = childText(root, "EncodingType") === "url";
  const objects = rows.map((row) => readRow(row, encoded, isScanned));
  const stated = childText(root, "KeyCount");
  if (stated !== undefined && Number(stated) !== objects.length) {
    throw unreadable(`${objects.length} keys, and ${JSON.stringify(stated)} are stated`);
  }
  return { objects, nextToken };
}

/** As nearly every ETag stands in a document. */
const QUOTED = /^&quot;([\w-]+)&quot;$/;

function readRow(row: Row, encoded: boolean, isRaw: boolean): ListedObject {
  const textOf = (text: string | undefined): string => (text === undefined ? "" : isRaw ? resolved(text) : text);
  const rawKey = textOf(row.Key);
  const size = textOf(row.Size);
  const etag = QUOTED.exec(row.ETag ?? "")?.[1] ?? unquoted(textOf(row.ETag));
  const lastModifiedMs = Date.parse(textOf(row.LastModified));
  const storageClass = textOf(row.StorageClass);
  if (rawKey === "" || !/^\d{1,15}$/.test(size) || etag === "" || Number.isNaN(lastModifiedMs)) {
    throw unreadable(`a row is not whole (${JSON.stringify(rawKey)})`);
  }
  const key = encoded ? decodedKey(rawKey) : rawKey;
  return { key, sizeBytes: Number(size), etag, lastModifiedMs, ...(storageClass ? { storageClass } : {}) };
}

/** As a form is encoded: a space is `+`, a plus is `%2B`. */
export function decodedKey(text: string): string {
  if (!/[+%]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw unreadable(`a key that is not UTF-8: ${text.slice(0, 200)}`);
  }
}

function checkOrder(
  connection: Connection,
  objects: readonly ListedObject[],
  prefix: string,
  after: string | undefined,
): void {
  let previous = after;
  for (const { key } of objects) {
    if (!key.startsWith(prefix)) throw broken(connection, `a key without the prefix: ${JSON.stringify(key)}`);
    if (previous !== undefined && compareKeys(key, previous) <= 0) {
      throw broken(connection, `${JSON.stringify(key)} after ${JSON.stringify(previous)}: not ascending`);
    }
    previous = key;
  }
}

/** Rows are in order, so the end is found from behind. */
function withinEnd(objects: readonly ListedObject[], until: string | undefined): readonly ListedObject[] {
  if (until === undefined) return objects;
  const end = objects.findLastIndex(({ key }) => compareKeys(key, until) <= 0);
  return objects.slice(0, end + 1);
}
