/** Path-style addresses, `/bucket/key`: the key is the decoded bytes of the path, and no segment of it means anything. */
import { S3Refusal } from "./refusal.ts";

export interface Address {
  /** Empty for the root. */
  readonly bucket: string;
  /** Empty for the bucket itself. */
  readonly key: string;
  /** The path as it is signed: decoded, then encoded once with `/` kept (S3 does not encode twice). */
  readonly canonical: string;
}

const KEY_BYTES_MAX = 1024;
const PLAIN = /^[A-Za-z0-9\-._~/]*$/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function parseAddress(path: string): Address {
  const plain = PLAIN.test(path);
  const decoded = plain ? path : decode(path);
  const slash = decoded.indexOf("/", 1);
  const bucket = slash < 0 ? decoded.slice(1) : decoded.slice(1, slash);
  const key = slash < 0 ? "" : decoded.slice(slash + 1);
  if (bucket === "" && key !== "") throw new S3Refusal("InvalidBucketName", "The specified bucket is not valid.");
  if (key.length > KEY_BYTES_MAX / 3) checkLength(key);
  return { bucket, key, canonical: plain ? path : encodePath(decoded) };
}

function checkLength(key: string): void {
  const size = Buffer.byteLength(key);
  if (size <= KEY_BYTES_MAX) return;
  throw new S3Refusal("KeyTooLongError", "Your key is too long", {
    elements: { Size: String(size), MaxSizeAllowed: String(KEY_BYTES_MAX) },
  });
}

/** `+` is a space in S3's paths as it is in queries, so clients must send `%2B` (unverified against the live cloud). */
function decode(path: string): string {
  const raw = Buffer.from(path, "latin1");
  const bytes = Buffer.allocUnsafe(raw.length);
  let length = 0;
  for (let i = 0; i < raw.length; i++) {
    const byte = raw[i] as number;
    if (byte === 0x25) {
      const digits = path.slice(i + 1, i + 3);
      if (!/^[0-9a-fA-F]{2}$/.test(digits)) throw invalidUri();
      bytes[length++] = Number.parseInt(digits, 16);
      i += 2;
    } else bytes[length++] = byte === 0x2b ? 0x20 : byte;
  }
  try {
    return utf8.decode(bytes.subarray(0, length));
  } catch {
    throw invalidUri();
  }
}

const invalidUri = (): S3Refusal => new S3Refusal("InvalidURI", "Couldn't parse the specified URI.");

/** UriEncode of "Create a signed AWS API request" (AWS IAM User Guide). */
export const encodeUri = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

const encodePath = (path: string): string => encodeUri(path).replaceAll("%2F", "/");

/** The form of `encoding-type=url` in listings: `/` and `*` stay, a space is `+`. */
export const encodeListed = (text: string): string =>
  encodeUri(text).replaceAll("%2F", "/").replaceAll("%2A", "*").replaceAll("%20", "+");
