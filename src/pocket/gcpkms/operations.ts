/** The operations of the pocket Google KMS, after google/cloud/kms/v1/service.proto; both doors (REST, gRPC) lead here. */
import { crc32c } from "../../core/crc32c.ts";
import { type KeyRing, primary, seal, unseal, usable } from "./keys.ts";
import { invalid } from "./refusal.ts";

export interface EncryptCall {
  readonly name: string;
  readonly plaintext: Buffer;
  readonly additional: Buffer;
  readonly plaintextCrc32c?: number | undefined;
  readonly additionalCrc32c?: number | undefined;
}

export interface DecryptCall {
  readonly name: string;
  readonly ciphertext: Buffer;
  readonly additional: Buffer;
  readonly ciphertextCrc32c?: number | undefined;
  readonly additionalCrc32c?: number | undefined;
}

const BYTES_MAX = 64 * 1024;

export function encrypt(ring: KeyRing, call: EncryptCall) {
  const key = ring.find(call.name.replace(/\/cryptoKeyVersions\/\d+$/, ""), "useToEncrypt");
  const named = key.versions.find(({ name }) => name === call.name);
  const version = usable(named ?? primary(key));
  checkSize("plaintext", call.plaintext);
  checkSize("additional_authenticated_data", call.additional);
  const ciphertext = seal(version, call.plaintext, call.additional);
  return {
    name: version.name,
    ciphertext,
    ciphertextCrc32c: crc32c(ciphertext),
    verifiedPlaintextCrc32c: verified("plaintext", call.plaintext, call.plaintextCrc32c),
    verifiedAdditionalAuthenticatedDataCrc32c: verified(
      "additional_authenticated_data",
      call.additional,
      call.additionalCrc32c,
    ),
    protectionLevel: "SOFTWARE",
  };
}

export function decrypt(ring: KeyRing, call: DecryptCall) {
  const key = ring.find(call.name, "useToDecrypt");
  verified("ciphertext", call.ciphertext, call.ciphertextCrc32c);
  verified("additional_authenticated_data", call.additional, call.additionalCrc32c);
  const { plaintext, by } = unseal(key, call.ciphertext, call.additional);
  const usedPrimary = by === primary(key);
  return { plaintext, plaintextCrc32c: crc32c(plaintext), usedPrimary, protectionLevel: "SOFTWARE" };
}

export function cryptoKey(ring: KeyRing, name: string) {
  const key = ring.find(name, "get");
  const { name: version, state } = primary(key);
  const algorithm = "GOOGLE_SYMMETRIC_ENCRYPTION";
  return {
    name: key.name,
    primary: { name: version, state, protectionLevel: "SOFTWARE", algorithm },
    purpose: "ENCRYPT_DECRYPT",
    versionTemplate: { protectionLevel: "SOFTWARE", algorithm },
  };
}

/** True where a checksum was given and fits; a wrong one is refused before any work. */
function verified(field: string, bytes: Buffer, given: number | undefined): boolean {
  if (given === undefined) return false;
  if (given === crc32c(bytes)) return true;
  throw invalid(`The checksum in field ${field}_crc32c did not match the data in field ${field}.`);
}

function checkSize(field: string, bytes: Buffer): void {
  if (bytes.length > BYTES_MAX) throw invalid(`The ${field} must be no larger than ${BYTES_MAX} bytes.`);
}
