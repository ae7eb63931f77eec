/**
 * Checks Signature Version 4 as Amazon S3 does ("Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference),
 * in the Authorization header and in the query. Written apart from the signer on purpose: shared code would agree with its own
 * mistakes.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { PocketRequest } from "../http.ts";
import { encodeUri } from "./address.ts";
import { S3Refusal } from "./refusal.ts";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Where given, requests must carry it. */
  readonly sessionToken?: string | undefined;
}

/** What a request's signature promises about its body. */
export interface Signed {
  /** Hex SHA-256, `UNSIGNED-PAYLOAD` or one of `STREAMING-...`. */
  readonly payload: string;
  readonly signature: string;
  readonly signingKey: Buffer;
  readonly scope: string;
  readonly time: string;
}

interface Claim {
  readonly accessKeyId: string;
  readonly day: string;
  readonly region: string;
  readonly signedHeaders: string;
  readonly signature: string;
  readonly time: string;
  readonly payload: string;
  /** Of presigned requests. */
  readonly expiresSeconds?: number | undefined;
}

const SKEW_MS_MAX = 15 * 60 * 1000;
const HEADER =
  /^AWS4-HMAC-SHA256 +Credential=([^/, ]+)\/(\d{8})\/([\w-]+)\/s3\/aws4_request, *SignedHeaders=([\w;.-]+), *Signature=([0-9a-f]{64})$/;
const CREDENTIAL = /^([^/]+)\/(\d{8})\/([\w-]+)\/s3\/aws4_request$/;

export class Gate {
  readonly #credentials: S3Credentials;
  readonly #region: string;
  readonly #nowMs: () => number;
  readonly #keys = new Map<string, Buffer>();

  constructor(credentials: S3Credentials, region: string, nowMs: () => number) {
    this.#credentials = credentials;
    this.#region = region;
    this.#nowMs = nowMs;
  }

  /** Throws the refusal S3 would answer. The body is checked later, against what is returned here. */
  admit(request: PocketRequest, canonicalPath: string): Signed {
    const claim = request.headers.authorization === undefined ? queryClaim(request) : headerClaim(request);
    this.#checkClaim(request, claim);
    const { day, region, time, payload, signature } = claim;
    const names = claim.signedHeaders.split(";");
    checkNames(request, names);
    const canonical =
      `${request.method}\n${canonicalPath}\n${canonicalQuery(request.query)}\n` +
      `${names.map((name) => `${name}:${headerText(request, name)}\n`).join("")}\n${claim.signedHeaders}\n${payload}`;
    const scope = `${day}/${region}/s3/aws4_request`;
    const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${createHash("sha256").update(canonical, "latin1").digest("hex")}`;
    const signingKey = this.#signingKey(day, region);
    if (timingSafeEqual(hmac(signingKey, toSign), Buffer.from(signature, "hex"))) {
      return { payload, signature, signingKey, scope, time };
    }
    throw new S3Refusal(
      "SignatureDoesNotMatch",
      "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
      { elements: { StringToSign: toSign, CanonicalRequest: canonical } },
    );
  }

  #checkClaim(request: PocketRequest, claim: Claim): void {
    const { accessKeyId, sessionToken } = this.#credentials;
    if (claim.accessKeyId !== accessKeyId) {
      throw new S3Refusal("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", {
        elements: { AWSAccessKeyId: claim.accessKeyId },
      });
    }
    const token = request.headers["x-amz-security-token"] ?? request.query.get("X-Amz-Security-Token") ?? undefined;
    if (token !== sessionToken)
      throw new S3Refusal("InvalidToken", "The provided token is malformed or otherwise invalid.");
    if (claim.region !== this.#region) {
      throw new S3Refusal(
        "AuthorizationHeaderMalformed",
        `The authorization header is malformed; the region '${claim.region}' is wrong; expecting '${this.#region}'`,
        { elements: { Region: this.#region }, headers: { "x-amz-bucket-region": this.#region } },
      );
    }
    this.#checkTime(claim);
  }

  #checkTime({ time, day, expiresSeconds }: Claim): void {
    const atMs = parseTime(time);
    if (!time.startsWith(day)) {
      throw new S3Refusal(
        "SignatureDoesNotMatch",
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP",
      );
    }
    const nowMs = this.#nowMs();
    const ageMs = nowMs - atMs;
    if (expiresSeconds !== undefined) {
      if (ageMs > expiresSeconds * 1000) throw new S3Refusal("AccessDenied", "Request has expired");
      if (ageMs < -SKEW_MS_MAX) throw new S3Refusal("AccessDenied", "Request is not yet valid");
    } else if (Math.abs(ageMs) > SKEW_MS_MAX) {
      throw new S3Refusal(
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        {
          elements: {
            RequestTime: time,
            ServerTime: new Date(nowMs).toISOString(),
            MaxAllowedSkewMilliseconds: "900000",
          },
        },
      );
    }
  }

  #signingKey(day: string, region: string): Buffer {
    const name = `${day}/${region}`;
    const known = this.#keys.get(name);
    if (known) return known;
    let key = hmac(`AWS4${this.#credentials.secretAccessKey}`, day);
    for (const part of [region, "s3", "aws4_request"]) key = hmac(key, part);
    this.#keys.set(name, key);
    return key;
  }
}

function headerClaim(request: PocketRequest): Claim {
  const parts = HEADER.exec(request.headers.authorization ?? "");
  if (!parts) {
    throw new S3Refusal("AuthorizationHeaderMalformed", "The authorization header that you provided is not valid.");
  }
  const [, accessKeyId = "", day = "", region = "", signedHeaders = "", signature = ""] = parts;
  const payload = request.headers["x-amz-content-sha256"];
  if (typeof payload !== "string") {
    throw new S3Refusal("InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
  }
  const time = request.headers["x-amz-date"] ?? basicTime(request.headers.date);
  if (typeof time !== "string") {
    throw new S3Refusal("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
  }
  return { accessKeyId, day, region, signedHeaders, signature, time, payload };
}

function queryClaim({ query, headers }: PocketRequest): Claim {
  const signature = query.get("X-Amz-Signature");
  if (signature === null) throw new S3Refusal("AccessDenied", "Access Denied");
  const [, accessKeyId = "", day = "", region = ""] = CREDENTIAL.exec(query.get("X-Amz-Credential") ?? "") ?? [];
  const [time, signedHeaders] = [query.get("X-Amz-Date") ?? "", query.get("X-Amz-SignedHeaders") ?? ""];
  const expiresSeconds = Number(query.get("X-Amz-Expires") ?? Number.NaN);
  if (!accessKeyId || !signedHeaders || !/^[0-9a-f]{64}$/.test(signature) || !(expiresSeconds <= 604_800)) {
    throw new S3Refusal("AuthorizationQueryParametersError", "Query-string authentication version 4 is incomplete.");
  }
  const payload = query.get("X-Amz-Content-Sha256") ?? headers["x-amz-content-sha256"] ?? "UNSIGNED-PAYLOAD";
  return { accessKeyId, day, region, signedHeaders, signature, time, expiresSeconds, payload: String(payload) };
}

/** `host` and every `x-amz-*` header of the request must be covered. */
function checkNames(request: PocketRequest, names: readonly string[]): void {
  const missing: string[] = [];
  if (!names.includes("host")) missing.push("host");
  for (const name in request.headers) {
    // The body's hash is the last line of what is signed, so that it is covered in any case.
    if (name.startsWith("x-amz-") && name !== "x-amz-content-sha256" && !names.includes(name)) missing.push(name);
  }
  if (missing.length === 0) return;
  throw new S3Refusal("AccessDenied", "There were headers present in the request which were not signed", {
    elements: { HeadersNotSigned: missing.join(", ") },
  });
}

function canonicalQuery(query: URLSearchParams): string {
  if (query.size === 0) return "";
  const pairs: [string, string][] = [];
  for (const [name, value] of query) {
    if (name !== "X-Amz-Signature") pairs.push([encodeUri(name), encodeUri(value)]);
  }
  pairs.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0));
  return pairs.map(([name, value]) => `${name}=${value}`).join("&");
}

function headerText(request: PocketRequest, name: string): string {
  const value = request.headers[name] ?? "";
  const text = (Array.isArray(value) ? value.join(",") : value).trim();
  return text.includes("  ") ? text.replace(/ +/g, " ") : text;
}

function parseTime(time: string): number {
  const [, y, m, d, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time) ?? [];
  if (y === undefined)
    throw new S3Refusal("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
  return Date.UTC(Number(y), Number(m) - 1, Number(d), Number(hour), Number(minute), Number(second));
}

/** An HTTP date as `YYYYMMDDTHHMMSSZ`. */
function basicTime(date: string | undefined): string | undefined {
  const ms = Date.parse(date ?? "");
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString().replace(/[-:]|\.\d{3}/g, "");
}

export const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();
