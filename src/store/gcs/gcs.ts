/**
 * Cloud Storage by its JSON API.
 *
 * What an operator sees in the bucket: each object once, under its own name, with its custom metadata in the case it was given.
 * While a put is running there is nothing; a large put that was killed leaves an upload session, which is not listed, costs
 * nothing and expires after a week; an object written from several processes has its parts under `.sealift-parts/` (parts.ts)
 * until it is whole. Objects are pinned by generation. Nothing here sets Content-Encoding gzip by itself, and
 * bytes are always read as they are stored.
 */
import type { Budget } from "../../core/budget.ts";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream, KeyRange, ObjectHead } from "../../core/object.ts";
import { checkEndpoint } from "../../wire/endpoint.ts";
import { googleTokens } from "../../wire/google.ts";
import { HttpClient, type HttpKind } from "../../wire/http.ts";
import { checkName, checkPut } from "../fit.ts";
import type {
  ListPage,
  ObjectStore,
  OpenObject,
  OpenOptions,
  PartStore,
  PutOptions,
  PutReceipt,
  StoreTraits,
} from "../store.ts";
import { GcsApi } from "./api.ts";
import { absence } from "./fault.ts";
import { listObjects } from "./listing.ts";
import { GcsParts } from "./parts.ts";
import { openObject, readHead } from "./read.ts";
import { putObject, type Upload } from "./upload.ts";

/** Limits of ServiceConstants in google/storage/v2/storage.proto. */
const TRAITS: StoreTraits = {
  scheme: "gs",
  metadataBytesMax: 8192,
  metadataNameBytesMax: 1024,
  metadataValueBytesMax: 4096,
  metadataNames: "any",
  keyBytesMax: 1024,
  objectBytesMax: 5 * 1024 ** 4,
  transcodesGzip: true,
  keepsExpires: false,
  listsHeads: true,
  serverKeys: true,
};

const ENDPOINT = "https://storage.googleapis.com";
const SCOPE = "https://www.googleapis.com/auth/devstorage.read_write";
const CHUNK_BYTES = 16 * 1024 * 1024;
/** Chunks of a resumable upload are multiples of it. */
const GRANULE_BYTES = 256 * 1024;

export interface GcsOptions {
  readonly bucket: string;
  readonly endpoint?: string | undefined;
  /** PEM of extra certificate authorities. */
  readonly ca?: string | undefined;
  readonly anonymous?: boolean | undefined;
  readonly credentialsFile?: string | undefined;
  /** Pays for requests to a requester-pays bucket. */
  readonly userProject?: string | undefined;
  readonly allowInsecureEndpoint?: boolean | undefined;
  /** Bytes of bodies that may be held in memory, shared by all stores of the process. */
  readonly buffer: Budget;
  readonly connections?: number | undefined;
  readonly http?: HttpKind | undefined;
  /** Of a resumable upload; bodies of up to four chunks go out in one request. */
  readonly chunkBytes?: number | undefined;
}

export async function openGcsStore(options: GcsOptions): Promise<ObjectStore> {
  const { bucket, ca, connections, anonymous, credentialsFile, userProject, buffer } = options;
  const chunkBytes = options.chunkBytes ?? CHUNK_BYTES;
  if (chunkBytes <= 0 || chunkBytes % GRANULE_BYTES !== 0) {
    throw new SealiftError("INTERNAL", `a chunk of ${chunkBytes} bytes is not a multiple of 256 KiB`);
  }
  const origin = checkEndpoint(options.endpoint ?? ENDPOINT, { allowInsecure: options.allowInsecureEndpoint ?? false });
  const tokens = googleTokens({ credentialsFile, anonymous, scopes: [SCOPE] });
  const http = new HttpClient({ origin, ca, connections, http: options.http });
  return new GcsStore({ api: new GcsApi(bucket, http, tokens, userProject), buffer, chunkBytes }, http);
}

class GcsStore implements ObjectStore {
  readonly traits = TRAITS;
  readonly name: string;
  readonly parts: PartStore;
  readonly #upload: Upload;
  readonly #api: GcsApi;
  readonly #http: HttpClient;

  constructor(upload: Upload, http: HttpClient) {
    this.#upload = upload;
    this.#api = upload.api;
    this.#http = http;
    this.parts = new GcsParts(upload, TRAITS, checkGcsName);
    const where = http.origin === ENDPOINT ? "" : ` at ${http.origin}`;
    this.name = `gs://${upload.api.bucket}${where}`;
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined> {
    checkGcsName(key);
    return readHead(this.#api, key, undefined, signal);
  }

  async open(key: string, options: OpenOptions): Promise<OpenObject> {
    checkGcsName(key);
    return openObject(this.#api, key, options);
  }

  async put(key: string, body: ByteStream, options: PutOptions): Promise<PutReceipt> {
    checkPut(TRAITS, key, options);
    checkGcsName(key);
    return putObject(this.#upload, key, body, options);
  }

  list(prefix: string, range: KeyRange, signal: AbortSignal): AsyncIterable<ListPage> {
    return listObjects(this.#api, prefix, range, signal);
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    checkGcsName(key);
    const response = await this.#api.send({ method: "DELETE", path: this.#api.object(key, {}), key, signal });
    if (response.status === 200 || response.status === 204) return response.dismiss();
    const error = await absence(response, { bucket: this.#api.bucket, key });
    if (error !== undefined) throw error;
  }

  close(): Promise<void> {
    return this.#http.close();
  }
}

/** "Object naming", Cloud Storage documentation. */
function checkGcsName(key: string): void {
  checkName(TRAITS, key);
  const why = /[\r\n]/.test(key)
    ? "holds a line break"
    : key === "." || key === ".."
      ? "is a dot segment"
      : key.startsWith(".well-known/acme-challenge/")
        ? "is reserved for certificates"
        : undefined;
  if (why !== undefined)
    throw new SealiftError("NAME_UNFIT", `Cloud Storage does not allow it: it ${why}`, { object: key });
}
