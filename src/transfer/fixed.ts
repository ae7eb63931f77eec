/**
 * The attributes that an upload was begun with, as names and one digest of their values: whoever completes it, perhaps another
 * process days later, can tell that what stands at the destination is what was begun, without keeping a wrapped key anywhere.
 */
import { createHash } from "node:crypto";
import type { Attributes } from "../core/object.ts";

export interface Fixed {
  readonly names: readonly string[];
  readonly sha256: string;
}

type Header = Exclude<keyof Attributes, "metadata">;
const HEADERS: readonly Header[] = [
  "contentType",
  "contentEncoding",
  "contentLanguage",
  "contentDisposition",
  "cacheControl",
  "expires",
];

export function fixedOf(attributes: Attributes): Fixed {
  const headers = HEADERS.filter((name) => attributes[name] !== undefined);
  const names = [...headers, ...[...attributes.metadata.keys()].sort().map((name) => `metadata ${name}`)];
  return { names, sha256: digestOf(names, attributes) };
}

/** What the provider adds is nobody's loss. */
export const stillFixed = ({ names, sha256 }: Fixed, found: Attributes): boolean => digestOf(names, found) === sha256;

function digestOf(names: readonly string[], attributes: Attributes): string {
  const values = names.map((name) => {
    const metadata = /^metadata ([^]+)$/.exec(name)?.[1];
    const value = metadata === undefined ? attributes[name as Header] : attributes.metadata.get(metadata);
    return [name, value ?? null];
  });
  return createHash("sha256").update(JSON.stringify(values)).digest("hex");
}
