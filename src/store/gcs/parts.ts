/**
 * Objects written from several processes. The XML API's multipart uploads take no preconditions (Cloud Storage documentation,
 * "XML API multipart uploads", considerations; "Request preconditions": 400 NotImplemented), and create-only is not for sale. So a
 * part is an object of its own, and the service composes them: `compose` takes `ifGenerationMatch`, metadata and `kmsKeyName`,
 * pins each source by generation, copies no bytes, and states the CRC32C of what it made.
 *
 * What an operator sees while it runs: nothing under the object's own name, and in the bucket
 *
 *     .sealift-parts/<of the name>/<id>/begun           the attributes of the object to come, no bytes
 *     .sealift-parts/<of the name>/<id>/00001-00001     a part
 *     .sealift-parts/<of the name>/<id>/00001-00032     parts that were composed already
 *
 * Composed parts are deleted by the compose itself (`deleteSourceObjects`), which leaves no soft-deleted copy; what a server that
 * does not know that word leaves is deleted at the end.
 */
import { createHash, randomBytes } from "node:crypto";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream, KeyRange } from "../../core/object.ts";
import { checkPut, checksum, cut, joined, within } from "../fit.ts";
import type {
  BegunUpload,
  CompleteOptions,
  HeldPart,
  PartRange,
  PartStore,
  PartUpload,
  PutOptions,
  PutReceipt,
  StoreTraits,
} from "../store.ts";
import { composeObject, groupsOf, type Source, SOURCES_MAX } from "./compose.ts";
import { absence } from "./fault.ts";
import { listObjects } from "./listing.ts";
import { readHead } from "./read.ts";
import type { GcsHead } from "./resource.ts";
import { generationOf, putObject, type Upload } from "./upload.ts";

const ROOT = ".sealift-parts/";
const MARKER = "begun";
const ID = /^[0-9a-f]{24}$/;
const DELETES = 8;

/** Under its own name an object may be long; its parts are not. */
const folderOf = (key: string): string => `${ROOT}${createHash("sha256").update(key).digest("hex").slice(0, 32)}/`;
const prefixOf = ({ key, id }: PartUpload): string => `${folderOf(key)}${id}/`;
const digits = (number: number): string => String(number).padStart(5, "0");
const nameOf = (upload: PartUpload, first: number, last: number): string =>
  `${prefixOf(upload)}${digits(first)}-${digits(last)}`;

export class GcsParts implements PartStore {
  /** Three rounds of 32 to a compose; parts of 5 TiB are then 160 MiB. */
  readonly limits = { partBytesMin: 1, partBytesMax: 1024 ** 3, partsMax: 32 ** 3 };
  readonly #upload: Upload;
  readonly #traits: StoreTraits;
  readonly #check: (key: string) => void;

  constructor(upload: Upload, traits: StoreTraits, check: (key: string) => void) {
    this.#upload = upload;
    this.#traits = traits;
    this.#check = check;
  }

  async begin(key: string, options: Omit<PutOptions, "condition" | "crc32c">): Promise<string> {
    checkPut(this.#traits, key, options);
    this.#check(key);
    const id = randomBytes(12).toString("hex");
    const marker = prefixOf({ key, id }) + MARKER;
    await about(key, putObject(this.#upload, marker, nothing(), { ...options, sizeBytes: 0, condition: "absent" }));
    return id;
  }

  async put(
    upload: PartUpload,
    number: number,
    body: ByteStream,
    options: Pick<PutOptions, "sizeBytes" | "crc32c" | "signal">,
  ): Promise<HeldPart> {
    if (!ID.test(upload.id)) throw noUpload(upload.key);
    const { serverKeyName } = upload;
    const put = { ...options, attributes: { metadata: new Map() }, condition: "any" as const, serverKeyName };
    const receipt = await about(upload.key, putObject(this.#upload, nameOf(upload, number, number), body, put));
    const { sizeBytes, version = "" } = receipt.head;
    return { first: number, last: number, sizeBytes, crc32c: receipt.crc32c, tag: version };
  }

  async list(upload: PartUpload, signal: AbortSignal, only?: PartRange): Promise<readonly HeldPart[] | undefined> {
    if (!ID.test(upload.id)) return undefined;
    const marker = await this.#marker(upload, signal);
    return marker && within(await this.#sources(upload, signal, only), only).map(withoutName);
  }

  async complete(upload: PartUpload, { parts, sizeBytes, crc32c, condition, signal }: CompleteOptions) {
    const { key } = upload;
    const whole = joined(parts);
    if (whole.sizeBytes !== sizeBytes) throw cut(key, whole.sizeBytes, sizeBytes);
    if (whole.crc32c !== crc32c) throw checksum(key, "the parts are not the object that was announced");
    const marker = ID.test(upload.id) ? await this.#marker(upload, signal) : undefined;
    if (!marker) throw noUpload(key);
    const named = parts.map((part) => ({ ...part, name: nameOf(upload, part.first, part.last) }));
    const sources = await this.#narrowed(upload, named, signal);
    const generation = await generationOf(this.#upload.api, key, { condition, signal });
    const made = await composeObject(this.#upload.api, {
      name: key,
      sources,
      key,
      attributes: marker.attributes,
      generation,
      condition,
      serverKeyName: upload.serverKeyName,
      signal,
    });
    const receipt = await this.#proven(made, sizeBytes, crc32c);
    // The object is there, whatever becomes of these: the caller aborts once more when it knows the outcome.
    await this.abort(upload, signal).catch(() => undefined);
    return receipt;
  }

  /** As many objects as one compose takes. */
  async #narrowed(upload: PartUpload, all: readonly Source[], signal: AbortSignal): Promise<readonly Source[]> {
    const { key, serverKeyName } = upload;
    let sources = all;
    for (let width = SOURCES_MAX; sources.length > SOURCES_MAX; width *= SOURCES_MAX) {
      const next: Source[] = [];
      for (const group of groupsOf(sources, width)) {
        const [first] = group;
        const last = group.at(-1)?.last ?? 0;
        if (first === undefined || group.length === 1) {
          next.push(...group);
          continue;
        }
        const name = nameOf(upload, first.first, last);
        const made = await composeObject(this.#upload.api, { name, sources: group, key, serverKeyName, signal });
        const { sizeBytes, crc32c, version } = made;
        next.push({ name, first: first.first, last, sizeBytes, crc32c, tag: version });
      }
      sources = next;
    }
    return sources;
  }

  /** The service adds up what it stated of each part; should it ever come to something else, that must not stand. */
  async #proven(head: GcsHead, sizeBytes: number, crc32c: number): Promise<PutReceipt> {
    if (head.sizeBytes === sizeBytes && head.crc32c === crc32c) return { head, crc32c };
    const removed = await this.#upload.api.withdraw(head).then(
      () => "is removed again",
      (error: unknown) => `could not be removed (${String(error)})`,
    );
    throw checksum(
      head.key,
      `the service composed another size or CRC32C than its parts have; what it made ${removed}`,
    );
  }

  async abort(upload: PartUpload, signal: AbortSignal): Promise<void> {
    if (!ID.test(upload.id)) return;
    const heads = await this.#heads(prefixOf(upload), signal);
    const waiting = heads.filter(({ key }) => !key.endsWith(`/${MARKER}`));
    const lane = async () => {
      for (let head = waiting.pop(); head; head = waiting.pop()) await this.#remove(head, upload.key, signal);
    };
    await Promise.all(Array.from({ length: DELETES }, lane));
    // Last, so that an abort that is cut short is found again.
    for (const head of heads) if (head.key.endsWith(`/${MARKER}`)) await this.#remove(head, upload.key, signal);
  }

  async uploads(key: string, signal: AbortSignal): Promise<readonly BegunUpload[]> {
    const folder = folderOf(key);
    const begun = new Map<string, number>();
    for (const { key: name, lastModifiedMs } of await this.#heads(folder, signal)) {
      const [id = ""] = name.slice(folder.length).split("/");
      if (ID.test(id)) begun.set(id, Math.min(lastModifiedMs, begun.get(id) ?? lastModifiedMs));
    }
    return [...begun].map(([id, begunMs]) => ({ id, begunMs }));
  }

  /** By generation: where versions are kept, the part would else become a noncurrent one. */
  async #remove({ key: name, version }: GcsHead, key: string, signal: AbortSignal): Promise<void> {
    const { api } = this.#upload;
    const response = await api.send({
      method: "DELETE",
      path: api.object(name, { generation: version }),
      key,
      signal,
    });
    if (response.status < 300) return response.dismiss();
    const error = await absence(response, { bucket: api.bucket, key });
    if (error !== undefined) throw error;
  }

  async #heads(prefix: string, signal: AbortSignal, range: KeyRange = {}): Promise<GcsHead[]> {
    const heads: GcsHead[] = [];
    for await (const page of listObjects(this.#upload.api, prefix, range, signal)) {
      for (const { head } of page.objects)
        if (head?.version !== undefined) heads.push({ ...head, version: head.version });
    }
    return heads;
  }

  #marker(upload: PartUpload, signal: AbortSignal): Promise<GcsHead | undefined> {
    return readHead(this.#upload.api, prefixOf(upload) + MARKER, undefined, signal);
  }

  async #sources(upload: PartUpload, signal: AbortSignal, only?: PartRange): Promise<Source[]> {
    const prefix = prefixOf(upload);
    const heads = await this.#heads(prefix, signal, only && rangeOf(prefix, only));
    const sources: Source[] = [];
    let reached = 0;
    for (const part of heads.flatMap((head) => sourceOf(head, prefix)).sort(longestFirst)) {
      if (part.first <= reached) continue;
      sources.push(part);
      reached = part.last;
    }
    return sources;
  }
}

/** Names of parts of the range, and of what they may have been joined to: that begins at most two rounds before. */
function rangeOf(prefix: string, { first, last }: PartRange): KeyRange {
  const width = SOURCES_MAX ** 2;
  const start = Math.floor((first - 1) / width) * width + 1;
  return { after: prefix + digits(start), until: `${prefix}${digits(last)}~` };
}

function sourceOf({ key: name, sizeBytes, crc32c, version }: GcsHead, prefix: string): Source[] {
  const [, first, last] = /^(\d{5})-(\d{5})$/.exec(name.slice(prefix.length)) ?? [];
  if (first === undefined || Number(first) < 1 || Number(last) < Number(first)) return [];
  return [{ name, first: Number(first), last: Number(last), sizeBytes, crc32c, tag: version }];
}

const withoutName = ({ first, last, sizeBytes, crc32c, tag }: Source): HeldPart => ({
  first,
  last,
  sizeBytes,
  crc32c,
  tag,
});

const longestFirst = (a: Source, b: Source): number => a.first - b.first || b.last - a.last;

const noUpload = (key: string) => new SealiftError("PROVIDER_ERROR", "there is no such upload", { object: key });

/** Errors speak of the object that is written, not of the names that its parts have. */
async function about<T>(key: string, act: Promise<T>): Promise<T> {
  try {
    return await act;
  } catch (error) {
    if (!(error instanceof SealiftError)) throw error;
    const { code, message, retry, retryAfterMs } = error;
    throw new SealiftError(code, message, { object: key, cause: error, retry, retryAfterMs });
  }
}

async function* nothing(): ByteStream {}
