/**
 * The S3 that the benchmark moves from and to: no signatures, no permissions, and what sealift, rclone and the SDKs ask for besides.
 * ETags have the form of those of multipart uploads (`hex-1`), which every client takes for opaque: nobody computes an MD5.
 */
import { httpDate } from "./clock.ts";
import type { Counts } from "./counts.ts";
import { Arriving, type Bucket, type Stored, WrittenBucket } from "./buckets.ts";
import { listXml } from "./listing.ts";
import { type Intake, type LeanAnswer, type LeanHandler, type LeanRequest, whole, without } from "./wire.ts";
import { Uploads } from "./uploads.ts";

const XML = "Content-Type: application/xml\r\n";
const META = "x-amz-meta-";

export class LeanS3 {
  readonly buckets = new Map<string, Bucket>();
  readonly #counts: Counts;
  readonly #uploads = new Uploads();

  constructor(counts: Counts) {
    this.#counts = counts;
  }

  readonly handler: LeanHandler = (request) => {
    const slash = request.path.indexOf("/", 1);
    const bucketName = slash < 0 ? request.path.slice(1) : request.path.slice(1, slash);
    const rawKey = slash < 0 ? "" : request.path.slice(slash + 1);
    const key = rawKey.includes("%") ? decodeURIComponent(rawKey) : rawKey;
    const bucket = this.#bucket(bucketName);
    const query = request.query === "" ? NO_QUERY : new URLSearchParams(request.query);
    return key === "" ? this.#onBucket(request, bucket, query) : this.#onObject(request, bucket, key, query);
  };

  #bucket(name: string): Bucket {
    let bucket = this.buckets.get(name);
    if (bucket === undefined) this.buckets.set(name, (bucket = new WrittenBucket()));
    return bucket;
  }

  #onBucket({ method }: LeanRequest, bucket: Bucket, query: URLSearchParams): Intake {
    if (method !== "GET") return this.#counted(method, () => ({ status: 200 }));
    if (query.has("location")) return this.#counted("location", () => xml('<LocationConstraint xmlns="x"/>'));
    if (query.has("versioning")) return this.#counted("versioning", () => xml("<VersioningConfiguration/>"));
    if (query.has("uploads"))
      return this.#counted("list uploads", () => xml(this.#uploads.listXml(query.get("prefix") ?? "")));
    return this.#counted("LIST", () => {
      const text = listXml(bucket.rows(), query);
      this.#counts.sent(text.length);
      return xml(text);
    });
  }

  #onObject(request: LeanRequest, bucket: Bucket, key: string, query: URLSearchParams): Intake {
    const { method } = request;
    const upload = query.get("uploadId");
    if (method === "PUT") {
      return upload === null ? this.#put(request, bucket, key) : this.#putPart(request, upload, query);
    }
    if (method === "POST") return this.#post(request, bucket, key, upload);
    if (method === "DELETE") {
      return this.#counted("DELETE", () => {
        if (upload !== null) this.#uploads.forget(upload);
        else if (bucket instanceof WrittenBucket) bucket.remove(key);
        return { status: 204 };
      });
    }
    if (upload !== null) return this.#counted("list parts", () => xml(this.#uploads.partsXml(upload)));
    return this.#counted(method, () => this.#read(request, bucket.get(key), key));
  }

  #counted(kind: string, answer: () => LeanAnswer): Intake {
    this.#counts.add(kind);
    return without(answer);
  }

  #read({ method, headers }: LeanRequest, object: Stored | undefined, key: string): LeanAnswer {
    if (object === undefined) return method === "HEAD" ? { status: 404 } : refusal(404, "NoSuchKey", key);
    const match = headers["if-match"];
    if (match !== undefined && match.replaceAll('"', "") !== object.etag)
      return refusal(412, "PreconditionFailed", key);
    const head = headLines(object, headers["x-amz-checksum-mode"] !== undefined);
    const { start, end } = rangeOf(headers["range"], object.sizeBytes);
    if (method === "HEAD") return { status: 200, head, statedBytes: object.sizeBytes };
    if (!object.read) return refusal(500, "NotKept", key);
    const isPart = headers["range"] !== undefined;
    const lines = isPart ? `${head}Content-Range: bytes ${start}-${end - 1}/${object.sizeBytes}\r\n` : head;
    this.#counts.sent(end - start);
    const each = object.read(start, end);
    const status = isPart ? 206 : 200;
    if (end - start > 256 * 1024) return { status, head: lines, pieces: { sizeBytes: end - start, each } };
    const pieces: Buffer[] = [];
    for (let next = each.next(); !next.done; next = each.next()) pieces.push(next.value);
    return { status, head: lines, body: pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces) };
  }

  #put(request: LeanRequest, bucket: Bucket, key: string): Intake {
    const { headers } = request;
    this.#counts.add("PUT");
    const arriving = new Arriving();
    const copied = headers["x-amz-copy-source"];
    return {
      chunk: (bytes) => arriving.chunk(bytes),
      end: () => {
        this.#counts.received(arriving.sizeBytes);
        if (!(bucket instanceof WrittenBucket) || copied !== undefined) return refusal(501, "NotImplemented", key);
        const refused = conditions(headers, bucket.get(key), key);
        if (refused) return refused;
        const stated = headers["x-amz-checksum-crc32c"];
        const stored = bucket.put(key, { ...arriving.done(), ...attributesOf(headers), statedCrc32c: stated });
        return { status: 200, head: `ETag: "${stored.etag}"\r\n${checksumLine(stated)}` };
      },
    };
  }

  #putPart({ headers }: LeanRequest, upload: string, query: URLSearchParams): Intake {
    this.#counts.add("part");
    const arriving = new Arriving();
    return {
      chunk: (bytes) => arriving.chunk(bytes),
      end: () => {
        this.#counts.received(arriving.sizeBytes);
        const stated = headers["x-amz-checksum-crc32c"];
        const etag = this.#uploads.put(upload, Number(query.get("partNumber")), arriving.done(), stated);
        return etag === undefined
          ? refusal(404, "NoSuchUpload", upload)
          : { status: 200, head: `ETag: "${etag}"\r\n${checksumLine(stated)}` };
      },
    };
  }

  #post(request: LeanRequest, bucket: Bucket, key: string, upload: string | null): Intake {
    const { headers } = request;
    if (upload === null) {
      return this.#counted("create upload", () => {
        const id = this.#uploads.begin(key, attributesOf(headers));
        return xml(
          `<InitiateMultipartUploadResult><Key>k</Key><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
        );
      });
    }
    this.#counts.add("complete upload");
    return whole((body) => {
      const object = this.#uploads.complete(upload, body.toString("latin1"));
      if (!object || !(bucket instanceof WrittenBucket)) return refusal(404, "NoSuchUpload", key);
      const refused = conditions(headers, bucket.get(key), key);
      if (refused) return refused;
      this.#uploads.forget(upload);
      const { etag } = bucket.put(key, { ...object, statedCrc32c: headers["x-amz-checksum-crc32c"] });
      return xml(
        `<CompleteMultipartUploadResult><Key>k</Key><ETag>&quot;${etag}&quot;</ETag></CompleteMultipartUploadResult>`,
      );
    });
  }
}

const NO_QUERY = new URLSearchParams();
const xml = (text: string): LeanAnswer => ({ status: 200, head: XML, body: text });
const refusal = (status: number, code: string, key: string): LeanAnswer => ({
  status,
  head: XML,
  body: `<Error><Code>${code}</Code><Message>${code}</Message><Key>${key}</Key></Error>`,
});
const checksumLine = (stated: string | undefined): string =>
  stated === undefined ? "" : `x-amz-checksum-crc32c: ${stated}\r\nx-amz-checksum-type: FULL_OBJECT\r\n`;

function conditions(
  headers: LeanRequest["headers"],
  standing: Stored | undefined,
  key: string,
): LeanAnswer | undefined {
  if (headers["if-none-match"] === "*" && standing) return refusal(412, "PreconditionFailed", key);
  const match = headers["if-match"]?.replaceAll('"', "");
  return match !== undefined && match !== standing?.etag ? refusal(412, "PreconditionFailed", key) : undefined;
}

function attributesOf(headers: LeanRequest["headers"]): Pick<Stored, "metadata" | "contentType"> {
  const metadata = new Map<string, string>();
  for (const name in headers) if (name.startsWith(META)) metadata.set(name.slice(META.length), headers[name] as string);
  return { metadata, contentType: headers["content-type"] };
}

function headLines(object: Stored, withChecksum: boolean): string {
  let lines = `ETag: "${object.etag}"\r\nLast-Modified: ${httpDate(object.modifiedMs)}\r\nAccept-Ranges: bytes\r\n`;
  lines += `Content-Type: ${object.contentType ?? "binary/octet-stream"}\r\n`;
  for (const [name, value] of object.metadata) lines += `${META}${name}: ${value}\r\n`;
  if (withChecksum) lines += checksumLine(object.statedCrc32c ?? crcText(object));
  return lines;
}

function crcText({ crc32c }: Stored): string | undefined {
  if (crc32c === undefined) return undefined;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32c);
  return bytes.toString("base64");
}

function rangeOf(text: string | undefined, sizeBytes: number): { start: number; end: number } {
  const [, start = "", last = ""] = /^bytes=(\d+)-(\d*)$/.exec(text ?? "") ?? [];
  return { start: Number(start), end: last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes) };
}
