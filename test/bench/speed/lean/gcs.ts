/**
 * The Cloud Storage that the benchmark moves to: the part of the JSON API (storage/v1) that sealift and rclone use. No tokens are
 * looked at; CRC32Cs are computed, MD5s are not (as of composed objects, a resource then has no md5Hash).
 */
import { crc32cText } from "../../../../src/core/crc32c.ts";
import { Arriving, crcOf, joinedParts, type Stored, WrittenBucket } from "./buckets.ts";
import { isoDate } from "./clock.ts";
import type { Counts } from "./counts.ts";
import { type Description, RelatedBody } from "./related.ts";
import { Sessions } from "./sessions.ts";
import { type Intake, type LeanAnswer, type LeanHandler, type LeanRequest, whole, without } from "./wire.ts";

const JSON_TYPE = "Content-Type: application/json; charset=UTF-8\r\n";
const PATH = /^\/(?:(upload|download)\/)?storage\/v1\/b\/([^/]+)(?:\/o(?:\/([^/]+)(\/compose)?)?)?$/;

interface Place {
  readonly bucket: WrittenBucket;
  readonly bucketName: string;
  readonly query: URLSearchParams;
}

export class LeanGcs {
  readonly buckets = new Map<string, WrittenBucket>();
  readonly #counts: Counts;
  readonly #sessions: Sessions;

  constructor(counts: Counts, origin: () => string) {
    this.#counts = counts;
    this.#sessions = new Sessions(counts, origin);
  }

  readonly handler: LeanHandler = (request) => {
    const [, door, bucketName = "", rawKey, compose] = PATH.exec(request.path) ?? [];
    let bucket = this.buckets.get(bucketName);
    if (bucket === undefined) this.buckets.set(bucketName, (bucket = new WrittenBucket()));
    const place = { bucket, bucketName, query: new URLSearchParams(request.query) };
    if (door === "upload") return this.#upload(request, place);
    const key = rawKey === undefined ? undefined : decodeURIComponent(rawKey);
    if (key === undefined) return this.#onBucket(request, place);
    return compose === undefined ? this.#onObject(request, place, key) : this.#compose(place, key);
  };

  #counted(kind: string, answer: () => LeanAnswer): Intake {
    this.#counts.add(kind);
    return without(answer);
  }

  #onBucket({ path, method }: LeanRequest, place: Place): Intake {
    if (!path.endsWith("/o")) return this.#counted(`bucket ${method}`, () => json({ name: place.bucketName }));
    return this.#counted("LIST", () => json(listOf(place)));
  }

  #onObject({ method, headers }: LeanRequest, { bucket, bucketName, query }: Place, key: string): Intake {
    const object = bucket.get(key);
    if (method === "DELETE") {
      return this.#counted("DELETE", () => (bucket.remove(key) ? { status: 204 } : refusal(404, "notFound")));
    }
    const isMedia = query.get("alt") === "media";
    return this.#counted(isMedia ? "GET" : "meta", () => {
      if (!object) return refusal(404, "notFound");
      if (!fits(query, object)) return refusal(412, "conditionNotMet");
      return isMedia ? this.#media(object, headers["range"]) : json(resourceOf(bucketName, object));
    });
  }

  #media(object: Stored, range: string | undefined): LeanAnswer {
    const [, from = "0", last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
    const start = Number(from);
    const end = last ? Math.min(Number(last) + 1, object.sizeBytes) : object.sizeBytes;
    if (!object.read) return refusal(500, "notKept");
    const body = Buffer.concat([
      ...{ [Symbol.iterator]: () => (object.read as NonNullable<Stored["read"]>)(start, end) },
    ]);
    this.#counts.sent(body.length);
    const part = range === undefined ? "" : `Content-Range: bytes ${start}-${end - 1}/${object.sizeBytes}\r\n`;
    const type = object.contentType ?? "application/octet-stream";
    const head = `Content-Type: ${type}\r\nx-goog-generation: ${object.generation}\r\nx-goog-hash: crc32c=${crc32cText(crcOf(object))}\r\n${part}`;
    return { status: range === undefined ? 200 : 206, head, body };
  }

  #upload(request: LeanRequest, place: Place): Intake {
    const { query, bucket } = place;
    const finish = (given: Description, arrived: Arriving): LeanAnswer => {
      this.#counts.received(arrived.sizeBytes);
      return this.#made(place, given, arrived);
    };
    if (query.has("upload_id")) return this.#sessions.take(request, query.get("upload_id") ?? "", finish);
    const standing = bucket.get(query.get("name") ?? "");
    if (query.get("uploadType") === "resumable") {
      return this.#sessions.begin(request, place.bucketName, query, () =>
        fits(query, standing) ? undefined : refusal(412, "conditionNotMet"),
      );
    }
    this.#counts.add("upload");
    const related = new RelatedBody(request.headers["content-type"] ?? "");
    return { chunk: (bytes) => related.chunk(bytes), end: () => finish(related.end(), related.media) };
  }

  #made({ bucket, bucketName, query }: Place, given: Description, arrived: Arriving): LeanAnswer {
    const key = query.get("name") ?? given.name ?? "";
    if (!fits(query, bucket.get(key))) return refusal(412, "conditionNotMet");
    const done = arrived.done();
    const sum = crcOf(done);
    if (given.crc32c !== undefined && given.crc32c !== crc32cText(sum)) return refusal(400, "invalid");
    const attributes = { metadata: new Map(Object.entries(given.metadata ?? {})), contentType: given.contentType };
    const object = bucket.put(key, { ...done, crc32c: sum, ...attributes, statedCrc32c: undefined });
    return json(resourceOf(bucketName, object));
  }

  #compose({ bucket, bucketName, query }: Place, key: string): Intake {
    this.#counts.add("compose");
    return whole((body) => {
      const { sourceObjects, destination = {}, deleteSourceObjects } = JSON.parse(body.toString("utf8")) as Composition;
      const sources = sourceObjects.map(({ name }) => bucket.get(name));
      if (sources.includes(undefined)) return refusal(404, "notFound");
      if (!fits(query, bucket.get(key))) return refusal(412, "conditionNotMet");
      const attributes = {
        metadata: new Map(Object.entries(destination.metadata ?? {})),
        contentType: destination.contentType,
        statedCrc32c: undefined,
      };
      const object = bucket.put(key, { ...joinedParts(sources as Stored[]), ...attributes });
      if (deleteSourceObjects) for (const { name } of sourceObjects) bucket.remove(name);
      return json(resourceOf(bucketName, object));
    });
  }
}

interface Composition {
  readonly sourceObjects: readonly { readonly name: string }[];
  readonly destination?: Description;
  readonly deleteSourceObjects?: boolean;
}

const json = (value: object): LeanAnswer => ({ status: 200, head: JSON_TYPE, body: JSON.stringify(value) });
const refusal = (code: number, reason: string): LeanAnswer => ({
  status: code,
  head: JSON_TYPE,
  body: JSON.stringify({ error: { code, message: reason, errors: [{ reason }] } }),
});

/** Preconditions of generations; 0 stands for no object. */
function fits(query: URLSearchParams, standing: Stored | undefined): boolean {
  const match = query.get("ifGenerationMatch");
  return match === null || Number(match) === (standing?.generation ?? 0);
}

function resourceOf(bucket: string, object: Stored): object {
  const { key, generation, sizeBytes, metadata, contentType, modifiedMs } = object;
  return {
    kind: "storage#object",
    name: key,
    bucket,
    generation: String(generation),
    metageneration: "1",
    storageClass: "STANDARD",
    size: String(sizeBytes),
    etag: Buffer.from(`${generation}/1`).toString("base64"),
    timeCreated: isoDate(modifiedMs),
    updated: isoDate(modifiedMs),
    crc32c: crc32cText(crcOf(object)),
    ...(contentType === undefined ? {} : { contentType }),
    ...(metadata.size === 0 ? {} : { metadata: Object.fromEntries(metadata) }),
  };
}

function listOf({ bucket, bucketName, query }: Place): object {
  const rows = bucket.rows();
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter") ?? "";
  const most = Number(query.get("maxResults") ?? 1000);
  const [items, prefixes] = [[] as object[], [] as string[]];
  const start = query.get("pageToken") ?? query.get("startOffset") ?? "";
  let at = rows.from(start > prefix ? start : prefix);
  while (at < rows.count && items.length + prefixes.length < most) {
    const { key } = rows.at(at);
    if (!key.startsWith(prefix)) return { kind: "storage#objects", items, prefixes };
    const cut = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (cut < 0) {
      items.push(resourceOf(bucketName, bucket.get(key) as Stored));
      at++;
    } else {
      prefixes.push(key.slice(0, cut + 1));
      at = rows.from(`${key.slice(0, cut + 1)}\uffff`);
    }
  }
  const more = at < rows.count && rows.at(at).key.startsWith(prefix);
  return { kind: "storage#objects", items, prefixes, ...(more ? { nextPageToken: rows.at(at).key } : {}) };
}
