/**
 * The algorithm suites of AWS Encryption SDK messages (AWS Encryption SDK specification, framework/algorithm-suites.md). All encrypt
 * by AES-GCM with IVs of 12 bytes and tags of 16; a data key is as long as the key it becomes.
 *
 *   id                  data key     becomes the body's key by     signed by                commits
 *   0014  0046  0078    16  24  32   standing for it               -                        -
 *   0114  0146  0178    16  24  32   HKDF-SHA256                   -                        -
 *   0214                16           HKDF-SHA256                   ECDSA P-256, SHA-256     -
 *         0346  0378        24  32   HKDF-SHA384                   ECDSA P-384, SHA-384     -
 *               0478            32   HKDF-SHA512                   -                        32 bytes in the header
 *               0578            32   HKDF-SHA512                   ECDSA P-384, SHA-384     32 bytes in the header
 */
export interface Signing {
  /** OpenSSL's name. */
  readonly curve: "prime256v1" | "secp384r1";
  readonly hash: "sha256" | "sha384";
  /** Of a compressed point (SEC 1, 2.3.3). */
  readonly pointBytes: number;
}

export interface Suite {
  /** `0178`. */
  readonly id: string;
  readonly code: number;
  /** Of the message format. Those that commit are in version 2 and no others. */
  readonly version: 1 | 2;
  readonly keyBytes: 16 | 24 | 32;
  /** Of the HKDF; absent: the data key is the body's key. */
  readonly hash?: "sha256" | "sha384" | "sha512" | undefined;
  readonly signing?: Signing | undefined;
}

const P256: Signing = { curve: "prime256v1", hash: "sha256", pointBytes: 33 };
const P384: Signing = { curve: "secp384r1", hash: "sha384", pointBytes: 49 };

function suite(code: number, keyBytes: Suite["keyBytes"], hash?: Suite["hash"], signing?: Signing): Suite {
  const id = code.toString(16).padStart(4, "0");
  return { id, code, version: hash === "sha512" ? 2 : 1, keyBytes, hash, signing };
}

const SUITES: readonly Suite[] = [
  suite(0x0014, 16),
  suite(0x0046, 24),
  suite(0x0078, 32),
  suite(0x0114, 16, "sha256"),
  suite(0x0146, 24, "sha256"),
  suite(0x0178, 32, "sha256"),
  suite(0x0214, 16, "sha256", P256),
  suite(0x0346, 24, "sha384", P384),
  suite(0x0378, 32, "sha384", P384),
  suite(0x0478, 32, "sha512"),
  suite(0x0578, 32, "sha512", P384),
];

export const suiteOf = (code: number): Suite | undefined => SUITES.find((known) => known.code === code);

/** By its id, as seals have it. */
export const suiteCalled = (id: string): Suite | undefined => SUITES.find((known) => known.id === id);

export const MESSAGE_ID_BYTES = { 1: 16, 2: 32 } as const;
/** Of a message in version 2. */
export const COMMITMENT_BYTES = 32;
