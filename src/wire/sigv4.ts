/**
 * Signature Version 4 in the Authorization header (AWS IAM User Guide, "Create a signed AWS API request"). Pure: the clock and the
 * credentials are given. What is signed here is byte for byte what must be sent, so that callers build path and query with the
 * two encoders below and with nothing else.
 */
import { createHash, createHmac, hash } from "node:crypto";
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
  if (typeof body === "string" || body instanceof Uint8Array) return sha256Hex(body);
  const sum = createHash("sha256");
  for (const piece of body) sum.update(piece);
  return sum.digest("hex");
}

export const sha256Hex = (data: Uint8Array | string): string => hash("sha256", data, "hex");

/** All headers to send: those given, and the date, the payload's hash, the session token and the signature. Names in lower case. */
export function signRequest(input: SignInput): Record<string, string> {
  const { credentials, payloadHash, query } = input;
  const time = timeText(input.now);
  const headers: Record<string, string> = {};
  for (const name in input.headers) headers[name.toLowerCase()] = input.headers[name] as string;
  if (headers["host"] === undefined) throw new SealiftError("INTERNAL", "a request without host cannot be signed");
  headers["x-amz-date"] = time;
  headers["x-amz-content-sha256"] = payloadHash;
  if (credentials.sessionToken !== undefined) headers["x-amz-security-token"] = credentials.sessionToken;
  const { names, list } = signedNames(headers);
  const path = input.doubleEncodePath ? normalizedPath(input.path) : input.path;
  let canonical = `${input.method}\n${path}\n${query === undefined ? "" : encodeQuery(query)}\n`;
  for (const name of names) canonical += `${name}:${canonicalValue(headers[name] as string)}\n`;
  canonical += `\n${list}\n${payloadHash}`;
  const { scope, inner, outer } = signerOf(input, time.slice(0, 8));
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256Hex(canonical)}`;
  const signature = hmacHex(inner, outer, toSign);
  headers["authorization"] =
    `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${list}, Signature=${signature}`;
  return headers;
}

let lastSecond = Number.NaN;
let lastTime = "";

/** `20260101T000000Z`: the same for all requests of a second. */
function timeText(now: Date): string {
  const second = Math.floor(now.getTime() / 1000);
  if (second !== lastSecond) {
    lastTime = now.toISOString().replaceAll(/[-:]|\.\d{3}/g, "");
    lastSecond = second;
  }
  return lastTime;
}

interface SignedNames {
  readonly names: readonly string[];
  readonly list: string;
}

const NAME_LISTS_KEPT_MAX = 256;
/** By the names as they stand in a request, of which a program sends few different lists. */
const nameLists = new Map<string, SignedNames>();

function signedNames(headers: Readonly<Record<string, string>>): SignedNames {
  const all = Object.keys(headers);
  const written = all.join(";");
  const kept = nameLists.get(written);
  if (kept !== undefined) return kept;
  const names = all.filter(isSigned).sort();
  const made = { names, list: names.join(";") };
  if (nameLists.size >= NAME_LISTS_KEPT_MAX) nameLists.clear();
  nameLists.set(written, made);
  return made;
}

/** RFC 3986 per UTF-8 byte, `/` kept and nothing folded: `a/../b` and `a//b` are names of their own. NAME_UNFIT without UTF-8 form. */
export function encodeKeyPath(key: string): string {
  if (/^[\w.~/-]*$/.test(key)) return key;
  return encodeText(key).replaceAll("%2F", "/");
}

/** Name by name in order, as the signature wants it: the same text is signed and sent. */
export function encodeQuery(query: Readonly<Record<string, string>>): string {
  let isEmpty = true;
  for (const _ in query) isEmpty = false;
  if (isEmpty) return "";
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

/** White space that the signature wants otherwise; most values have none. */
const UNEVEN = /[\t\r\n]| {2}|^ | $/;

const canonicalValue = (value: string): string =>
  UNEVEN.test(value)
    ? value
        .replaceAll(/[\r\n]/g, " ")
        .replaceAll(/[ \t]+/g, " ")
        .replaceAll(/^ | $/g, "")
    : value;

function normalizedPath(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(segment);
  }
  const end = segments.length > 0 && path.endsWith("/") ? "/" : "";
  return encodeText(`/${segments.join("/")}${end}`).replaceAll("%2F", "/");
}

interface Signer {
  readonly secret: string;
  readonly scope: string;
  /** The signing key as RFC 2104 pads it, for the inner hash and the outer one. */
  readonly inner: Buffer;
  readonly outer: Buffer;
}

const SIGNERS_KEPT_MAX = 64;
const signers = new Map<string, Signer>();

/** Four HMACs that change once a day. */
function signerOf({ credentials, region, service }: SignInput, day: string): Signer {
  const { accessKeyId, secretAccessKey: secret } = credentials;
  const name = `${accessKeyId}/${day}/${region}/${service}`;
  const kept = signers.get(name);
  if (kept?.secret === secret) return kept;
  if (signers.size >= SIGNERS_KEPT_MAX) signers.clear();
  const hmac = (key: string | Buffer, data: string) => createHmac("sha256", key).update(data).digest();
  const ofDay = hmac(`AWS4${secret}`, day);
  const key = hmac(hmac(hmac(ofDay, region), service), "aws4_request");
  const made = {
    secret,
    scope: `${day}/${region}/${service}/aws4_request`,
    inner: padded(key, 0x36),
    outer: padded(key, 0x5c),
  };
  signers.set(name, made);
  return made;
}

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;

/** A key of DIGEST_BYTES is shorter than a block. */
function padded(key: Buffer, pad: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES, pad);
  for (const [at, byte] of key.entries()) block[at] = byte ^ pad;
  return block;
}

/** RFC 2104 by two one-shot hashes, which cost a third of an Hmac object. */
function hmacHex(inner: Buffer, outer: Buffer, text: string): string {
  const message = Buffer.allocUnsafe(BLOCK_BYTES + Buffer.byteLength(text));
  inner.copy(message);
  message.write(text, BLOCK_BYTES);
  const second = Buffer.allocUnsafe(BLOCK_BYTES + DIGEST_BYTES);
  outer.copy(second);
  hash("sha256", message, "buffer").copy(second, BLOCK_BYTES);
  message.fill(0, 0, BLOCK_BYTES);
  const signature = hash("sha256", second, "hex");
  second.fill(0, 0, BLOCK_BYTES);
  return signature;
}
