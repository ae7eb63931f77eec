/**
 * A pocket Cloud Storage: the part of the JSON API (storage/v1) that sealift, rclone and Google's own client use, computed in
 * memory. It checks what the real one checks (preconditions, CRC32C and MD5, names, metadata limits, customer keys) and answers
 * 501 to what it does not do (rewrite, copy, versioning, ACLs, notifications). It asks for no credentials.
 */
import type { ServerResponse } from "node:http";
import { compareKeys } from "../core/object.ts";
import { json, invalid, Refusal, refuse, selectFields } from "./gcs/answer.ts";
import { compose } from "./gcs/compose.ts";
import { download } from "./gcs/download.ts";
import { applied, parseJson, resourceOf } from "./gcs/resource.ts";
import { type Bucket, checkConditions, Cloud } from "./gcs/state.ts";
import { Uploads } from "./gcs/upload.ts";
import { heard } from "./harm.ts";
import { type PocketRequest, type PocketServer, readBody, startPocketServer } from "./http.ts";

const PAGE_OBJECTS_MAX = 1000;

export interface PocketGcsOptions {
  readonly port?: number;
  /** Bytes that one request of a resumable upload persists at most (default: all of them). */
  readonly persistBytesMax?: number;
  /** Objects of a listing's page, however many are asked for. */
  readonly rowsMax?: number;
}

export interface PocketGcs extends PocketServer {
  createBucket(name: string): void;
}

export async function startPocketGcs(options: PocketGcsOptions = {}): Promise<PocketGcs> {
  const cloud = new Cloud();
  const { rowsMax = PAGE_OBJECTS_MAX } = options;
  let url = "";
  const uploads = new Uploads(cloud, () => url, options.persistBytesMax ?? Number.POSITIVE_INFINITY);
  const server = await startPocketServer(async (request, response, count) => {
    try {
      count(await route({ cloud, uploads, origin: url, rowsMax }, heard(request), response));
    } catch (error) {
      if (!(error instanceof Refusal) || response.headersSent) throw error;
      request.incoming.resume();
      refuse(response, error);
    }
  }, options.port);
  url = server.url;
  return { ...server, createBucket: (name) => void cloud.createBucket(name) };
}

interface Rooms {
  readonly cloud: Cloud;
  readonly uploads: Uploads;
  readonly origin: string;
  readonly rowsMax: number;
}

/** Answers, and names the operation for the counts. */
async function route(rooms: Rooms, request: PocketRequest, response: ServerResponse): Promise<string> {
  const composed = /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)\/compose$/.exec(request.path);
  if (composed && request.method === "POST") {
    const [bucket, name] = [decode(composed[1]), decode(composed[2])];
    await compose(rooms, rooms.cloud.bucket(bucket ?? ""), name ?? "", request, response);
    return "compose";
  }
  const path = /^\/(storage|upload\/storage|download\/storage)\/v1\/b(?:\/([^/]+)(?:\/o(?:\/([^/]+))?)?)?$/.exec(
    request.path,
  );
  if (path === null) throw new Refusal(request.path.includes("/b/") ? 501 : 404, "notFound", "Not Found");
  const [, door, bucketPart, objectPart] = path;
  const bucketName = decode(bucketPart);
  const objectName = decode(objectPart);
  const underObjects = /\/o(?:\/[^/]+)?$/.test(request.path) && bucketName !== undefined;
  if (door === "upload/storage" && underObjects && objectName === undefined) {
    return upload(rooms.uploads, bucketName, request, response);
  }
  if (door === "upload/storage") throw new Refusal(404, "notFound", "Not Found");
  if (!underObjects) return buckets(rooms.cloud, bucketName, request, response);
  const bucket = rooms.cloud.bucket(bucketName);
  if (objectName !== undefined) return object(rooms, bucket, objectName, request, response);
  if (request.method !== "GET") throw notDone(request);
  list(rooms, bucket, request, response);
  return "list";
}

function decode(part: string | undefined): string | undefined {
  try {
    return part === undefined ? undefined : decodeURIComponent(part);
  } catch {
    throw invalid("Malformed path.");
  }
}

const notDone = ({ method, path }: PocketRequest) =>
  new Refusal(501, "notImplemented", `${method} ${path} is not done here`);

async function upload(uploads: Uploads, bucket: string, request: PocketRequest, response: ServerResponse) {
  if (request.method === "POST") return uploads.post(bucket, request, response);
  if (request.method === "PUT") await uploads.resume(request, response);
  else if (request.method === "DELETE") uploads.cancel(request, response);
  else throw notDone(request);
  return request.method === "PUT" ? "upload-chunk" : "upload-cancel";
}

async function buckets(cloud: Cloud, name: string | undefined, request: PocketRequest, response: ServerResponse) {
  const describe = ({ name: id, timeCreated }: Bucket) => ({
    kind: "storage#bucket",
    id,
    name: id,
    timeCreated,
    location: "US",
  });
  if (request.method === "POST" && name === undefined) {
    const given = parseJson((await readBody(request.incoming)).toString("utf8"));
    json(response, describe(cloud.createBucket(String(given["name"]))));
  } else if (request.method === "GET" && name === undefined) {
    json(response, { kind: "storage#buckets", items: [...cloud.buckets.values()].map(describe) });
  } else if (request.method === "GET" && name !== undefined) {
    json(response, describe(cloud.bucket(name)));
  } else if (request.method === "DELETE" && name !== undefined) {
    if (cloud.bucket(name).size > 0) throw new Refusal(409, "conflict", "The bucket you tried to delete is not empty.");
    cloud.buckets.delete(name);
    response.writeHead(204).end();
  } else throw notDone(request);
  return "bucket";
}

async function object(
  { origin }: Rooms,
  bucket: Bucket,
  name: string,
  request: PocketRequest,
  response: ServerResponse,
): Promise<string> {
  const { method, query } = request;
  if (method !== "GET" && method !== "DELETE" && method !== "PATCH") throw notDone(request);
  const given = method === "PATCH" ? parseJson((await readBody(request.incoming)).toString("utf8")) : {};
  const found = bucket.get(name, query.get("generation"));
  checkConditions(query, found, method === "GET");
  if (method === "DELETE") {
    bucket.delete(name);
    response.writeHead(204).end();
    return "delete";
  }
  if (method === "PATCH") {
    const set = applied(found.set, given);
    const after = { ...found, set, metageneration: found.metageneration + 1, updated: new Date().toISOString() };
    bucket.set(after);
    json(response, selectFields(resourceOf(origin, bucket, after), query.get("fields")));
    return "patch";
  }
  if (query.get("alt") === "media" || request.path.startsWith("/download/")) {
    await download(found, request, response);
    return "media";
  }
  json(response, selectFields(resourceOf(origin, bucket, found), query.get("fields")));
  return "get";
}

function list({ origin, rowsMax }: Rooms, bucket: Bucket, { query }: PocketRequest, response: ServerResponse): void {
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter") ?? "";
  const end = query.get("endOffset");
  const maximum = Math.min(Number(query.get("maxResults") ?? rowsMax), rowsMax);
  const token = query.get("pageToken");
  const resumed = token === null ? "" : Buffer.from(token, "base64url").toString("utf8");
  const start = [query.get("startOffset") ?? "", prefix, resumed].sort(compareKeys).at(-1) ?? "";
  const items: unknown[] = [];
  const prefixes = new Set<string>();
  let nextPageToken: string | undefined;
  let lastSeen = "";
  for (const name of bucket.names(start)) {
    if (token !== null && name === resumed) continue;
    if (!name.startsWith(prefix) || (end !== null && compareKeys(name, end) >= 0)) break;
    const cut = delimiter === "" ? -1 : name.indexOf(delimiter, prefix.length);
    const folder = cut < 0 ? undefined : name.slice(0, cut + delimiter.length);
    if (folder !== undefined && (prefixes.has(folder) || resumed.startsWith(folder))) continue;
    if (items.length + prefixes.size >= maximum) {
      nextPageToken = Buffer.from(lastSeen, "utf8").toString("base64url");
      break;
    }
    lastSeen = name;
    if (folder !== undefined) prefixes.add(folder);
    else items.push(resourceOf(origin, bucket, bucket.get(name, null)));
  }
  const page = {
    kind: "storage#objects",
    ...(nextPageToken === undefined ? {} : { nextPageToken }),
    ...(prefixes.size === 0 ? {} : { prefixes: [...prefixes] }),
    ...(items.length === 0 ? {} : { items }),
  };
  json(response, selectFields(page, query.get("fields")));
}
