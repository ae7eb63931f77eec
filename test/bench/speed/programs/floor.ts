/**
 * The floor under a rewrap: the same four requests by the project's own HTTP client and signature, and nothing else. No listing, no
 * queue, no ledger, no look at what came back but what the next request needs.
 */
import { readFileSync } from "node:fs";
import { HttpClient, type HttpRequest } from "../../../../src/wire/http.ts";
import { sha256Hex, signRequest, UNSIGNED_PAYLOAD } from "../../../../src/wire/sigv4.ts";
import { DESTINATION_KEY } from "../seed.ts";
import { asked, credentials, forEveryKey } from "./asked.ts";

const { signal } = new AbortController();
const ca = asked.caFile === undefined ? undefined : readFileSync(asked.caFile, "utf8");
const [source, destination, kms] = [asked.source, asked.destination, asked.kms].map(
  (origin) => new HttpClient({ origin, ca }),
) as [HttpClient, HttpClient, HttpClient];

interface Wanted extends Pick<HttpRequest, "method" | "path" | "body"> {
  readonly headers?: Record<string, string>;
  readonly service: string;
  readonly region: string;
  readonly payloadHash: string;
}

function send(client: HttpClient, { method, path, body, headers = {}, service, region, payloadHash }: Wanted) {
  const host = new URL(client.origin).host;
  const about = {
    method,
    path,
    headers: { ...headers, host },
    payloadHash,
    credentials,
    region,
    service,
    now: new Date(),
  };
  return client.send({ method, path, headers: signRequest(about), body, signal });
}

async function call(operation: string, region: string, input: object): Promise<Record<string, string>> {
  const body = Buffer.from(JSON.stringify(input));
  const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": `TrentService.${operation}` };
  const answer = await send(kms, {
    method: "POST",
    path: "/",
    body,
    headers,
    service: "kms",
    region,
    payloadHash: sha256Hex(body),
  });
  return JSON.parse(await answer.text()) as Record<string, string>;
}

await forEveryKey(async (key) => {
  const got = await send(source, {
    method: "GET",
    path: `/${asked.from}/${key}`,
    service: "s3",
    region: "us-east-1",
    payloadHash: UNSIGNED_PAYLOAD,
  });
  const body = await got.bytes();
  const headers: Record<string, string> = { "content-length": String(body.length), "if-none-match": "*" };
  for (const name in got.headers) if (name.startsWith("x-amz-meta-")) headers[name] = got.headers[name] as string;
  const EncryptionContext: unknown = JSON.parse(headers["x-amz-meta-x-amz-matdesc"] ?? "{}");
  const opened = await call("Decrypt", "us-east-1", {
    CiphertextBlob: headers["x-amz-meta-x-amz-key-v2"],
    EncryptionContext,
  });
  const { Plaintext } = opened;
  const wrapped = await call("Encrypt", "eu-west-1", { KeyId: DESTINATION_KEY, Plaintext, EncryptionContext });
  headers["x-amz-meta-x-amz-key-v2"] = wrapped["CiphertextBlob"] ?? "";
  const put = await send(destination, {
    method: "PUT",
    path: `/${asked.to}/${key}`,
    body,
    headers,
    service: "s3",
    region: "eu-west-1",
    payloadHash: UNSIGNED_PAYLOAD,
  });
  await put.dismiss();
  if (put.status !== 200) throw new Error(`PUT ${key}: ${put.status}`);
});
process.exit(0);
