/** What each official client is known to open, by the wrap it finds, and in which words it refuses the rest. */
import type { Mode } from "./client.ts";

/** The wraps that sealift writes under AWS KMS, by format. */
export type Wrap = "V3 12" | "V2 kms+context" | "V2 kms";

export interface Claim {
  /** The mode from which on it opens them; absent: it does in none. */
  readonly reads?: Mode;
  /** What it says where it does not; absent: it says nothing, takes the object for one that nobody sealed, and hands out the ciphertext. */
  readonly refusal?: RegExp;
  /** For the matrix: why in no mode. */
  readonly because?: string;
}

export interface Claims extends Readonly<Record<Wrap, Claim>> {
  /** In the mode that allows most, about `gcp-kms+context`; absent as above. */
  readonly google: { readonly V2: RegExp; readonly V3?: RegExp };
  /** Where an instruction file is beyond it: what it says. */
  readonly inFile?: { readonly V2?: RegExp; readonly V3: RegExp };
}

const yes: Claim = { reads: "default" };
const legacy = (refusal: RegExp): Claim => ({ reads: "legacy", refusal });
const NO_V3 = "does not know V3";
const rubyNoV3: Claim = { refusal: /unable to locate encryption envelope/, because: NO_V3 };

export const CLAIMS: Readonly<Record<string, Claims>> = {
  python4: {
    "V3 12": yes,
    "V2 kms+context": legacy(/cannot decrypt non-key-committing object/),
    "V2 kms": legacy(/Enable legacy wrapping algorithms/),
    google: {
      V2: /gcp-kms\+context is not a valid key wrapping algorithm/,
      V3: /Unknown V3 wrapping algorithm: 'gcp-kms\+context'/,
    },
  },
  java4: {
    "V3 12": yes,
    "V2 kms+context": legacy(/Commitment policy violation/),
    "V2 kms": legacy(/Commitment policy violation|Enable legacy unauthenticated modes/),
    google: {
      V2: /does not support the object's key wrapping algorithm: gcp-kms\+context/,
      V3: /Unknown wrapping algorithm value: gcp-kms\+context/,
    },
  },
  go4: {
    "V3 12": yes,
    "V2 kms+context": legacy(/not valid for the selected commitment policy/),
    "V2 kms": legacy(/not valid for the selected commitment policy/),
    google: {
      V2: /`gcp-kms\+context` did not match an expected algorithm/,
      V3: /unsupported wrapping algorithm for getting Material Description/,
    },
    // It asks for the file by a client of the process's own configuration, not by the one it was given; here there is none.
    inFile: { V2: /failed to load objectMetadata/, V3: /failed to load objectMetadata/ },
  },
  java1: {
    "V3 12": { because: `${NO_V3}, takes the object for plain and hands out its ciphertext` },
    "V2 kms+context": yes,
    "V2 kms": yes,
    google: { V2: /Unable to retrieve the client encryption materials/ },
    inFile: { V3: /Content encrypting key not found/ },
  },
  java2: {
    "V3 12": { refusal: /Unencrypted object found|Instruction file not found/, because: NO_V3 },
    "V2 kms+context": yes,
    "V2 kms": legacy(/key wrap algorithm used with previous version of client/),
    google: {
      V2: /No key wrap algorithm detected|Unable to retrieve the client encryption materials/,
      V3: /Instruction file not found/,
    },
    inFile: { V3: /Content encrypting key not found/ },
  },
  ruby1: {
    "V3 12": rubyNoV3,
    "V2 kms+context": yes,
    "V2 kms": yes,
    google: {
      V2: /unsupported key wrapping algorithm: "gcp-kms\+context"/,
      V3: /unable to locate encryption envelope/,
    },
  },
  ruby2: {
    "V3 12": rubyNoV3,
    "V2 kms+context": yes,
    "V2 kms": legacy(/V1 encryption schemas that have been disabled/),
    google: {
      V2: /unsupported key wrapping algorithm: "gcp-kms\+context"/,
      V3: /unable to locate encryption envelope/,
    },
  },
};
