/** The formats that this program knows, and those that a job's objects may be in besides: some have no sign of their own. */
import type { Job, JobOptions } from "../core/job.ts";
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

/** In the order in which they are asked; plain claims only what shows no sign of any other. */
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

/** What objects do not say of themselves: other names of instruction files, and what Tink has sealed. */
export type FormatOptions = Pick<JobOptions, "instructionSuffix" | "tink" | "tinkKeysets">;

export const envelopesOf = (job: Job): readonly Envelope[] => envelopesWith(job.options);

export function envelopesWith({ instructionSuffix, ...claims }: FormatOptions): readonly Envelope[] {
  return withSuffix(withClaims(ENVELOPES, claims), instructionSuffix);
}

/** Where a body has files of both names, the job's own is read. */
function withSuffix(envelopes: readonly Envelope[], suffix = INSTRUCTION_SUFFIX): readonly Envelope[] {
  if (suffix === INSTRUCTION_SUFFIX) return envelopes;
  const named = instructionFiles(suffix);
  return envelopes.map((envelope) =>
    envelope.divided ? { ...envelope, divided: [named, ...envelope.divided] } : envelope,
  );
}

type Claims = Omit<FormatOptions, "instructionSuffix">;

function withClaims(
  envelopes: readonly Envelope[],
  { tink: claim, tinkKeysets: keysets }: Claims,
): readonly Envelope[] {
  if (claim === undefined && keysets === undefined) return envelopes;
  const tinks = tinkWith(claim && { content: claim.template, key: keyUri(claim.key), prefixType: claim.prefix });
  const sets = keysetWith(keysets && { keyset: keysets.format, key: keyUri(keysets.key) });
  const instead = new Map([
    [tink, tinks],
    [tinkKeyset, sets],
    [plain, plainBut([tinks, sets])],
  ]);
  return envelopes.map((envelope) => instead.get(envelope) ?? envelope);
}

/** Plain, but for what other formats take for their own. */
const plainBut = (others: readonly Envelope[]): Envelope => ({
  ...plain,
  read: (head, start) =>
    others.every((other) => other.read(head, start) === undefined) ? plain.read(head, start) : undefined,
});
