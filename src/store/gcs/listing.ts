/** Objects in key order with their heads. What is not a whole page is LIST_BROKEN, never an end. */
import { SealiftError } from "../../core/error.ts";
import { compareKeys, inRange, type KeyRange } from "../../core/object.ts";
import type { ListPage } from "../store.ts";
import { type GcsApi, parse } from "./api.ts";
import { fault } from "./fault.ts";
import { FIELDS, type GcsHead, headOf, isObject } from "./resource.ts";

const PAGE_OBJECTS = 1000;
/** A page of 1,000 objects with 8 KiB of metadata each, escaped. */
const PAGE_BYTES_MAX = 64 * 1024 * 1024;
/** The service may answer with pages that hold only a token, but not for ever. */
const EMPTY_PAGES_MAX = 1000;

interface Answer {
  readonly heads: readonly GcsHead[];
  readonly token: string | undefined;
}

export async function* listObjects(
  api: GcsApi,
  prefix: string,
  range: KeyRange,
  signal: AbortSignal,
): AsyncGenerator<ListPage, void> {
  let token: string | undefined;
  let highest: string | undefined;
  const tokens = new Set<string>();
  for (;;) {
    const page = await ask(api, prefix, range, token, signal);
    for (const { key } of page.heads) {
      if (!key.startsWith(prefix)) throw broken(api, `${JSON.stringify(key)} does not begin with the prefix`);
      if (highest !== undefined && compareKeys(key, highest) <= 0)
        throw broken(api, `${JSON.stringify(key)} comes too late`);
      highest = key;
    }
    if (page.heads.length > 0) tokens.clear();
    if (page.token !== undefined && (page.token === token || tokens.has(page.token))) {
      throw broken(api, "a page token came twice");
    }
    if (tokens.size > EMPTY_PAGES_MAX) throw broken(api, `${EMPTY_PAGES_MAX} pages without an object`);
    token = page.token;
    if (token !== undefined) tokens.add(token);
    const past = range.until !== undefined && highest !== undefined && compareKeys(highest, range.until) >= 0;
    const last = token === undefined || past;
    const heads = page.heads.filter(({ key }) => inRange(key, range));
    if (last || heads.length > 0) yield { objects: heads.map(rowOf), last };
    if (last) return;
  }
}

function rowOf(head: GcsHead) {
  const { key, sizeBytes, etag, version, lastModifiedMs, storageClass } = head;
  return { key, sizeBytes, etag, version, lastModifiedMs, storageClass, head };
}

const broken = (api: GcsApi, why: string): SealiftError =>
  new SealiftError("LIST_BROKEN", `the listing of gs://${api.bucket}: ${why}`);

async function ask(
  api: GcsApi,
  prefix: string,
  { after }: KeyRange,
  token: string | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  const path = api.objects({
    prefix: prefix === "" ? undefined : prefix,
    // Inclusive: the key itself is left out afterwards. Appending a byte to it could make it too long for a name.
    startOffset: after === "" ? undefined : after,
    maxResults: String(PAGE_OBJECTS),
    pageToken: token,
    fields: `kind,nextPageToken,items(${FIELDS})`,
  });
  const response = await api.send({ method: "GET", path, signal });
  if (response.status !== 200) throw await fault(response, { bucket: api.bucket });
  const json = parse(await response.text(PAGE_BYTES_MAX));
  if (!isObject(json) || json["kind"] !== "storage#objects") throw broken(api, "a page is not a listing in JSON");
  const { items = [], nextPageToken } = json;
  if (!Array.isArray(items)) throw broken(api, "the items of a page are not a list");
  if (nextPageToken !== undefined && (typeof nextPageToken !== "string" || nextPageToken === "")) {
    throw broken(api, "a page token is not text");
  }
  const heads = items.map((item: unknown) => {
    const head = headOf(item);
    if (head === undefined) throw broken(api, "an item of a page is not whole");
    return head;
  });
  return { heads, token: nextPageToken };
}
