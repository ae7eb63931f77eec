/** ListObjectsV2, ListObjects and ListObjectVersions: keys in UTF-8 byte order, rolled up at a delimiter. */
import { compareKeys } from "../../core/object.ts";
import { encodeListed } from "./address.ts";
import { type Bucket, isObject, type Version } from "./bucket.ts";
import { type Answer, bucketOf, type Call, quoted, xmlAnswer } from "./call.ts";
import { S3Refusal } from "./refusal.ts";
import { document, element } from "./xml.ts";

/** Where a listing stands: behind a key, or behind everything under a common prefix. */
interface Marker {
  readonly key: string;
  readonly rolled: boolean;
}

interface Walk {
  readonly keys: string[];
  readonly prefixes: string[];
  /** Present where there is more. */
  readonly next?: Marker | undefined;
}

interface WalkOptions {
  readonly prefix: string;
  readonly delimiter: string;
  readonly after: Marker | undefined;
  readonly rowsMax: number;
  readonly shows: (key: string) => boolean;
}

function walk(bucket: Bucket, { prefix, delimiter, after, rowsMax, shows }: WalkOptions): Walk {
  const sorted = bucket.keys();
  const found: Walk = { keys: [], prefixes: [] };
  let last: Marker | undefined;
  const start = after && compareKeys(after.key, prefix) >= 0 ? after.key : prefix;
  for (let i = lowerBound(sorted, start); i < sorted.length; i++) {
    const key = sorted[i] as string;
    if (!key.startsWith(prefix)) break;
    if (after && (key === after.key || (after.rolled && key.startsWith(after.key)))) continue;
    const cut = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    const rolled = cut >= 0;
    const row = rolled ? key.slice(0, cut + delimiter.length) : key;
    if ((rolled && row === found.prefixes.at(-1)) || !shows(key)) continue;
    if (found.keys.length + found.prefixes.length === rowsMax) return { ...found, next: last };
    (rolled ? found.prefixes : found.keys).push(row);
    last = { key: row, rolled };
  }
  return found;
}

function lowerBound(sorted: readonly string[], key: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(sorted[middle] as string, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What the three listings share of their parameters, and the encoding of every name they show. */
function parameters(call: Call) {
  const { query } = call.request;
  const encoding = query.get("encoding-type") ?? undefined;
  if (encoding !== undefined && encoding !== "url") throw invalid("Invalid Encoding Method specified in Request");
  const maxKeys = query.get("max-keys") ?? String(call.cloud.rowsMax);
  if (!/^\d{1,9}$/.test(maxKeys)) throw invalid("Provided max-keys not an integer or within integer range");
  const rowsMax = Math.min(Number(maxKeys), call.cloud.rowsMax);
  const [prefix, delimiter] = [query.get("prefix") ?? "", query.get("delimiter") ?? ""];
  const show = encoding === "url" ? encodeListed : (text: string) => text;
  const head =
    element("Name", call.bucketName) +
    element("Prefix", show(prefix)) +
    (delimiter === "" ? "" : element("Delimiter", show(delimiter))) +
    element("MaxKeys", rowsMax) +
    element("EncodingType", encoding);
  return { query, prefix, delimiter, rowsMax, show, head };
}

export function listObjectsV2(call: Call): Answer {
  const bucket = bucketOf(call);
  const { query, prefix, delimiter, rowsMax, show, head } = parameters(call);
  const token = query.get("continuation-token");
  const startAfter = query.get("start-after");
  const after = token === null ? behind(startAfter) : readToken(token);
  const found = walkObjects(bucket, { prefix, delimiter, after, rowsMax });
  const owner = query.get("fetch-owner") === "true";
  const inner =
    head +
    element("StartAfter", startAfter === null ? undefined : show(startAfter)) +
    element("ContinuationToken", token ?? undefined) +
    element("NextContinuationToken", found.next && writeToken(found.next)) +
    element("KeyCount", found.keys.length + found.prefixes.length) +
    element("IsTruncated", found.next !== undefined) +
    rows(bucket, found, show, owner);
  return xmlAnswer(document("ListBucketResult", inner));
}

export function listObjects(call: Call): Answer {
  const bucket = bucketOf(call);
  const { query, prefix, delimiter, rowsMax, show, head } = parameters(call);
  const marker = query.get("marker") ?? "";
  // A marker that is a common prefix is where an earlier page ended: everything under it was shown.
  const after = { key: marker, rolled: delimiter !== "" && marker.endsWith(delimiter) };
  const found = walkObjects(bucket, { prefix, delimiter, after: marker === "" ? undefined : after, rowsMax });
  const inner =
    head +
    element("Marker", show(marker)) +
    element("NextMarker", found.next && delimiter !== "" ? show(found.next.key) : undefined) +
    element("IsTruncated", found.next !== undefined) +
    rows(bucket, found, show, true);
  return xmlAnswer(document("ListBucketResult", inner));
}

const walkObjects = (bucket: Bucket, options: Omit<WalkOptions, "shows">): Walk =>
  options.rowsMax === 0
    ? { keys: [], prefixes: [] }
    : walk(bucket, { ...options, shows: (key) => bucket.current(key) !== undefined });

const OWNER = `<Owner>${element("ID", "0".repeat(64))}${element("DisplayName", "pocket")}</Owner>`;

function rows(bucket: Bucket, found: Walk, show: (text: string) => string, owner: boolean): string {
  let xml = "";
  for (const key of found.keys) {
    const version = bucket.current(key);
    if (version) xml += `<Contents>${row(version, show)}${owner ? OWNER : ""}</Contents>`;
  }
  return xml + commonPrefixes(found, show);
}

const commonPrefixes = (found: Walk, show: (text: string) => string): string =>
  found.prefixes.map((prefix) => `<CommonPrefixes>${element("Prefix", show(prefix))}</CommonPrefixes>`).join("");

function row(version: Version, show: (text: string) => string): string {
  const head = element("Key", show(version.key)) + element("LastModified", isoDate(version.lastModifiedMs));
  if (!isObject(version)) return head;
  const { etag, checksum, attributes } = version.content;
  return (
    head +
    element("ETag", quoted(etag)) +
    (checksum
      ? element("ChecksumAlgorithm", checksum.name.toUpperCase()) + element("ChecksumType", checksum.type)
      : "") +
    element("Size", version.sizeBytes) +
    element("StorageClass", attributes.storageClass)
  );
}

let lastIso = { ms: Number.NaN, text: "" };
function isoDate(ms: number): string {
  if (lastIso.ms !== ms) lastIso = { ms, text: new Date(ms).toISOString() };
  return lastIso.text;
}

export function listObjectVersions(call: Call): Answer {
  const bucket = bucketOf(call);
  const { query, prefix, delimiter, rowsMax, show, head } = parameters(call);
  const keyMarker = query.get("key-marker") ?? "";
  const versionMarker = query.get("version-id-marker") ?? "";
  let [xml, count] = ["", 0];
  let next: { key: string; versionId: string } | undefined;
  let last = { key: "", versionId: "" };
  const add = (key: string, versionId: string, row: string): boolean => {
    if (count === rowsMax) next = last;
    else xml += row;
    count++;
    last = { key, versionId };
    return next === undefined;
  };
  // Versions left over from the key on which the last page ended come first.
  const rest = keyMarker !== "" && versionMarker !== "" ? bucket.versions(keyMarker) : [];
  const from = rest.findIndex((version) => version.versionId === versionMarker);
  const more = rest.slice(from < 0 ? rest.length : from + 1);
  const emit = (version: Version) => add(version.key, version.versionId, versionRow(bucket, version, show));
  let open = more.every(emit);
  let after: Marker | undefined = behindMarker(keyMarker, delimiter);
  while (open) {
    const found = walk(bucket, { prefix, delimiter, after, rowsMax: 1, shows: () => true });
    const [key, rolled] = [found.keys[0], found.prefixes[0]];
    if (rolled !== undefined) open = add(rolled, "", commonPrefixes({ keys: [], prefixes: [rolled] }, show));
    else if (key !== undefined) open = bucket.versions(key).every(emit);
    after = found.next;
    open &&= after !== undefined;
  }
  const truncated =
    element("KeyMarker", show(keyMarker)) +
    element("VersionIdMarker", versionMarker) +
    element("NextKeyMarker", next && show(next.key)) +
    element("NextVersionIdMarker", next?.versionId || undefined) +
    element("IsTruncated", next !== undefined);
  return xmlAnswer(document("ListVersionsResult", head + truncated + xml));
}

function versionRow(bucket: Bucket, version: Version, show: (text: string) => string): string {
  const name = version.content ? "Version" : "DeleteMarker";
  const latest = bucket.find(version.key, undefined) === version;
  const inner = element("VersionId", version.versionId) + element("IsLatest", latest) + row(version, show) + OWNER;
  return `<${name}>${inner}</${name}>`;
}

const behind = (key: string | null): Marker | undefined => (key ? { key, rolled: false } : undefined);

const behindMarker = (key: string, delimiter: string): Marker | undefined =>
  key === "" ? undefined : { key, rolled: delimiter !== "" && key.endsWith(delimiter) };

/** Opaque to clients, as S3's are. */
const writeToken = ({ key, rolled }: Marker): string =>
  Buffer.from(`${rolled ? "p" : "k"}${key}`).toString("base64url");

function readToken(token: string): Marker {
  const text = Buffer.from(token, "base64url").toString("utf8");
  if (!/^[pk]/.test(text)) throw invalid("The continuation token provided is incorrect");
  return { key: text.slice(1), rolled: text.startsWith("p") };
}

const invalid = (message: string): S3Refusal => new S3Refusal("InvalidArgument", message);
