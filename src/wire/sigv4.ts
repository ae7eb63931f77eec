/**
 * Signature Version 4 in the Authorization header (AWS IAM User Guide, "Create a signed AWS API request"). Pure: the clock and the
 * credentials are given. What is signed here is byte for byte what must be sent, so that callers build path and query with the
 * two encoders below and with nothing else.
 */
import { createHash, createHmac } from "node:crypto";
import { SealiftError } from "../core/error.ts";
import type { HttpBody } from "./http.ts";

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface SignInput {
  readonly method: string;
  /** Encoded, as on the wire, without the query. */
  readonly path: string;
  /** Not encoded; sent as `encodeQuery` writes it. */
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** With `host`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Hex SHA-256 of the body, or `UNSIGNED-PAYLOAD` (S3 over TLS only). */
  readonly payloadHash: string;
  readonly credentials: AwsCredentials;
  readonly region: string;
  readonly service: string;
  readonly now: Date;
  /** Every service but S3: dot segments are folded and the path is encoded once more before it is signed. */
  readonly doubleEncodePath?: boolean | undefined;
}

export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

export function bodySha256(body: HttpBody): string {
  const hash = createHash("sha256");
  const pieces = typeof body === "string" || body instanceof Uint8Array ? [body] : body;
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

export const sha256Hex = (data: Uint8Array | string): string => createHash("sha256").update(data).digest("hex");

/** All headers to send: those given, and the date, the payload's hash, the session token and the signature. Names in lower case. */
export function signRequest(input: SignInput): Record<string, string> {
  const { credentials, payloadHash, region, service } = input;
  const time = input.now.toISOString().replaceAll(/[-:]|\.\d{3}/g, "");
  const day = time.slice(0, 8);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(input.headers)) headers[name.toLowerCase()] = value;
  if (headers["host"] === undefined) throw new SealiftError("INTERNAL", "a request without host cannot be signed");
  headers["x-amz-date"] = time;
  headers["x-amz-content-sha256"] = payloadHash;
  if (credentials.sessionToken !== undefined) headers["x-amz-security-token"] = credentials.sessionToken;
  const names = Object.keys(headers).filter(isSigned).sort();
  const signedHeaders = names.join(";");
  const path = input.doubleEncodePath ? normalizedPath(input.path) : input.path;
  let canonical = `${input.method}\n${path}\n${encodeQuery(input.query ?? {})}\n`;
  for (const name of names) canonical += `${name}:${canonicalValue(headers[name] as string)}\n`;
  canonical += `\n${signedHeaders}\n${payloadHash}`;
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256Hex(canonical)}`;
  const signature = createHmac("sha256", signingKey(credentials, day, region, service))
    .update(toSign)
    .digest("hex");
  headers["authorization"] =
    `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
  return headers;
}

/** RFC 3986 per UTF-8 byte, `/` kept and nothing folded: `a/../b` and `a//b` are names of their own. NAME_UNFIT without UTF-8 form. */
export function encodeKeyPath(key: string): string {
  if (/^[\w.~/-]*$/.test(key)) return key;
  return encodeText(key).replaceAll("%2F", "/");
}

/** Name by name in order, as the signature wants it: the same text is signed and sent. */
export function encodeQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => [encodeText(name), encodeText(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

/** encodeURIComponent leaves five characters alone that RFC 3986 (2.2) reserves. */
function encodeText(text: string): string {
  try {
    const encoded = encodeURIComponent(text);
    return encoded.replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  } catch (error) {
    throw new SealiftError("NAME_UNFIT", "the name is not well-formed Unicode", { cause: error });
  }
}

/** Not signed because they may change between here and there; the official clients leave out the same ones. */
const UNSIGNED_HEADERS = new Set([
  "authorization",
  "cache-control",
  "connection",
  "expect",
  "from",
  "keep-alive",
  "max-forwards",
  "pragma",
  "referer",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "x-amzn-trace-id",
]);

const isSigned = (name: string): boolean =>
  !UNSIGNED_HEADERS.has(name) && !name.startsWith("proxy-") && !name.startsWith("sec-");

const canonicalValue = (value: string): string =>
  value
    .replaceAll(/[\r\n]/g, " ")
    .replaceAll(/[ \t]+/g, " ")
    .replaceAll(/^ | $/g, "");

function normalizedPath(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(segment);
  }
  const end = segments.length > 0 && path.endsWith("/") ? "/" : "";
  return encodeText(`/${segments.join("/")}${end}`).replaceAll("%2F", "/");
}

const KEYS_KEPT_MAX = 64;
const signingKeys = new Map<string, { readonly secret: string; readonly key: Buffer }>();

/** Four HMACs that change once a day. */
function signingKey(credentials: AwsCredentials, day: string, region: string, service: string): Buffer {
  const name = `${credentials.accessKeyId}/${day}/${region}/${service}`;
  const kept = signingKeys.get(name);
  if (kept?.secret === credentials.secretAccessKey) return kept.key;
  if (signingKeys.size >= KEYS_KEPT_MAX) signingKeys.clear();
  const hmac = (key: string | Buffer, data: string) => createHmac("sha256", key).update(data).digest();
  const ofDay = hmac(`AWS4${credentials.secretAccessKey}`, day);
  const key = hmac(hmac(hmac(ofDay, region), service), "aws4_request");
  signingKeys.set(name, { secret: credentials.secretAccessKey, key });
  return key;
}
