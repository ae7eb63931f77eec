/** The REST door: JSON with standard base64 and decimal text for int64, default values left out as proto3 JSON does. */
import type { ServerResponse } from "node:http";
import { gunzipSync } from "node:zlib";
import { type PocketRequest, readBody } from "../http.ts";
import type { Quota } from "../quota.ts";
import type { KeyRing } from "./keys.ts";
import { cryptoKey, decrypt, encrypt } from "./operations.ts";
import { CODES, exhausted, GcpRefusal, invalid } from "./refusal.ts";

type Json = Readonly<Record<string, unknown>>;
const UNPACKED_BYTES_MAX = 256 * 1024;
const PATH = /^\/v1\/(projects\/.+?)(?::(encrypt|decrypt))?$/;

export async function answerRest(
  ring: KeyRing,
  quota: Quota,
  request: PocketRequest,
  response: ServerResponse,
  count: (label: string) => void,
): Promise<void> {
  const enumsAsNumbers = [...request.query.values()].some((value) => value.includes("enum-encoding=int"));
  try {
    const body = await operate(ring, quota, request, count);
    send(response, 200, enumsAsNumbers ? numbered(body) : body);
  } catch (error) {
    if (!(error instanceof GcpRefusal)) throw error;
    const { http } = CODES[error.status];
    send(response, http, { error: { code: http, message: error.message, status: error.status } });
  }
}

async function operate(
  ring: KeyRing,
  quota: Quota,
  request: PocketRequest,
  count: (label: string) => void,
): Promise<Json> {
  const [, name = "", verb] = PATH.exec(decodeURIComponent(request.path)) ?? [];
  const body = unpacked(await readBody(request.incoming), request.headers["content-encoding"]);
  if (request.method === "GET" && name !== "" && verb === undefined) {
    count("GetCryptoKey");
    return cryptoKey(ring, name);
  }
  if (request.method !== "POST" || verb === undefined) throw new GcpRefusal("NOT_FOUND", "Not found.");
  if (!quota.take(callerOf(request.headers.authorization))) throw exhausted();
  const input = parse(body);
  const additional = bytes(input, "additionalAuthenticatedData");
  const additionalCrc32c = int64(input, "additionalAuthenticatedDataCrc32c");
  if (verb === "encrypt") {
    count("Encrypt");
    const given = { plaintext: bytes(input, "plaintext"), plaintextCrc32c: int64(input, "plaintextCrc32c") };
    return written(encrypt(ring, { name, additional, additionalCrc32c, ...given }));
  }
  count("Decrypt");
  const given = { ciphertext: bytes(input, "ciphertext"), ciphertextCrc32c: int64(input, "ciphertextCrc32c") };
  return written(decrypt(ring, { name, additional, additionalCrc32c, ...given }));
}

function written(answer: Json): Json {
  const entries = Object.entries(answer).filter(([, value]) => value !== false);
  return Object.fromEntries(
    entries.map(([name, value]) => {
      if (Buffer.isBuffer(value)) return [name, value.toString("base64")];
      return [name, typeof value === "number" ? String(value) : value];
    }),
  );
}

/** Tokens are not checked here; whoever sends none is `anonymous`. */
export const callerOf = (authorization: unknown): string =>
  typeof authorization === "string" ? authorization.replace(/^Bearer /, "") : "anonymous";

const ENUMS: Readonly<Record<string, number>> = {
  SOFTWARE: 1,
  ENABLED: 1,
  DISABLED: 2,
  ENCRYPT_DECRYPT: 1,
  GOOGLE_SYMMETRIC_ENCRYPTION: 1,
};

const numbered = (json: Json): Json =>
  Object.fromEntries(
    Object.entries(json).map(([name, value]) => {
      if (typeof value === "object" && value !== null) return [name, numbered(value as Json)];
      return [name, typeof value === "string" ? (ENUMS[value] ?? value) : value];
    }),
  );

/** As Google takes them: its clients for Java compress what they send. */
function unpacked(body: Buffer, encoding: string | undefined): Buffer {
  if (encoding !== "gzip") return body;
  try {
    return gunzipSync(body, { maxOutputLength: UNPACKED_BYTES_MAX });
  } catch {
    throw invalid("Invalid gzip payload received.");
  }
}

function parse(body: Buffer): Json {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Json;
  } catch {
    // Falls through: not JSON and not an object are the same refusal.
  }
  throw invalid("Invalid JSON payload received.");
}

function bytes(input: Json, name: string): Buffer {
  const value = input[name] ?? "";
  if (typeof value === "string" && /^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) return Buffer.from(value, "base64");
  throw invalid(`Invalid value at '${name}' (TYPE_BYTES), Base64 decoding failed`);
}

function int64(input: Json, name: string): number | undefined {
  const value = input[name];
  if (value === undefined || value === null) return undefined;
  if ((typeof value === "string" && /^\d{1,10}$/.test(value)) || typeof value === "number") return Number(value);
  throw invalid(`Invalid value at '${name}' (TYPE_INT64)`);
}

function send(response: ServerResponse, status: number, body: Json): void {
  response.writeHead(status, { "content-type": "application/json; charset=UTF-8" }).end(JSON.stringify(body));
}
