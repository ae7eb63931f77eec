/** ListObjects, V1 and V2, of rows that are in order. */
import { isoDate } from "./clock.ts";
import type { Rows } from "./buckets.ts";

const AFTER_ALL = "\uffff";

export function listXml(rows: Rows, query: URLSearchParams): string {
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter") ?? "";
  const isV2 = query.get("list-type") === "2";
  const most = Math.min(Number(query.get("max-keys") ?? 1000), 1000);
  const after = query.get("continuation-token") ?? query.get("start-after") ?? query.get("marker") ?? "";
  let at = rows.from(after >= prefix ? after : prefix);
  if (after !== "" && at < rows.count && rows.at(at).key === after) at++;
  let [contents, prefixes, count, last] = ["", "", 0, ""];
  while (at < rows.count && count < most) {
    const { key, sizeBytes, etag, modifiedMs } = rows.at(at);
    if (!key.startsWith(prefix)) break;
    count++;
    const cut = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (cut < 0) {
      contents += `<Contents><Key>${key}</Key><LastModified>${isoDate(modifiedMs)}</LastModified><ETag>&quot;${etag}&quot;</ETag><Size>${sizeBytes}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
      last = key;
      at++;
    } else {
      const folder = key.slice(0, cut + 1);
      prefixes += `<CommonPrefixes><Prefix>${folder}</Prefix></CommonPrefixes>`;
      last = folder + AFTER_ALL;
      at = rows.from(last);
    }
  }
  const more = at < rows.count && rows.at(at).key.startsWith(prefix);
  const next = more
    ? isV2
      ? `<NextContinuationToken>${last}</NextContinuationToken>`
      : `<NextMarker>${last}</NextMarker>`
    : "";
  const encoding = query.has("encoding-type") ? "<EncodingType>url</EncodingType>" : "";
  const stated = isV2 ? `<KeyCount>${count}</KeyCount>` : "";
  return `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>${prefix}</Prefix>${encoding}${stated}<MaxKeys>${most}</MaxKeys><IsTruncated>${more}</IsTruncated>${next}${contents}${prefixes}</ListBucketResult>`;
}
