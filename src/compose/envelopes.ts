/** Every envelope format that this program knows, and how a job may have them read. */
import type { Envelope } from "../envelope/envelope.ts";
import { esdk } from "../envelope/esdk/esdk.ts";
import { esdkSidecar } from "../envelope/esdk/sidecar.ts";
import { plain } from "../envelope/plain.ts";
import { instructionFiles } from "../envelope/s3ec/instruction.ts";
import { INSTRUCTION_SUFFIX } from "../envelope/s3ec/names.ts";
import { s3ecV1 } from "../envelope/s3ec/v1.ts";
import { s3ecV2 } from "../envelope/s3ec/v2.ts";
import { s3ecV3 } from "../envelope/s3ec/v3.ts";
import { tink } from "../envelope/tink/tink.ts";

/** The formats in the order in which they are asked; plain claims only what shows no sign of any other. */
export const ENVELOPES: readonly Envelope[] = [s3ecV1, s3ecV2, s3ecV3, esdk, esdkSidecar, tink, plain];

/** What objects do not say of themselves. */
export interface FormatOptions {
  /** What instruction files are called besides `.instruction`; where a body has both files, this one is read. */
  readonly instructionSuffix?: string | undefined;
}

export function envelopesWith({ instructionSuffix }: FormatOptions): readonly Envelope[] {
  if (instructionSuffix === undefined || instructionSuffix === INSTRUCTION_SUFFIX) return ENVELOPES;
  const named = instructionFiles(instructionSuffix);
  return ENVELOPES.map((envelope) =>
    envelope.divided ? { ...envelope, divided: [named, ...envelope.divided] } : envelope,
  );
}
