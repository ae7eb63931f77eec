/** The formats that a job's objects may be in. Tink's have no sign of their own: the job has to say that there are any. */
import type { Job, JobOptions } from "../core/job.ts";
import { keyUri } from "../core/key.ts";
import { azure } from "../envelope/azure/azure.ts";
import type { Envelope } from "../envelope/envelope.ts";
import { plain } from "../envelope/plain.ts";
import { s3ecV1 } from "../envelope/s3ec/v1.ts";
import { s3ecV2 } from "../envelope/s3ec/v2.ts";
import { s3ecV3 } from "../envelope/s3ec/v3.ts";
import { keysetWith, tinkKeyset } from "../envelope/tink/keyset.ts";
import { tink, tinkWith } from "../envelope/tink/tink.ts";

/** In the order in which they are asked; plain claims only what shows no sign of any other. */
export const ENVELOPES: readonly Envelope[] = [s3ecV1, s3ecV2, s3ecV3, tink, tinkKeyset, azure, plain];

export const envelopesOf = (job: Job): readonly Envelope[] => envelopesWith(job.options);

/** What is sealed by Tink without a mark that speaks for it; absent: nothing is. */
type Claims = Pick<JobOptions, "tink" | "tinkKeysets">;

export function envelopesWith({ tink: claim, tinkKeysets: keysets }: Claims): readonly Envelope[] {
  if (claim === undefined && keysets === undefined) return ENVELOPES;
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
