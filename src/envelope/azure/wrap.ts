/**
 * How the data key of an Azure envelope is wrapped: what `Algorithm` says, and who opens it.
 *
 *   Algorithm                     KeyId                wrapped key            opened by
 *   A128KW, A192KW, A256KW        any text             RFC 3394: n + 8        local://, a bare AES key
 *   CKM_AES_KEY_WRAP              the same, as a managed HSM names it
 *   RSA-OAEP, RSA-OAEP-256        any text, mostly     RSA (RFC 7518, 4.3): k local-rsa://, a bare RSA key
 *   RSA1_5                        a Key Vault URL      RSA (RFC 7518, 4.2): k
 *   AES_CBC_256                   symmKey1             AES/ECB: 32 or 48      local://, what Snowflake writes on Google and Azure
 *   aws-kms, gcp-kms, local       the key's URI        the key service's own, bound to nothing; ours
 *
 *   n = 32 (protocol 1.0) or 40: the key behind its protocol, | "2.0" 00 00 00 00 00 | key: 32 |
 */
import { type KeyScheme, type KeyUri, keyScheme, keyUri, type RawWrap, type WrappedKey } from "../../core/key.ts";
import { base64, type Body, CBC, shown, type WrappedText } from "./document.ts";
import { malformed, unsupported } from "./names.ts";

type Algorithm = RawWrap["algorithm"];

const RAW: ReadonlyMap<string, Algorithm> = new Map([
  ["A128KW", "AESWrap"],
  ["A192KW", "AESWrap"],
  ["A256KW", "AESWrap"],
  ["CKM_AES_KEY_WRAP", "AESWrap"],
  ["RSA-OAEP", "RSA-OAEP"],
  ["RSA-OAEP-256", "RSA-OAEP-256"],
  ["RSA1_5", "RSA1_5"],
]);
const OURS: readonly KeyScheme[] = ["aws-kms", "gcp-kms", "local"];
/** AES/ECB with padding of a key of 16 or 32 bytes. */
const SNOWFLAKE_SIZES = [32, 48];
const AESWRAP_EXTRA_BYTES = 8;
const WRAPPED_BYTES_MAX = 6144;
/** Moduli of 1,024 to 8,192 bits. */
const RSA_BYTES_MIN = 128;
const RSA_BYTES_MAX = 1024;

/** Throws SEAL_MALFORMED, or SEAL_UNSUPPORTED for an algorithm that is not carried. */
export function readWrapped({ keyId, encryptedKey, algorithm }: WrappedText, { content, protocol }: Body): WrappedKey {
  const bytes = base64(encryptedKey, "EncryptedKey");
  const scheme = OURS.find((name) => name === algorithm);
  if (scheme !== undefined) return { scheme, uri: ownUri(keyId, scheme), bytes: plausible(bytes) };
  const raw = algorithm === CBC && content === CBC ? "AES" : RAW.get(algorithm);
  if (raw === undefined) throw unsupported(`data keys wrapped as ${shown(algorithm)} (Algorithm) are not carried`);
  if (!makes(raw, bytes.length, content)) {
    throw malformed(`EncryptedKey holds ${bytes.length} bytes, which ${algorithm} does not make`);
  }
  const bound = content === CBC ? "" : protocol;
  return { scheme: raw.startsWith("RSA") ? "local-rsa" : "local", raw: { algorithm: raw, bound }, bytes };
}

function makes(algorithm: Algorithm, sizeBytes: number, content: string): boolean {
  if (algorithm === "AES") return SNOWFLAKE_SIZES.includes(sizeBytes);
  if (algorithm === "AESWrap") return sizeBytes === (content === CBC ? 32 : 40) + AESWRAP_EXTRA_BYTES;
  return sizeBytes >= RSA_BYTES_MIN && sizeBytes <= RSA_BYTES_MAX;
}

function plausible(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= WRAPPED_BYTES_MAX) return bytes;
  throw malformed(`EncryptedKey holds ${bytes.length} bytes`);
}

function ownUri(keyId: string, scheme: KeyScheme): KeyUri {
  try {
    const uri = keyUri(keyId);
    if (keyScheme(uri) === scheme) return uri;
  } catch {
    // Told below, in our words.
  }
  throw malformed(`KeyId is not a key URI of ${scheme}`);
}

/** Throws SEAL_UNSUPPORTED. */
export function wrapUnder(to: KeyUri): string {
  if (keyScheme(to) === "local-rsa") throw unsupported("nothing is wrapped under local-rsa keys: they only open");
  return keyScheme(to);
}
