/**
 * The three ways of writing: media, multipart and resumable uploads. A resumable session keeps what has arrived in multiples of
 * 256 KiB, answers 308 with a Range until it is whole, and makes the object visible only then.
 */
import { createHash, randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { type PocketRequest, readBody } from "../http.ts";
import { invalid, json, Refusal, selectFields } from "./answer.ts";
import { applied, Gatherer, parseJson, resourceOf } from "./resource.ts";
import { type Bucket, checkConditions, checkName, type Cloud, type StoredObject } from "./state.ts";

const GRANULE_BYTES = 256 * 1024;

type Json = Readonly<Record<string, unknown>>;

interface Draft {
  readonly bucket: Bucket;
  readonly name: string;
  readonly given: Json;
  readonly query: URLSearchParams;
  readonly customerKeySha256: string | undefined;
}

interface Session extends Draft {
  readonly gatherer: Gatherer;
  done?: Record<string, unknown>;
}

export class Uploads {
  readonly #cloud: Cloud;
  readonly #origin: () => string;
  /** Bytes that one request of a session persists at most: the service may keep fewer than it was sent. */
  readonly #persistBytesMax: number;
  readonly #sessions = new Map<string, Session>();

  constructor(cloud: Cloud, origin: () => string, persistBytesMax: number) {
    this.#cloud = cloud;
    this.#origin = origin;
    this.#persistBytesMax = persistBytesMax;
  }

  async post(bucketName: string, request: PocketRequest, response: ServerResponse): Promise<string> {
    const { query } = request;
    const kind = query.get("uploadType") ?? "";
    if (kind !== "media" && kind !== "multipart" && kind !== "resumable") throw invalid(`Invalid uploadType: ${kind}`);
    const body = await readBody(request.incoming);
    const bucket = this.#cloud.bucket(bucketName);
    if (kind === "resumable") {
      const given = parseJson(body.toString("utf8"));
      this.#start(draftOf(bucket, request, given), request, response);
      return "upload-start";
    }
    const contentType = request.headers["content-type"];
    const { given, bytes } =
      kind === "media" ? { given: { contentType }, bytes: body } : parseRelated(body, contentType ?? "");
    const gatherer = new Gatherer();
    gatherer.add(bytes);
    const hash = request.headers["x-goog-hash"];
    const made = this.#finish(draftOf(bucket, request, given), gatherer, typeof hash === "string" ? hash : undefined);
    json(response, selectFields(made, query.get("fields")));
    return `upload-${kind}`;
  }

  #start(draft: Draft, request: PocketRequest, response: ServerResponse): void {
    checkConditions(draft.query, draft.bucket.find(draft.name));
    const announced = request.headers["x-upload-content-type"];
    const given = typeof announced === "string" ? { contentType: announced, ...draft.given } : draft.given;
    applied({}, given);
    const id = randomBytes(24).toString("base64url");
    this.#sessions.set(id, { ...draft, given, gatherer: new Gatherer() });
    const query = new URLSearchParams({ uploadType: "resumable", name: draft.name, upload_id: id });
    const path = `/upload/storage/v1/b/${encodeURIComponent(draft.bucket.name)}/o?${query.toString()}`;
    response.writeHead(200, { location: this.#origin() + path, "x-guploader-uploadid": id, "content-length": 0 }).end();
  }

  #session(query: URLSearchParams): Session {
    const session = this.#sessions.get(query.get("upload_id") ?? "");
    if (session === undefined) throw new Refusal(410, "gone", "The upload session is gone.");
    return session;
  }

  cancel({ query, incoming }: PocketRequest, response: ServerResponse): void {
    incoming.resume();
    const session = this.#session(query);
    if (session.done === undefined) this.#sessions.delete(query.get("upload_id") ?? "");
    // 499 is how the service says that a session was cancelled.
    response.writeHead(session.done === undefined ? 499 : 400, { "content-length": 0 }).end();
  }

  async resume(request: PocketRequest, response: ServerResponse): Promise<void> {
    const session = this.#session(request.query);
    const range = /^bytes (?:(\d+)-(\d+|\*)|\*)\/(\d+|\*)$/.exec(request.headers["content-range"] ?? "bytes 0-*/*");
    if (range === null) throw invalid("Failed to parse Content-Range header.");
    const [, first, end, total] = range;
    const { gatherer } = session;
    let whole = gatherer.sizeBytes === Number(total);
    if (first === undefined) request.incoming.resume();
    else
      whole = await this.#append(
        session,
        request,
        Number(first),
        end === "*" && total === "*" ? undefined : Number(total),
      );
    if (session.done === undefined && whole) {
      const hash = request.headers["x-goog-hash"];
      session.done = this.#finish(session, gatherer, typeof hash === "string" ? hash : undefined);
    }
    if (session.done !== undefined) return json(response, selectFields(session.done, session.query.get("fields")));
    const range308 = gatherer.sizeBytes === 0 ? {} : { range: `bytes=0-${gatherer.sizeBytes - 1}` };
    response.writeHead(308, { ...range308, "content-length": 0 }).end();
  }

  /** True when the object is whole. No total: it ends with this request; NaN: it goes on after it. */
  async #append(session: Session, { incoming }: PocketRequest, first: number, total: number | undefined) {
    const { gatherer } = session;
    if (first > gatherer.sizeBytes) {
      incoming.resume();
      throw new Refusal(503, "backendError", "Bytes before the Content-Range are missing.");
    }
    const skip = gatherer.sizeBytes - first;
    const arrived: Buffer[] = [];
    let ended = true;
    try {
      for await (const chunk of incoming) arrived.push(chunk as Buffer);
    } catch {
      ended = false; // the connection broke: what has come so far may be kept
    }
    const bytes = Buffer.concat(arrived).subarray(skip);
    if (total !== undefined && gatherer.sizeBytes + bytes.length > total)
      throw invalid("More bytes than were announced.");
    const persists = Math.min(bytes.length, this.#persistBytesMax);
    const last = ended && (total === undefined || gatherer.sizeBytes + bytes.length === total);
    const whole = last && persists === bytes.length;
    gatherer.add(bytes.subarray(0, whole ? persists : persists - (persists % GRANULE_BYTES)));
    return whole;
  }

  #finish(draft: Draft, gatherer: Gatherer, hash: string | undefined): Record<string, unknown> {
    const { bucket, name, given, query, customerKeySha256 } = draft;
    const bytes = gatherer.finish(given, hash);
    const set = applied({}, given);
    // Nothing awaits between this check and the write: of concurrent creators one wins.
    checkConditions(query, bucket.find(name));
    const timeCreated = new Date().toISOString();
    const kmsKeyName = kmsKey(query.get("kmsKeyName"));
    const generation = this.#cloud.nextGeneration();
    const times = { timeCreated, updated: timeCreated };
    const object: StoredObject = {
      name,
      bytes,
      generation,
      metageneration: 1,
      ...times,
      set,
      kmsKeyName,
      customerKeySha256,
    };
    bucket.set(object);
    return resourceOf(this.#origin(), bucket, object);
  }
}

export function kmsKey(name: string | null): string | undefined {
  if (name === null) return undefined;
  if (/^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+$/.test(name)) return name;
  throw invalid(`Malformed Cloud KMS crypto key: ${name}`);
}

function draftOf(bucket: Bucket, { query, headers, forgets }: PocketRequest, resource: Json): Draft {
  const given = forgets ? forgetting(resource, forgets) : resource;
  const named = typeof given["name"] === "string" ? given["name"] : null;
  return { bucket, name: checkName(query.get("name") ?? named), given, query, customerKeySha256: customerKey(headers) };
}

/** A resource without its fields of these names, and without such custom metadata. */
function forgetting(resource: Json, forgets: RegExp): Json {
  const kept = Object.entries(resource).filter(([name]) => !forgets.test(name));
  const { metadata, ...rest } = Object.fromEntries(kept) as { metadata?: Json };
  return metadata === undefined ? rest : { ...rest, metadata: forgetting(metadata, forgets) };
}

/** The SHA-256 of the customer's key where the request brings one. */
export function customerKey(headers: PocketRequest["headers"]): string | undefined {
  const key = headers["x-goog-encryption-key"];
  if (typeof key !== "string") return undefined;
  const sha256 = createHash("sha256").update(Buffer.from(key, "base64")).digest("base64");
  if (headers["x-goog-encryption-key-sha256"] === sha256 && headers["x-goog-encryption-algorithm"] === "AES256")
    return sha256;
  throw new Refusal(400, "customerEncryptionKeySha256IsInvalid", "The SHA-256 of the key does not match.");
}

/** multipart/related (RFC 2387): a JSON part, then the bytes. */
function parseRelated(body: Buffer, contentType: string): { given: Json; bytes: Buffer } {
  const boundary = /;\s*boundary=(?:"([^"]+)"|'([^']+)'|([^\s;]+))/i.exec(contentType)?.slice(1).find(Boolean);
  if (boundary === undefined) throw invalid("Missing boundary in multipart request.");
  const mark = Buffer.from(`--${boundary}`);
  const first = body.indexOf(mark);
  const second = body.indexOf(Buffer.from(`\r\n--${boundary}`), first + mark.length);
  const last = body.lastIndexOf(Buffer.from(`\r\n--${boundary}--`));
  if (first < 0 || second < 0 || last <= second) throw invalid("Malformed multipart body.");
  const meta = partOf(body.subarray(first + mark.length, second));
  const media = partOf(body.subarray(second + 2 + mark.length, last));
  const given = parseJson(meta.bytes.toString("utf8"));
  const announced = /^content-type:\s*(.+)$/im.exec(media.head)?.[1]?.trim();
  return { given: announced === undefined ? given : { contentType: announced, ...given }, bytes: media.bytes };
}

function partOf(part: Buffer): { head: string; bytes: Buffer } {
  const end = part.indexOf("\r\n\r\n");
  if (end < 0) throw invalid("Malformed multipart body.");
  return { head: part.subarray(0, end).toString("latin1"), bytes: part.subarray(end + 4) };
}
