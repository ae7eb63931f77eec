/** Joining objects within the service ("Objects: compose", JSON API documentation): 1 to 32 at a time, in order, no bytes moved. */
import { SealiftError } from "../../core/error.ts";
import type { Attributes } from "../../core/object.ts";
import type { HeldPart, PutOptions } from "../store.ts";
import type { GcsApi } from "./api.ts";
import { fault } from "./fault.ts";
import { FIELDS, type GcsHead } from "./resource.ts";

export const SOURCES_MAX = 32;

/** A part as an object of the bucket; its tag is the generation. */
export interface Source extends HeldPart {
  readonly name: string;
}

export interface Composition {
  /** Of what is made. */
  readonly name: string;
  readonly sources: readonly Source[];
  /** The object that messages speak of. */
  readonly key: string;
  readonly attributes?: Attributes | undefined;
  /** The generation that must stand there: `0` for none. */
  readonly generation?: string | undefined;
  readonly condition?: PutOptions["condition"] | undefined;
  readonly serverKeyName?: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Neighbours that are joined in one round. Groups begin at fixed multiples of `width` parts, whatever was joined before: two
 * processes at the same work, or one after the crash of another, make the same objects.
 */
export function groupsOf(sources: readonly Source[], width: number): readonly (readonly Source[])[] {
  const groups = new Map<number, Source[]>();
  for (const source of sources) {
    const group = Math.floor((source.first - 1) / width);
    groups.set(group, [...(groups.get(group) ?? []), source]);
  }
  return [...groups.values()];
}

/** Sources are taken at exactly their generation, and deleted by it when it succeeds. */
export async function composeObject(api: GcsApi, composition: Composition): Promise<GcsHead> {
  const { name, sources, key, attributes, generation, condition, serverKeyName, signal } = composition;
  const { metadata, expires: _, ...headers } = attributes ?? { metadata: new Map() };
  const body = JSON.stringify({
    destination: { ...headers, metadata: Object.fromEntries(metadata) },
    sourceObjects: sources.map((source) => ({ name: source.name, generation: source.tag })),
    deleteSourceObjects: true,
  });
  const query = { ifGenerationMatch: generation, kmsKeyName: serverKeyName, fields: FIELDS };
  const path = api.compose(name, query);
  const contentType = { "content-type": "application/json; charset=UTF-8" };
  const response = await api.send({ method: "POST", path, headers: contentType, body, key, signal });
  if (response.status === 200) return api.resource(response, name);
  const error = await fault(response, { bucket: api.bucket, key, condition });
  if (response.status !== 404) throw error;
  // Joined or written again by somebody else meanwhile: another look shows what is there now.
  throw new SealiftError("PROVIDER_ERROR", error.message, { object: key });
}
