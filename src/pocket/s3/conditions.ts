/** Conditional requests ("Conditional requests", Amazon S3 User Guide; RFC 9110, section 13). */
import type { IncomingHttpHeaders } from "node:http";
import type { Content, Version } from "./bucket.ts";
import { httpDate, noSuchKey, quoted } from "./call.ts";
import { S3Refusal } from "./refusal.ts";

type Existing = Version & { readonly content: Content };

export function checkRead(headers: IncomingHttpHeaders, { content, lastModifiedMs }: Existing): void {
  const ifMatch = headers["if-match"];
  const ifNoneMatch = headers["if-none-match"];
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, content.etag)) throw failed("If-Match");
  } else if (lastModifiedMs > since(headers["if-unmodified-since"], Number.POSITIVE_INFINITY)) {
    throw failed("If-Unmodified-Since");
  }
  const unchanged =
    ifNoneMatch === undefined
      ? lastModifiedMs <= since(headers["if-modified-since"], Number.NEGATIVE_INFINITY)
      : matches(ifNoneMatch, content.etag);
  if (!unchanged) return;
  throw new S3Refusal("NotModified", "Not Modified", {
    headers: { etag: quoted(content.etag), "last-modified": httpDate(lastModifiedMs) },
  });
}

/** Looked at in the same turn as the write itself, so that of two create-only writes one is refused. */
export function checkWrite(headers: IncomingHttpHeaders, key: string, current: Existing | undefined): void {
  const ifMatch = headers["if-match"];
  const ifNoneMatch = headers["if-none-match"];
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch !== "*") {
      throw new S3Refusal("NotImplemented", "A header you provided implies functionality that is not implemented", {
        elements: { Header: "If-None-Match" },
      });
    }
    if (current) throw failed("If-None-Match");
  }
  if (ifMatch === undefined) return;
  if (!current) throw noSuchKey(key);
  if (!matches(ifMatch, current.content.etag)) throw failed("If-Match");
}

export function checkCopySource(headers: IncomingHttpHeaders, { content, lastModifiedMs }: Existing): void {
  const condition = (name: string): string | undefined => {
    const value = headers[`x-amz-copy-source-if-${name}`];
    return typeof value === "string" ? value : undefined;
  };
  const [match, noneMatch] = [condition("match"), condition("none-match")];
  if (match !== undefined && !matches(match, content.etag)) throw failed("x-amz-copy-source-If-Match");
  if (noneMatch !== undefined && matches(noneMatch, content.etag)) throw failed("x-amz-copy-source-If-None-Match");
  if (match === undefined && lastModifiedMs > since(condition("unmodified-since"), Number.POSITIVE_INFINITY)) {
    throw failed("x-amz-copy-source-If-Unmodified-Since");
  }
  if (noneMatch === undefined && lastModifiedMs <= since(condition("modified-since"), Number.NEGATIVE_INFINITY)) {
    throw failed("x-amz-copy-source-If-Modified-Since");
  }
}

const matches = (header: string, etag: string): boolean =>
  header.split(",").some((entry) => {
    const text = entry.trim().replace(/^W\//, "");
    return text === "*" || text === quoted(etag) || text === etag;
  });

/** An unreadable date is no condition (RFC 9110, 13.1.3). */
function since(date: string | undefined, otherwise: number): number {
  const ms = Date.parse(date ?? "");
  return Number.isNaN(ms) ? otherwise : ms;
}

const failed = (condition: string): S3Refusal =>
  new S3Refusal("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", {
    elements: { Condition: condition },
  });
