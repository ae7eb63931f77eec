/** The formats that this program knows, and those of a job. */
import type { Job } from "../core/job.ts";
import type { Envelope } from "../envelope/envelope.ts";
import { esdk, esdkIn } from "../envelope/esdk/esdk.ts";
import { esdkSidecar, sidecarWith } from "../envelope/esdk/sidecar.ts";
import { plain } from "../envelope/plain.ts";
import { s3ecV1 } from "../envelope/s3ec/v1.ts";
import { s3ecV2 } from "../envelope/s3ec/v2.ts";
import { s3ecV3 } from "../envelope/s3ec/v3.ts";

/** The formats in the order in which they are asked; plain claims only what shows no sign of any other. */
export const ENVELOPES: readonly Envelope[] = [s3ecV1, s3ecV2, s3ecV3, esdk, esdkSidecar, plain];

/** As the job wants them to be read, and to stand at the destination. */
export function envelopesOf({ keys, options }: Job): readonly Envelope[] {
  const keptOut = new Map(Object.entries(keys.esdkContext));
  const own = new Map([
    [esdk, esdkIn({ place: options.esdk, keys: options.esdkKeys, keptOut })],
    [esdkSidecar, sidecarWith(keptOut)],
  ]);
  return ENVELOPES.map((each) => own.get(each) ?? each);
}
