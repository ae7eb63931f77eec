/**
 * One bucket, reached: the SDK is asked once for its Region, endpoint rules and credentials, and after that requests are signed
 * and sent by hand (a hand-made request costs a fifth of the SDK's CPU time).
 */
import { S3Client } from "@aws-sdk/client-s3";
import { SealiftError } from "../../core/error.ts";
import { checkEndpoint, isLoopbackOrigin } from "../../wire/endpoint.ts";
import { type HttpBody, HttpClient, type HttpKind, type HttpResponse } from "../../wire/http.ts";
import { bodyLength } from "../../wire/sendable.ts";
import type { AwsCredentials } from "../../wire/sigv4.ts";
import { bodySha256, encodeKeyPath, encodeQuery, signRequest, UNSIGNED_PAYLOAD } from "../../wire/sigv4.ts";
import { readRefusal, type Refusal, refusalError } from "./refusal.ts";

export interface ConnectionOptions {
  readonly bucket: string;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly profile?: string | undefined;
  readonly credentials?: AwsCredentials | undefined;
  readonly pathStyle?: boolean | undefined;
  readonly ca?: string | undefined;
  readonly requesterPays?: boolean | undefined;
  /** Over plain http, bodies are proven by their CRC32C alone, which the signature holds. */
  readonly unsignedPayload?: boolean | undefined;
  readonly allowInsecureEndpoint?: boolean | undefined;
  readonly connections?: number | undefined;
  readonly http?: HttpKind | undefined;
  readonly now?: (() => Date) | undefined;
}

export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Absent: the bucket itself. */
  readonly key?: string | undefined;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: HttpBody | undefined;
  readonly signal: AbortSignal;
}

interface Door {
  readonly origin: string;
  /** `/bucket` or "". */
  readonly basePath: string;
  readonly region: string;
  readonly service: string;
}

export async function connect(options: ConnectionOptions): Promise<Connection> {
  const { region, endpoint, profile, credentials } = options;
  if (endpoint !== undefined) checkEndpoint(endpoint, { allowInsecure: options.allowInsecureEndpoint });
  const sdk = new S3Client({
    maxAttempts: 1,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(profile === undefined ? {} : { profile }),
    ...(credentials === undefined ? {} : { credentials: withoutAbsent(credentials) }),
  });
  const connection = new Connection(options, await findDoor(sdk, options), sdk);
  try {
    await connection.credentials();
    return connection;
  } catch (error) {
    await connection.close();
    throw error;
  }
}

const withoutAbsent = ({ accessKeyId, secretAccessKey, sessionToken }: AwsCredentials) => ({
  accessKeyId,
  secretAccessKey,
  ...(sessionToken === undefined ? {} : { sessionToken }),
});

async function findDoor(sdk: S3Client, options: ConnectionOptions): Promise<Door> {
  const { config } = sdk;
  const endpoint = options.endpoint ?? (await configuredEndpoint(sdk));
  const { bucket, pathStyle } = options;
  const Region = await config.region().catch((error: unknown) => {
    // Servers of one's own seldom care; AWS does.
    if (endpoint !== undefined) return "us-east-1";
    throw new SealiftError("JOB_INVALID", `s3://${bucket}: no Region is configured (set region)`, { cause: error });
  });
  const ForcePathStyle = pathStyle ?? (endpoint !== undefined && isLoopbackOrigin(endpoint));
  const found = resolved(sdk, {
    Bucket: bucket,
    Region,
    ForcePathStyle,
    UseFIPS: await config.useFipsEndpoint(),
    UseDualStack: await config.useDualstackEndpoint(),
    ...(endpoint === undefined ? {} : { Endpoint: endpoint }),
  });
  const scheme: unknown = found.properties?.["authSchemes"];
  const { name, signingName, signingRegion } = (Array.isArray(scheme) ? scheme[0] : {}) as Record<string, unknown>;
  if (name !== "sigv4" || typeof signingName !== "string" || typeof signingRegion !== "string") {
    // Directory buckets list in no order, and multi-Region access points sign otherwise: neither can be migrated reliably.
    throw new SealiftError(
      "JOB_INVALID",
      `s3://${bucket}: directory buckets and multi-Region access points are not supported`,
    );
  }
  const origin = checkEndpoint(found.url.origin, { allowInsecure: options.allowInsecureEndpoint });
  return { origin, basePath: found.url.pathname.replace(/\/$/, ""), region: signingRegion, service: signingName };
}

type EndpointQuestion = Parameters<S3Client["config"]["endpointProvider"]>[0];

function resolved(sdk: S3Client, question: EndpointQuestion) {
  try {
    return sdk.config.endpointProvider(question);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SealiftError("JOB_INVALID", `s3://${question.Bucket}: ${why}`, { cause: error });
  }
}

/** AWS_ENDPOINT_URL_S3, or the profile's; it has not been checked by us yet. */
async function configuredEndpoint(sdk: S3Client): Promise<string | undefined> {
  const { config } = sdk;
  const ask: unknown = "serviceConfiguredEndpoint" in config ? config.serviceConfiguredEndpoint : undefined;
  const found: unknown = typeof ask === "function" ? await ask() : undefined;
  return typeof found === "string" && found !== "" ? found : undefined;
}

export class Connection {
  readonly name: string;
  readonly #door: Door;
  readonly #host: string;
  /** TLS protects bodies from change; without it their signature does, also on this machine, where a tunnel may begin. */
  readonly #signsBodies: boolean;
  readonly #http: HttpClient;
  readonly #sdk: S3Client;
  readonly #now: () => Date;
  readonly #extra: Readonly<Record<string, string>>;
  #stale = false;

  constructor(options: ConnectionOptions, door: Door, sdk: S3Client) {
    this.name = `s3://${options.bucket} at ${door.origin}`;
    this.#door = door;
    this.#host = new URL(door.origin).host;
    this.#signsBodies = !door.origin.startsWith("https:") && options.unsignedPayload !== true;
    this.#http = new HttpClient({
      origin: door.origin,
      ca: options.ca,
      connections: options.connections,
      http: options.http,
    });
    this.#sdk = sdk;
    this.#now = options.now ?? (() => new Date());
    this.#extra = options.requesterPays ? { "x-amz-request-payer": "requester" } : {};
  }

  nowMs(): number {
    return this.#now().getTime();
  }

  /** Whatever the answer is; only a connection that fails is an error. */
  async send(request: S3Request): Promise<HttpResponse> {
    request.signal.throwIfAborted();
    const { method, body, signal } = request;
    const { basePath, region, service } = this.#door;
    const path = request.key === undefined ? basePath || "/" : `${basePath}/${keyPath(request.key)}`;
    const query = request.query ?? {};
    const headers: Record<string, string> = { ...request.headers, ...this.#extra, host: this.#host };
    if (method === "PUT" || method === "POST") headers["content-length"] = String(bodyLength(body));
    const payloadHash = this.#signsBodies ? bodySha256(body ?? "") : UNSIGNED_PAYLOAD;
    const credentials = await this.credentials();
    const signed = { method, path, query, headers, payloadHash, credentials, region, service, now: this.#now() };
    const encoded = encodeQuery(query);
    return this.#http.send({
      method,
      path: encoded === "" ? path : `${path}?${encoded}`,
      headers: signRequest(signed),
      body,
      signal,
    });
  }

  /** What the answer means, its body read to the end. Credentials that have expired are fetched anew for the next request. */
  async refusal(response: HttpResponse): Promise<Refusal> {
    const refusal = await readRefusal(response, this.nowMs());
    this.#stale ||= refusal.code.startsWith("ExpiredToken");
    return refusal;
  }

  error(refusal: Refusal, method: string, key?: string): SealiftError {
    return refusalError(refusal, `${this.name}: ${method}`, key);
  }

  /** Kept by the SDK, which renews them some minutes before they expire. */
  async credentials(): Promise<AwsCredentials> {
    const forceRefresh = this.#stale;
    this.#stale = false;
    try {
      return await this.#sdk.config.credentials({ forceRefresh });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const code = /expired/i.test(message) ? "CREDENTIALS_EXPIRED" : "PREFLIGHT_ACCESS";
      throw new SealiftError(code, `${this.name}: no credentials (${message})`, { cause: error });
    }
  }

  async close(): Promise<void> {
    this.#sdk.destroy();
    await this.#http.close();
  }
}

/** Without a key the same request would be about the bucket: a DELETE of nothing would delete it. */
function keyPath(key: string): string {
  if (key === "") throw new SealiftError("NAME_UNFIT", "the name is empty", { object: key });
  try {
    return encodeKeyPath(key);
  } catch (error) {
    throw error instanceof SealiftError ? error.about(key) : error;
  }
}
