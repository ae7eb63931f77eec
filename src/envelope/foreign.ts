/** Signs of client-side envelopes that are known but not carried. Taking such an object for plain would seal it twice. */
import { SealiftError } from "../core/error.ts";
import type { ObjectHead } from "../core/object.ts";
import { isAzureName } from "./azure/names.ts";
import { isBeside } from "./esdk/names.ts";
import { INSTRUCTION_SUFFIX, isKnown } from "./s3ec/names.ts";
import { isMark } from "./tink/marker.ts";

const SIGNS: readonly { readonly name: RegExp; readonly means: string }[] = [
  { name: /^x-amz-crypto-instr-file$/, means: "an S3EC instruction file: the envelope of another object" },
  { name: /^client-side-encryption-/, means: "Alibaba OSS client-side encryption" },
];

/** By its lower-case name: true for those of a carried format that is not S3EC's. */
export const isAnothers = (name: string): boolean => isBeside(name) || isMark(name) || isAzureName(name);

/**
 * True: the metadata speaks for a format, known or carried, so that the body is not asked. Ciphertext is random bytes: one in some
 * million begins like the envelope of another format.
 */
export const headDecides = ({ attributes: { metadata } }: ObjectHead): boolean =>
  [...metadata.keys()].some((name) => {
    const lower = name.toLowerCase();
    return isKnown(lower) || isAnothers(lower) || SIGNS.some((sign) => sign.name.test(lower));
  });

/**
 * What such a sign means, where the object shows one. The marker of instruction files is optional: the Ruby, PHP and .NET clients
 * write files that only their name gives away.
 */
export function foreignSign({ key, attributes }: ObjectHead): string | undefined {
  for (const name of attributes.metadata.keys()) {
    const sign = SIGNS.find((known) => known.name.test(name.toLowerCase()));
    if (sign !== undefined) return `metadata ${JSON.stringify(name.slice(0, 64))}: ${sign.means}`;
  }
  if (!key.endsWith(INSTRUCTION_SUFFIX)) return undefined;
  return `named ${INSTRUCTION_SUFFIX}: by this name an S3EC instruction file, but no object beside it waits for one`;
}

/** Throws SEAL_UNSUPPORTED where the object shows such a sign. */
export function refuseForeign(head: ObjectHead): void {
  const sign = foreignSign(head);
  if (sign !== undefined) throw new SealiftError("SEAL_UNSUPPORTED", sign, { object: head.key });
}
