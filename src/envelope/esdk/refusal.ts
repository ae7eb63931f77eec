/** The words in which messages of the AWS Encryption SDK are refused. */
import { SealiftError } from "../../core/error.ts";

export const malformed = (what: string): SealiftError =>
  new SealiftError("SEAL_MALFORMED", `AWS Encryption SDK message: ${what}`);
export const unsupported = (what: string): SealiftError =>
  new SealiftError("SEAL_UNSUPPORTED", `AWS Encryption SDK message: ${what}`);
/** One answer for every way in which key, header, body and signature do not belong together. */
export const forged = (): SealiftError =>
  new SealiftError("SEAL_FORGED", "the message does not open under this data key and envelope");
export const defect = (what: string): SealiftError => new SealiftError("INTERNAL", what);
