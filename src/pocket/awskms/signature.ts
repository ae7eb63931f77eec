/**
 * Checks Signature Version 4 (AWS IAM User Guide, "Create a signed AWS API request") as the far side does. Written apart from the
 * signer on purpose: one that shared its code would agree with its mistakes.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { PocketRequest } from "../http.ts";
import { AwsRefusal } from "./refusal.ts";

export interface PocketCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

const SHAPE =
  /^AWS4-HMAC-SHA256 +Credential=([^/, ]+)\/(\d{8})\/([\w-]+)\/([\w-]+)\/aws4_request, *SignedHeaders=([\w;-]+), *Signature=([0-9a-f]{64})$/;

/** Who signed the request, and for which Region. */
export function verifySignature(
  request: PocketRequest,
  body: Buffer,
  callers: readonly PocketCredentials[],
): { readonly region: string; readonly caller: string } {
  const authorization = request.headers.authorization;
  if (authorization === undefined) throw new AwsRefusal("MissingAuthenticationTokenException", "Missing token");
  const parts = SHAPE.exec(authorization);
  if (!parts) throw new AwsRefusal("IncompleteSignatureException", "the Authorization header cannot be read");
  const [, accessKeyId, day = "", region = "", service, signedHeaders = "", signature = ""] = parts;
  const credentials = callers.find((caller) => caller.accessKeyId === accessKeyId);
  if (!credentials) {
    throw new AwsRefusal("UnrecognizedClientException", "The security token included in the request is invalid.");
  }
  const time = request.headers["x-amz-date"];
  if (typeof time !== "string" || !time.startsWith(day) || service !== "kms") throw mismatch();
  const names = signedHeaders.split(";");
  if (!names.includes("host") || !names.includes("x-amz-date")) throw mismatch();
  const canonical = [
    request.method,
    request.path,
    [...request.query]
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .sort()
      .join("&"),
    ...names.map((name) => `${name}:${headerText(request, name)}`),
    "",
    signedHeaders,
    sha256(body),
  ].join("\n");
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`;
  const key = [day, region, service, "aws4_request"].reduce<Buffer | string>(
    hmac,
    `AWS4${credentials.secretAccessKey}`,
  );
  if (!timingSafeEqual(hmac(key, toSign), Buffer.from(signature, "hex"))) throw mismatch();
  return { region, caller: credentials.accessKeyId };
}

function headerText(request: PocketRequest, name: string): string {
  const value = request.headers[name];
  return (Array.isArray(value) ? value.join(",") : (value ?? "")).trim().replaceAll(/ +/g, " ");
}

const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();
const mismatch = (): AwsRefusal =>
  new AwsRefusal(
    "InvalidSignatureException",
    "The request signature we calculated does not match the signature you provided.",
  );
