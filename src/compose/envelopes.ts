/** The formats that this program knows, and those that a job's objects may be in besides: some have no sign of their own. */
import { matching } from "../core/filter.ts";
import type { Job, JobKeys, JobOptions } from "../core/job.ts";
import { keyUri } from "../core/key.ts";
import { azure } from "../envelope/azure/azure.ts";
import type { Envelope } from "../envelope/envelope.ts";
import { esdk, esdkIn } from "../envelope/esdk/esdk.ts";
import { esdkSidecar, sidecarWith } from "../envelope/esdk/sidecar.ts";
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

/**
 * What objects do not say of themselves (other names of instruction files, what Tink has sealed, pairs that are kept out of messages),
 * and how messages are to stand at the destination.
 */
export type FormatOptions = Partial<{
  readonly [name in "instructionSuffix" | "tinkFromV3" | "tink" | "tinkKeysets" | "esdk" | "esdkKeys" | "esdkDrop"]:
    | JobOptions[name]
    | undefined;
}> & { readonly esdkContext?: JobKeys["esdkContext"] | undefined };

export const formatsOf = ({ keys, options }: Job): FormatOptions => ({ ...options, esdkContext: keys.esdkContext });
export const envelopesOf = (job: Job): readonly Envelope[] => envelopesWith(formatsOf(job));

export function envelopesWith(formats: FormatOptions): readonly Envelope[] {
  return withSuffix(withClaims(withMessages(ENVELOPES, formats), formats), formats.instructionSuffix);
}

function withMessages(envelopes: readonly Envelope[], formats: FormatOptions): readonly Envelope[] {
  const { esdk: place = "auto", esdkKeys: keys = "replace", esdkDrop, esdkContext = {} } = formats;
  const drops = esdkDrop && matching(esdkDrop, "");
  const keptOut = new Map(Object.entries(esdkContext));
  if (place === "auto" && keys === "replace" && keptOut.size === 0) return envelopes;
  const own = new Map([
    [esdk, esdkIn({ place, keys, drops, keptOut })],
    [esdkSidecar, sidecarWith(keptOut)],
  ]);
  return envelopes.map((envelope) => own.get(envelope) ?? envelope);
}

/** Where a body has files of both names, the job's own is read. */
function withSuffix(envelopes: readonly Envelope[], suffix = INSTRUCTION_SUFFIX): readonly Envelope[] {
  if (suffix === INSTRUCTION_SUFFIX) return envelopes;
  const named = instructionFiles(suffix);
  return envelopes.map((envelope) =>
    envelope.divided ? { ...envelope, divided: [named, ...envelope.divided] } : envelope,
  );
}

function withClaims(
  envelopes: readonly Envelope[],
  { tink: claim, tinkKeysets: keysets, tinkFromV3 = false }: FormatOptions,
): readonly Envelope[] {
  if (claim === undefined && keysets === undefined && !tinkFromV3) return envelopes;
  const mark = claim && { content: claim.template, key: keyUri(claim.key), prefixType: claim.prefix };
  const tinks = tinkWith(mark, tinkFromV3);
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
