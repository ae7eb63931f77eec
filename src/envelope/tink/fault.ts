/** Refusals of the Tink formats. */
import { SealiftError } from "../../core/error.ts";

export const malformed = (what: string): SealiftError => new SealiftError("SEAL_MALFORMED", `Tink envelope: ${what}`);
export const unsupported = (what: string): SealiftError => new SealiftError("SEAL_UNSUPPORTED", what);
