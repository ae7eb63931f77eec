/**
 * Google Cloud KMS by gRPC, on the stub of Google's own client. The stub and not the client's methods: those retry by themselves,
 * cannot be stopped, and write the whole request, data key included, to a log that one environment variable turns on
 * (GOOGLE_SDK_NODE_LOGGING).
 */
import { type ClientUnaryCall, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { crc32c } from "../../core/crc32c.ts";
import type { GoogleTokens } from "../../wire/google.ts";
import { ANSWER_BYTES_MAX } from "../answer.ts";
import { CANONICAL, type Failure, refusal } from "./refusal.ts";
import { crcOf, type Decrypted, type Described, type Encrypted, type GcpTransport } from "./transport.ts";

export interface GrpcOptions {
  readonly host: string;
  readonly port: number;
  /** Without TLS: then no token is sent either. */
  readonly insecure: boolean;
  readonly tokens: GoogleTokens;
  readonly ca?: string | undefined;
}

const TIMEOUT_MS = 30_000;

/** As the client's loader gives messages: int64 and enum values as text, bytes as Buffer. */
interface WireAnswer {
  readonly name?: string;
  readonly ciphertext?: Buffer;
  readonly ciphertextCrc32c?: { readonly value: unknown } | null;
  readonly verifiedPlaintextCrc32c?: boolean;
  readonly verifiedAdditionalAuthenticatedDataCrc32c?: boolean;
  readonly plaintext?: Buffer;
  readonly plaintextCrc32c?: { readonly value: unknown } | null;
  readonly purpose?: string;
  readonly primary?: { readonly state?: string } | null;
}

type Method = (
  request: object,
  metadata: Metadata,
  options: { readonly deadline: number },
  done: (error: ServiceError | null, answer?: WireAnswer) => void,
) => ClientUnaryCall;

interface Connection {
  readonly stub: Readonly<Record<string, Method>>;
  close(): Promise<void>;
}

export class GrpcTransport implements GcpTransport {
  readonly #options: GrpcOptions;
  #connection: Promise<Connection> | undefined;

  constructor(options: GrpcOptions) {
    this.#options = options;
  }

  async encrypt(name: string, plaintext: Uint8Array, additional: Uint8Array, signal: AbortSignal): Promise<Encrypted> {
    const request = { name, plaintext, plaintextCrc32c: { value: crc32c(plaintext) }, ...bound(additional) };
    const answer = await this.#call("encrypt", request, signal);
    return {
      version: answer.name ?? "",
      ciphertext: answer.ciphertext ?? Buffer.alloc(0),
      ciphertextCrc32c: crcOf(answer.ciphertextCrc32c?.value),
      plaintextVerified: answer.verifiedPlaintextCrc32c === true,
      additionalVerified: answer.verifiedAdditionalAuthenticatedDataCrc32c === true,
    };
  }

  async decrypt(name: string, ciphertext: Uint8Array, additional: Uint8Array, signal: AbortSignal): Promise<Decrypted> {
    const request = { name, ciphertext, ciphertextCrc32c: { value: crc32c(ciphertext) }, ...bound(additional) };
    const answer = await this.#call("decrypt", request, signal);
    return { plaintext: answer.plaintext ?? Buffer.alloc(0), plaintextCrc32c: crcOf(answer.plaintextCrc32c?.value) };
  }

  async describe(name: string, signal: AbortSignal): Promise<Described> {
    const { purpose, primary } = await this.#call("describe", { name }, signal);
    return { purpose: purpose ?? "", primaryState: primary?.state ?? "" };
  }

  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => undefined);
    this.#connection = undefined;
    await connection?.close();
  }

  #connect(): Promise<Connection> {
    if (this.#connection) return this.#connection;
    const connection = connect(this.#options);
    this.#connection = connection;
    // A failure is not kept: the next call tries afresh.
    connection.catch(() => {
      if (this.#connection === connection) this.#connection = undefined;
    });
    return connection;
  }

  /** Tokens are fetched here and not by the channel, so that their errors keep their names and an abort reaches them. */
  async #metadata(name: string, signal: AbortSignal): Promise<Metadata> {
    const { insecure, tokens } = this.#options;
    const metadata = new Metadata();
    // Routing header of Google's APIs (AIP-4222).
    metadata.set("x-goog-request-params", `name=${encodeURIComponent(name)}`);
    if (insecure) return metadata;
    for (const [header, value] of Object.entries(await tokens.headers(signal))) metadata.set(header, value);
    return metadata;
  }

  async #call(operation: Failure["operation"], request: Named, signal: AbortSignal): Promise<WireAnswer> {
    signal.throwIfAborted();
    const { stub } = await this.#connect();
    const method = stub[METHODS[operation]] as Method;
    const metadata = await this.#metadata(request.name, signal);
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const call = method.call(stub, request, metadata, { deadline: Date.now() + TIMEOUT_MS }, (error, answer) => {
        signal.removeEventListener("abort", stop);
        if (answer && !error) resolve(answer);
        else reject(signal.aborted ? signal.reason : classified(error, operation, request));
      });
      const stop = () => call.cancel();
      signal.addEventListener("abort", stop, { once: true });
    });
  }
}

interface Named {
  readonly name: string;
  readonly plaintext?: Uint8Array;
}

const METHODS = { encrypt: "encrypt", decrypt: "decrypt", describe: "getCryptoKey" } as const;

const bound = (additional: Uint8Array) => ({
  additionalAuthenticatedData: additional,
  additionalAuthenticatedDataCrc32c: { value: crc32c(additional) },
});

function classified(error: ServiceError | null, operation: Failure["operation"], request: Named): Error {
  const secret = request.plaintext && Buffer.from(request.plaintext).toString("base64");
  return refusal({
    status: CANONICAL[error?.code ?? 2] ?? "UNKNOWN",
    message: error?.details,
    operation,
    name: request.name,
    secret,
  });
}

async function connect(options: GrpcOptions): Promise<Connection> {
  const { host, port, insecure, ca } = options;
  // Loaded when first needed: it takes a quarter of a second and 60 MB that the REST transport does without.
  const { KeyManagementServiceClient } = await import("@google-cloud/kms");
  const client = new KeyManagementServiceClient({
    apiEndpoint: host,
    port,
    sslCreds: insecure
      ? credentials.createInsecure()
      : credentials.createSsl(ca === undefined ? null : Buffer.from(ca)),
    // The client's own limit is none.
    "grpc.max_receive_message_length": ANSWER_BYTES_MAX,
    // Said here so that the client does not go and ask a metadata server for it.
    clientOptions: { universeDomain: "googleapis.com" },
  });
  const stub = (await client.initialize()) as Readonly<Record<string, Method>>;
  return { stub, close: () => client.close() };
}
