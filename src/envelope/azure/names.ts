/** The one metadata name of Azure Storage client-side encryption, and its refusals. */
import { SealiftError } from "../../core/error.ts";

export const ENCRYPTION_DATA = "encryptiondata";

/** By its lower-case name. */
export const isAzureName = (name: string): boolean => name === ENCRYPTION_DATA;

export interface FoundDocument {
  readonly text: string;
  /** The name as the object spells it. */
  readonly owns: readonly string[];
}

/** undefined: no sign of this format. */
export function documentIn(metadata: ReadonlyMap<string, string>): FoundDocument | undefined {
  const owns = [...metadata.keys()].filter((name) => isAzureName(name.toLowerCase()));
  const [name, second] = owns;
  if (name === undefined) return undefined;
  if (second !== undefined) throw malformed(`${ENCRYPTION_DATA} stands twice, in two spellings`);
  return { text: metadata.get(name) ?? "", owns };
}

export const malformed = (what: string): SealiftError => new SealiftError("SEAL_MALFORMED", `Azure envelope: ${what}`);
export const unsupported = (what: string): SealiftError => new SealiftError("SEAL_UNSUPPORTED", what);
