/** Every envelope format that this program knows, and how a job may have them read. */
import type { TinkClaim, TinkKeysetClaim } from "../core/job.ts";
import { keyUri } from "../core/key.ts";
import { azure } from "../envelope/azure/azure.ts";
import type { Envelope } from "../envelope/envelope.ts";
import { esdk } from "../envelope/esdk/esdk.ts";
import { esdkSidecar } from "../envelope/esdk/sidecar.ts";
import { plain } from "../envelope/plain.ts";
import { instructionFiles } from "../envelope/s3ec/instruction.ts";
import { INSTRUCTION_SUFFIX } from "../envelope/s3ec/names.ts";
import { s3ecV1 } from "../envelope/s3ec/v1.ts";
import { s3ecV2 } from "../envelope/s3ec/v2.ts";
import { s3ecV3 } from "../envelope/s3ec/v3.ts";
import { keysetWith, tinkKeyset } from "../envelope/tink/keyset.ts";
import { tink, tinkWith } from "../envelope/tink/tink.ts";

/** The formats in the order in which they are asked; plain claims only what shows no sign of any other. */
export const ENVELOPES: readonly Envelope[] = [
  s3ecV1,
  s3ecV2,
  s3ecV3,
  esdk,
  esdkSidecar,
  tink,
  tinkKeyset,
  azure,
  plain,
];

/** What objects do not say of themselves. */
export interface FormatOptions {
  /** What instruction files are called besides `.instruction`; where a body has both files, this one is read. */
  readonly instructionSuffix?: string | undefined;
  /** How Tink's ciphertext is sealed that no mark speaks for; absent: there is none. */
  readonly tink?: TinkClaim | undefined;
  /** The same of encrypted keysets. */
  readonly tinkKeysets?: TinkKeysetClaim | undefined;
}

export function envelopesWith({ instructionSuffix, tink: claim, tinkKeysets }: FormatOptions): readonly Envelope[] {
  const known = claim === undefined && tinkKeysets === undefined ? ENVELOPES : withTinks(claim, tinkKeysets);
  if (instructionSuffix === undefined || instructionSuffix === INSTRUCTION_SUFFIX) return known;
  const named = instructionFiles(instructionSuffix);
  return known.map((envelope) =>
    envelope.divided ? { ...envelope, divided: [named, ...envelope.divided] } : envelope,
  );
}

/** Tink's bytes have no sign of their own: the job has to say that there are some. */
function withTinks(claim: TinkClaim | undefined, keysets: TinkKeysetClaim | undefined): readonly Envelope[] {
  const tinks = tinkWith(claim && { content: claim.template, key: keyUri(claim.key), prefixType: claim.prefix });
  const sets = keysetWith(keysets && { keyset: keysets.format, key: keyUri(keysets.key) });
  const instead = new Map([
    [tink, tinks],
    [tinkKeyset, sets],
    [plain, plainBut([tinks, sets])],
  ]);
  return ENVELOPES.map((envelope) => instead.get(envelope) ?? envelope);
}

/** Plain, but for what other formats take for their own. */
const plainBut = (others: readonly Envelope[]): Envelope => ({
  ...plain,
  read: (head, start) =>
    others.every((other) => other.read(head, start) === undefined) ? plain.read(head, start) : undefined,
});
