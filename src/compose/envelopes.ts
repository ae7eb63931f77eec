/** The formats that a job's objects may be in. Tink's have no sign of their own: the job has to say that there are any. */
import type { Job, TinkClaim } from "../core/job.ts";
import { keyUri } from "../core/key.ts";
import { azure } from "../envelope/azure/azure.ts";
import type { Envelope } from "../envelope/envelope.ts";
import { plain } from "../envelope/plain.ts";
import { s3ecV1 } from "../envelope/s3ec/v1.ts";
import { s3ecV2 } from "../envelope/s3ec/v2.ts";
import { s3ecV3 } from "../envelope/s3ec/v3.ts";
import { tink, tinkWith } from "../envelope/tink/tink.ts";

/** In the order in which they are asked; plain claims only what shows no sign of any other. */
export const ENVELOPES: readonly Envelope[] = [s3ecV1, s3ecV2, s3ecV3, tink, azure, plain];

export const envelopesOf = (job: Job): readonly Envelope[] => envelopesWith(job.options.tink);

/** `claim`: how objects of Tink are sealed that no mark speaks for; absent: there are none. */
export function envelopesWith(claim: TinkClaim | undefined): readonly Envelope[] {
  if (claim === undefined) return ENVELOPES;
  const { template: content, key, prefix: prefixType } = claim;
  const claiming = tinkWith({ content, key: keyUri(key), prefixType });
  return ENVELOPES.map((envelope) => {
    if (envelope === tink) return claiming;
    return envelope === plain ? plainBut(claiming) : envelope;
  });
}

/** Plain, but for what another format takes for its own. */
const plainBut = (other: Envelope): Envelope => ({
  ...plain,
  read: (head, start) => (other.read(head, start) === undefined ? plain.read(head, start) : undefined),
});
