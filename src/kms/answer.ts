/** How the drivers judge what they are given and what a provider answers: shared, so that all of them fail in the same words. */
import { SealiftError } from "../core/error.ts";
import { type KeyScheme, type KeyUri, keyName, keyScheme } from "../core/key.ts";

/** No KMS makes a wrapped data key near this size; whatever is larger was not made by one. */
const WRAPPED_BYTES_MAX = 6144;
/** Data keys are 16 to 64 bytes, a keyset of Tink's is some thousand; AWS Encrypt itself ends at 4,096. */
const DATA_KEY_BYTES_MAX = 4096;
export const ANSWER_BYTES_MAX = 64 * 1024;
const MESSAGE_CHARS_MAX = 300;

/**
 * One error and one text for every way in which a wrapped key fails to open (wrong key, wrong context, changed or cut bytes), with
 * no cause attached: whoever can write wrapped keys into a bucket must not learn from our words which of them it was.
 */
export const cannotOpen = (where: string): SealiftError =>
  new SealiftError("KMS_CANNOT_OPEN", `the wrapped key does not open under ${where} with this key context`);

/** The provider's own name of a key of this scheme. */
export function nameOf(key: KeyUri, scheme: KeyScheme): string {
  if (keyScheme(key) === scheme) return keyName(key);
  throw new SealiftError("KMS_KEY_UNUSABLE", `${key} is not a key of ${scheme}`);
}

/** Never an empty or giant data key: both are signs of a defect upstream, and a KMS would wrap them without a word. */
export function checkDataKeySize(sizeBytes: number): void {
  if (sizeBytes > 0 && sizeBytes <= DATA_KEY_BYTES_MAX) return;
  throw new SealiftError("INTERNAL", `a data key of ${sizeBytes} bytes was to be wrapped`);
}

/** Wrapped bytes no KMS could have made are refused before a request is spent on them. */
export const isPlausible = (bytes: Uint8Array): boolean => bytes.length > 0 && bytes.length <= WRAPPED_BYTES_MAX;

export type Answer = Readonly<Record<string, unknown>>;

/** undefined where the text is no JSON object. No cause and no excerpt: the text may hold a plaintext key. */
export function parseAnswer(text: string): Answer | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Answer) : undefined;
  } catch {
    return undefined;
  }
}

export function textField(answer: Answer, name: string, where: string): string {
  const value = answer[name];
  if (typeof value === "string" && value !== "") return value;
  throw new SealiftError("PROVIDER_ERROR", `${where} answered without ${name}`);
}

/** Standard base64, strictly: what is lax here would be a shorter key later. */
export function bytesField(answer: Answer, name: string, where: string): Buffer {
  const text = textField(answer, name, where);
  if (/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return Buffer.from(text, "base64");
  throw new SealiftError("PROVIDER_ERROR", `${where} answered with a broken ${name}`);
}

/** A provider's message, bounded, on one line, and withheld where it repeats the secret that was sent. */
export function quote(message: unknown, secret: string | undefined): string {
  if (typeof message !== "string" || message === "") return "";
  if (secret !== undefined && message.includes(secret)) return "";
  // oxlint-disable-next-line no-control-regex -- control characters are what is removed
  return `: ${message.replaceAll(/[\u0000-\u001f\u007f]+/g, " ").slice(0, MESSAGE_CHARS_MAX)}`;
}

/** Retry-After in seconds; its date form is not used by KMSs. */
export function retryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,5}$/.test(header) ? Number(header) * 1000 : undefined;
}
