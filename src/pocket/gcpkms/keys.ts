/**
 * The keys of the pocket Google KMS. A ciphertext has the real one's shape and length (protobuf, 113 bytes around 32) and names
 * the key version inside:
 *
 *   0          2             38        40         53        65                    65 + n    81 + n
 *   +----------+-------------+---------+----------+---------+---------------------+---------+
 *   |  0a 24   |  reference  |  12 len |  filler  |   iv    |  ciphertext, n bytes|   tag   |
 *   +----------+-------------+---------+----------+---------+---------------------+---------+
 *    field 1,   00 + 35 bytes  field 2, random               AES-256-GCM, additional data = all
 *    36 bytes   of SHA-512     n + 41                         before the iv, then the caller's
 *
 * (A length above 127 takes a second byte, and everything behind it moves by one.)
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { GcpRefusal, invalid } from "./refusal.ts";

export type Permission = "get" | "useToEncrypt" | "useToDecrypt";

export interface PocketVersion {
  readonly name: string;
  readonly reference: Buffer;
  readonly material: Buffer;
  state: "ENABLED" | "DISABLED";
}

export interface PocketKey {
  readonly name: string;
  readonly created: Date;
  /** The last is the primary. */
  readonly versions: PocketVersion[];
  readonly denied: Set<Permission>;
}

const REFERENCE_AT = 2;
const REFERENCE_BYTES = 36;
const LENGTH_AT = REFERENCE_AT + REFERENCE_BYTES + 1;
const FILLER_BYTES = 13;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const NAME = /^projects\/[\w:.-]+\/locations\/[\w-]+\/keyRings\/[\w-]+\/cryptoKeys\/[\w-]{1,63}$/;

export class KeyRing {
  readonly #keys = new Map<string, PocketKey>();

  create(name: string): PocketKey {
    if (!NAME.test(name)) throw invalid(`${name} is not the name of a CryptoKey.`);
    const known = this.#keys.get(name);
    if (known) return known;
    const key: PocketKey = { name, created: new Date(), versions: [], denied: new Set() };
    this.#keys.set(name, key);
    this.rotate(name);
    return key;
  }

  rotate(name: string): PocketVersion {
    const key = this.find(name);
    const versionName = `${name}/cryptoKeyVersions/${key.versions.length + 1}`;
    // SHA-512, because 35 bytes of it are wanted.
    const digest = createHash("sha512").update(versionName).digest();
    const reference = Buffer.concat([Buffer.alloc(1), digest.subarray(0, REFERENCE_BYTES - 1)]);
    const version: PocketVersion = { name: versionName, reference, material: randomBytes(32), state: "ENABLED" };
    key.versions.push(version);
    return version;
  }

  find(name: string, permission?: Permission): PocketKey {
    const key = this.#keys.get(name);
    if (!key) throw new GcpRefusal("NOT_FOUND", `CryptoKey ${name} not found.`);
    if (permission === undefined || !key.denied.has(permission)) return key;
    const full = permission === "get" ? "cloudkms.cryptoKeys.get" : `cloudkms.cryptoKeyVersions.${permission}`;
    throw new GcpRefusal("PERMISSION_DENIED", `Permission '${full}' denied on resource '${name}'.`);
  }
}

export const primary = (key: PocketKey): PocketVersion => key.versions.at(-1) as PocketVersion;

export function usable(version: PocketVersion): PocketVersion {
  if (version.state === "ENABLED") return version;
  throw new GcpRefusal("FAILED_PRECONDITION", `${version.name} is not enabled, current state is: ${version.state}.`);
}

export function seal(version: PocketVersion, plaintext: Buffer, additional: Buffer): Buffer {
  const length = varint(FILLER_BYTES + IV_BYTES + plaintext.length + TAG_BYTES);
  const opening = Buffer.from([0x0a, REFERENCE_BYTES]);
  const header = Buffer.concat([opening, version.reference, Buffer.from([0x12]), length, randomBytes(FILLER_BYTES)]);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv("aes-256-gcm", version.material, iv);
  cipher.setAAD(Buffer.concat([header, additional]));
  return Buffer.concat([header, iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** One refusal for whatever does not open, as Google has one. */
export function unseal(
  key: PocketKey,
  ciphertext: Buffer,
  additional: Buffer,
): { plaintext: Buffer; by: PocketVersion } {
  const reference = ciphertext.subarray(REFERENCE_AT, REFERENCE_AT + REFERENCE_BYTES);
  const version = key.versions.find((candidate) => candidate.reference.equals(reference));
  if (!version || ciphertext.length < LENGTH_AT + 1 + FILLER_BYTES + IV_BYTES + TAG_BYTES) throw doesNotOpen();
  usable(version);
  const ivAt = LENGTH_AT + varintSize(ciphertext) + FILLER_BYTES;
  const tagAt = ciphertext.length - TAG_BYTES;
  if (tagAt < ivAt + IV_BYTES) throw doesNotOpen();
  const decipher = createDecipheriv("aes-256-gcm", version.material, ciphertext.subarray(ivAt, ivAt + IV_BYTES));
  decipher.setAAD(Buffer.concat([ciphertext.subarray(0, ivAt), additional]));
  decipher.setAuthTag(ciphertext.subarray(tagAt));
  try {
    const plaintext = decipher.update(ciphertext.subarray(ivAt + IV_BYTES, tagAt));
    return { plaintext: Buffer.concat([plaintext, decipher.final()]), by: version };
  } catch {
    throw doesNotOpen();
  }
}

const doesNotOpen = (): GcpRefusal => invalid("Decryption failed: the ciphertext is invalid.");

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

function varintSize(ciphertext: Buffer): number {
  let size = 1;
  while (size < 4 && (ciphertext[LENGTH_AT + size - 1] ?? 0) >= 0x80) size++;
  return size;
}
