/** The object resource of the JSON API, out and in. */
import { crc32c, crc32cText } from "../../core/crc32c.ts";
import { createHash, type Hash } from "node:crypto";
import { invalid } from "./answer.ts";
import { type Bucket, type Bytes, SETTABLE, type Settable, type StoredObject } from "./state.ts";

export function resourceOf(origin: string, bucket: Bucket, object: StoredObject): Record<string, unknown> {
  const path = `b/${encodeURIComponent(bucket.name)}/o/${encodeURIComponent(object.name)}`;
  const { bytes, set, customerKeySha256, componentCount } = object;
  return {
    kind: "storage#object",
    id: `${bucket.name}/${object.name}/${object.generation}`,
    selfLink: `${origin}/storage/v1/${path}`,
    mediaLink: `${origin}/download/storage/v1/${path}?generation=${object.generation}&alt=media`,
    name: object.name,
    bucket: bucket.name,
    generation: String(object.generation),
    metageneration: String(object.metageneration),
    storageClass: "STANDARD",
    ...set,
    size: String(bytes.sizeBytes),
    etag: etagOf(object),
    timeCreated: object.timeCreated,
    updated: object.updated,
    ...(object.kmsKeyName === undefined ? {} : { kmsKeyName: `${object.kmsKeyName}/cryptoKeyVersions/1` }),
    ...(componentCount === undefined ? {} : { componentCount }),
    // The service hides the checksums of objects under a customer's key from whoever does not bring it.
    ...(customerKeySha256 === undefined
      ? { crc32c: bytes.crc32c, ...(bytes.md5Hash === undefined ? {} : { md5Hash: bytes.md5Hash }) }
      : { customerEncryption: { encryptionAlgorithm: "AES256", keySha256: customerKeySha256 } }),
  };
}

export const etagOf = ({ generation, metageneration }: StoredObject): string =>
  Buffer.from(`${generation}/${metageneration}`).toString("base64");

type Json = Readonly<Record<string, unknown>>;

export function parseJson(text: string): Json {
  try {
    const value: unknown = JSON.parse(text === "" ? "{}" : text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  } catch {
    // falls through to the same refusal
  }
  throw invalid("Parse Error");
}

/** A resource given by a writer. null removes a field, in `metadata` too (RFC 7396 for PATCH). */
export function applied(before: Settable, given: Json): Settable {
  const after: Settable = { ...before };
  for (const name of SETTABLE) {
    const value = given[name];
    if (value === null) delete after[name];
    else if (typeof value === "string") after[name] = value;
  }
  const { metadata } = given;
  if (metadata === null) delete after.metadata;
  else if (metadata !== undefined) after.metadata = appliedMetadata(before.metadata ?? {}, metadata);
  checkMetadata(after.metadata ?? {});
  return after;
}

function appliedMetadata(before: Record<string, string>, given: unknown): Record<string, string> {
  if (typeof given !== "object" || given === null) throw invalid("Invalid value for metadata");
  const entries = new Map(Object.entries(before));
  for (const [name, value] of Object.entries(given)) {
    if (value === null) entries.delete(name);
    else if (typeof value === "string") entries.set(name, value);
    else throw invalid(`Invalid value for metadata: ${name}`);
  }
  return Object.fromEntries(entries);
}

/** Limits of ServiceConstants in google/storage/v2/storage.proto. */
function checkMetadata(metadata: Record<string, string>): void {
  let sum = 0;
  for (const [name, value] of Object.entries(metadata)) {
    const [nameBytes, valueBytes] = [Buffer.byteLength(name), Buffer.byteLength(value)];
    if (nameBytes > 1024 || valueBytes > 4096) throw invalid("Custom metadata key or value is too long.");
    sum += nameBytes + valueBytes;
  }
  if (sum > 8192) throw invalid("The metadata for your object is too large.");
}

/** Sums bytes as they come. */
export class Gatherer {
  readonly chunks: Buffer[] = [];
  sizeBytes = 0;
  #crc = 0;
  readonly #md5: Hash = createHash("md5");

  add(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.chunks.push(chunk);
    this.sizeBytes += chunk.length;
    this.#crc = crc32c(chunk, this.#crc);
    this.#md5.update(chunk);
  }

  /** 400 where the writer announced other sums, in the resource or in `x-goog-hash`. */
  finish(given: Json, hashHeader: string | undefined): Bytes {
    const bytes = {
      chunks: this.chunks,
      sizeBytes: this.sizeBytes,
      crc32c: crc32cText(this.#crc),
      md5Hash: this.#md5.digest("base64"),
    };
    const header = new Map((hashHeader ?? "").split(",").map((part) => split(part.trim())));
    for (const [sum, word, actual] of [
      [given["crc32c"] ?? header.get("crc32c"), "CRC32C", bytes.crc32c],
      [given["md5Hash"] ?? header.get("md5"), "MD5 hash", bytes.md5Hash],
    ] as const) {
      if (sum === undefined || sum === actual) continue;
      throw invalid(`Provided ${word} ${JSON.stringify(sum)} doesn't match calculated ${word} "${actual}".`);
    }
    return bytes;
  }
}

const split = (part: string): [string, string] => {
  const cut = part.indexOf("=");
  return [part.slice(0, Math.max(cut, 0)), part.slice(cut + 1)];
};
