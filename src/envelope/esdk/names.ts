/** The metadata names of a wrapped key that stands beside a message (sidecar.ts). None is a name of the S3 Encryption Client. */
export const BESIDE_KEY = "sealift-esdk-key";
export const BESIDE_WRAP = "sealift-esdk-wrap";
export const BESIDE_URI = "sealift-esdk-uri";
export const BESIDE_MESSAGE = "sealift-esdk-message";
export const BESIDE: readonly string[] = [BESIDE_KEY, BESIDE_WRAP, BESIDE_URI, BESIDE_MESSAGE];

/** By its lower-case name. */
export const isBeside = (name: string): boolean => BESIDE.includes(name);
