/**
 * Encryption at rest as a client sees it ("Protecting data with encryption", Amazon S3 User Guide): the headers that ask for it
 * and the headers that tell of it. Under a customer's key (SSE-C) the bytes really are held encrypted and only a salted digest of
 * the key is kept; the other modes change nothing but headers and the ETag, as nothing more can be seen from outside.
 */
import { createHash, createHmac, randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { S3Refusal } from "./refusal.ts";

export type S3AtRest =
  | { readonly mode: "AES256" }
  | { readonly mode: "aws:kms" | "aws:kms:dsse"; readonly keyId: string; readonly bucketKey: boolean }
  | { readonly mode: "SSE-C"; readonly keyMd5: string; readonly salt: Buffer; readonly digest: Buffer };

export interface CustomerKey {
  readonly key: Buffer;
  readonly md5: string;
}

/** What a write asks for: the mode, and the key in hand where the customer brought one. */
export interface RequestedAtRest {
  readonly atRest: S3AtRest;
  readonly customerKey?: CustomerKey | undefined;
}

const SSE = "x-amz-server-side-encryption";
const OWN = `${SSE}-customer`;
export const SOURCE_KEY = "x-amz-copy-source-server-side-encryption-customer";

/** The SSE-C key of a request, whole and consistent, or undefined. */
function customerKey(headers: IncomingHttpHeaders, prefix = OWN): CustomerKey | undefined {
  const [algorithm, text, md5] = ["algorithm", "key", "key-md5"].map((part) => headers[`${prefix}-${part}`]);
  if (algorithm === undefined && text === undefined && md5 === undefined) return undefined;
  if (algorithm !== "AES256") {
    throw new S3Refusal(
      "InvalidEncryptionAlgorithmError",
      "The Encryption request you specified is not valid. Supported value: AES256.",
    );
  }
  if (typeof text !== "string" || typeof md5 !== "string") {
    throw invalid(
      "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.",
    );
  }
  const key = Buffer.from(text, "base64");
  if (key.length !== 32) throw invalid("The secret key was invalid for the specified algorithm.");
  if (createHash("md5").update(key).digest("base64") !== md5) {
    throw invalid("The calculated MD5 hash of the key did not match the hash that was provided.");
  }
  return { key, md5 };
}

export function requestedAtRest(
  headers: IncomingHttpHeaders,
  defaultKey: string | undefined,
  region: string,
): RequestedAtRest {
  const own = customerKey(headers);
  const mode = headers[SSE];
  const keyId = headers[`${SSE}-aws-kms-key-id`];
  if (own) {
    if (mode !== undefined)
      throw invalid(
        "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
      );
    const salt = randomBytes(16);
    return { atRest: { mode: "SSE-C", keyMd5: own.md5, salt, digest: saltedDigest(salt, own.key) }, customerKey: own };
  }
  checkContext(headers[`${SSE}-context`]);
  const bucketKey = headers[`${SSE}-bucket-key-enabled`] === "true";
  if (mode === "aws:kms" || mode === "aws:kms:dsse") {
    const name = keyId === undefined ? (defaultKey ?? "aws/s3") : String(keyId);
    return { atRest: { mode, keyId: keyArn(name, region), bucketKey: bucketKey && mode === "aws:kms" } };
  }
  if (mode !== undefined && mode !== "AES256") throw invalid("The encryption method specified is not supported");
  if (keyId !== undefined)
    throw invalid(
      "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
    );
  if (mode === undefined && defaultKey !== undefined) {
    return { atRest: { mode: "aws:kms", keyId: keyArn(defaultKey, region), bucketKey } };
  }
  return { atRest: { mode: "AES256" } };
}

/** The key to read with: undefined where none is needed, a refusal where it is missing, wrong or out of place. */
export function keyFor(atRest: S3AtRest, headers: IncomingHttpHeaders, prefix = OWN): CustomerKey | undefined {
  if (prefix === OWN && headers[SSE] !== undefined) {
    throw invalid(`${SSE} header is not supported for this operation.`);
  }
  const own = customerKey(headers, prefix);
  if (atRest.mode !== "SSE-C") {
    if (own) throw new S3Refusal("InvalidRequest", "The encryption parameters are not applicable to this object.");
    return undefined;
  }
  if (!own) {
    throw new S3Refusal(
      "InvalidRequest",
      "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.",
    );
  }
  if (!saltedDigest(atRest.salt, own.key).equals(atRest.digest)) throw new S3Refusal("AccessDenied", "Access Denied");
  return own;
}

export function atRestHeaders(atRest: S3AtRest, into: Record<string, string | number>): void {
  if (atRest.mode === "SSE-C") {
    into[`${OWN}-algorithm`] = "AES256";
    into[`${OWN}-key-md5`] = atRest.keyMd5;
    return;
  }
  into[SSE] = atRest.mode;
  if (atRest.mode === "AES256") return;
  into[`${SSE}-aws-kms-key-id`] = atRest.keyId;
  if (atRest.bucketKey) into[`${SSE}-bucket-key-enabled`] = "true";
}

/** Only then is the ETag of a single put the MD5 of its bytes. */
export const etagIsMd5 = (atRest: S3AtRest): boolean => atRest.mode === "AES256";

/** Base64 of a JSON object of strings. */
function checkContext(header: string | string[] | undefined): void {
  if (header === undefined) return;
  try {
    const value: unknown = JSON.parse(Buffer.from(String(header), "base64").toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  } catch {
    // Falls through: not JSON and not an object are the same refusal.
  }
  throw invalid(
    `The header '${SSE}-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map`,
  );
}

/** S3 answers with the key's ARN, however the key was named. */
const keyArn = (name: string, region: string): string =>
  name.startsWith("arn:") ? name : `arn:aws:kms:${region}:000000000000:key/${name}`;

const saltedDigest = (salt: Buffer, key: Buffer): Buffer => createHmac("sha256", salt).update(key).digest();
const invalid = (message: string): S3Refusal => new S3Refusal("InvalidArgument", message);
