/**
 * What the driver asks of Google Cloud KMS (google/cloud/kms/v1/service.proto), whichever way it travels. Transports report what
 * was answered, the driver judges it; errors leave a transport classified by `refusal.ts`.
 */
export interface Encrypted {
  /** Resource name of the key version that sealed. */
  readonly version: string;
  readonly ciphertext: Buffer;
  readonly ciphertextCrc32c: number | undefined;
  readonly plaintextVerified: boolean;
  readonly additionalVerified: boolean;
}

export interface Decrypted {
  /** The driver wipes it. */
  readonly plaintext: Buffer;
  readonly plaintextCrc32c: number | undefined;
}

export interface Described {
  readonly purpose: string;
  /** `ENABLED`, or why not; empty where the key has no primary version. */
  readonly primaryState: string;
}

export interface GcpTransport {
  encrypt(name: string, plaintext: Uint8Array, additional: Uint8Array, signal: AbortSignal): Promise<Encrypted>;
  decrypt(name: string, ciphertext: Uint8Array, additional: Uint8Array, signal: AbortSignal): Promise<Decrypted>;
  describe(name: string, signal: AbortSignal): Promise<Described>;
  close(): Promise<void>;
}

/** Unsigned 32 bits, as number or as the decimal text of an int64. */
export function crcOf(value: unknown): number | undefined {
  const number = typeof value === "string" && /^\d{1,10}$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= 0xffffffff
    ? number
    : undefined;
}
