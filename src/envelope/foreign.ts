/** Signs of client-side envelopes that are known but not carried. Taking such an object for plain would seal it twice. */
import { SealiftError } from "../core/error.ts";
import type { ObjectHead } from "../core/object.ts";

const SIGNS: readonly { readonly name: RegExp; readonly means: string }[] = [
  { name: /^encryptiondata$/, means: "Azure Storage client-side encryption (also Snowflake on GCS and Azure)" },
  { name: /^x-amz-crypto-instr-file$/, means: "an S3EC instruction file: the envelope of another object" },
  { name: /^client-side-encryption-/, means: "Alibaba OSS client-side encryption" },
];

/** The marker is optional: the Ruby, PHP and .NET clients write instruction files that only their name gives away. */
const INSTRUCTION_SUFFIX = ".instruction";

/** Throws SEAL_UNSUPPORTED where the object shows such a sign. */
export function refuseForeign(head: ObjectHead): void {
  for (const name of head.attributes.metadata.keys()) {
    const sign = SIGNS.find((known) => known.name.test(name.toLowerCase()));
    if (sign !== undefined) throw refused(head, `metadata ${JSON.stringify(name.slice(0, 64))}: ${sign.means}`);
  }
  if (head.key.endsWith(INSTRUCTION_SUFFIX)) {
    throw refused(
      head,
      `named ${INSTRUCTION_SUFFIX}: by this name an S3EC instruction file, the envelope of another object`,
    );
  }
}

const refused = (head: ObjectHead, what: string): SealiftError =>
  new SealiftError("SEAL_UNSUPPORTED", what, { object: head.key });
