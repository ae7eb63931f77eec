/** "Objects: compose" and "Composite objects", Cloud Storage documentation. */
import type { ServerResponse } from "node:http";
import { type PocketRequest, readBody } from "../http.ts";
import { invalid, json, noObject, Refusal, selectFields } from "./answer.ts";
import { applied, Gatherer, parseJson, resourceOf } from "./resource.ts";
import { type Bucket, checkConditions, checkName, type Cloud, type StoredObject } from "./state.ts";
import { kmsKey } from "./upload.ts";

const SOURCES_MAX = 32;

type Json = Readonly<Record<string, unknown>>;
const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

/** The sources' bytes in the order given, as one new object, at once. Conditions on sources are not done here: they are pinned. */
export async function compose(
  { cloud, origin }: { readonly cloud: Cloud; readonly origin: string },
  bucket: Bucket,
  name: string,
  request: PocketRequest,
  response: ServerResponse,
): Promise<void> {
  const given = parseJson((await readBody(request.incoming)).toString("utf8"));
  const { query } = request;
  checkName(name);
  const kmsKeyName = kmsKey(query.get("kmsKeyName"));
  const sources = sourcesOf(bucket, given["sourceObjects"]);
  const gatherer = new Gatherer();
  for (const { bytes } of sources) for (const chunk of bytes.chunks) gatherer.add(chunk);
  const { md5Hash: _, ...bytes } = gatherer.finish({}, undefined);
  const destination = isJson(given["destination"]) ? given["destination"] : {};
  const contentType = sources[0]?.set.contentType;
  const set = applied(contentType === undefined ? {} : { contentType }, destination);
  checkConditions(query, bucket.find(name));
  const timeCreated = new Date().toISOString();
  const object: StoredObject = {
    name,
    bytes,
    generation: cloud.nextGeneration(),
    metageneration: 1,
    timeCreated,
    updated: timeCreated,
    set,
    kmsKeyName,
    componentCount: sources.reduce((sum, source) => sum + (source.componentCount ?? 1), 0),
  };
  bucket.set(object);
  if (given["deleteSourceObjects"] === true) for (const source of sources) remove(bucket, source, name);
  json(response, selectFields(resourceOf(origin, bucket, object), query.get("fields")));
}

function remove(bucket: Bucket, source: StoredObject, made: string): void {
  if (source.name !== made) bucket.delete(source.name);
}

function sourcesOf(bucket: Bucket, rows: unknown): StoredObject[] {
  if (!Array.isArray(rows) || rows.length === 0) throw invalid("You must provide at least one source component.");
  if (rows.length > SOURCES_MAX) {
    throw invalid(`The number of source components provided (${rows.length}) exceeds the maximum (${SOURCES_MAX})`);
  }
  const sources = rows.map((row: unknown) => sourceOf(bucket, row));
  const classes = new Set(sources.map(({ set }) => set.storageClass ?? "STANDARD"));
  if (classes.size > 1) throw invalid("All source objects must have the same storage class.");
  if (sources.some(({ customerKeySha256 }) => customerKeySha256 !== undefined)) {
    throw invalid("A source object is encrypted by a customer-supplied encryption key.");
  }
  return sources;
}

function sourceOf(bucket: Bucket, row: unknown): StoredObject {
  if (!isJson(row) || typeof row["name"] !== "string") throw invalid("A source component has no name.");
  const { name, generation } = row;
  if (row["objectPreconditions"] !== undefined) throw new Refusal(501, "notImplemented", "objectPreconditions");
  const found = bucket.find(name);
  if (!found) throw noObject(bucket.name, name);
  if (generation !== undefined && generation !== String(found.generation)) throw noObject(bucket.name, name);
  return found;
}
