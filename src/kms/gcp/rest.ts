/** Google Cloud KMS by REST: one POST per key, JSON with standard base64, CRC32C as decimal text (proto3 JSON mapping). */
import { crc32c } from "../../core/crc32c.ts";
import type { SealiftError } from "../../core/error.ts";
import type { GoogleTokens } from "../../wire/google.ts";
import { HttpClient, type HttpKind, type HttpResponse } from "../../wire/http.ts";
import { ANSWER_BYTES_MAX, type Answer, bytesField, parseAnswer, retryAfterMs, textField } from "../answer.ts";
import { CANONICAL, type Failure, refusal } from "./refusal.ts";
import { crcOf, type Decrypted, type Described, type Encrypted, type GcpTransport } from "./transport.ts";

export interface RestOptions {
  readonly origin: string;
  readonly tokens: GoogleTokens;
  readonly ca?: string | undefined;
  readonly connections?: number | undefined;
  readonly http?: HttpKind | undefined;
}

type Operation = Failure["operation"];

export class RestTransport implements GcpTransport {
  readonly #http: HttpClient;
  readonly #tokens: GoogleTokens;

  constructor(options: RestOptions) {
    const { origin, ca, connections, http, tokens } = options;
    this.#http = new HttpClient({ origin, ca, connections, http, timeoutMs: 30_000 });
    this.#tokens = tokens;
  }

  async encrypt(name: string, plaintext: Uint8Array, additional: Uint8Array, signal: AbortSignal): Promise<Encrypted> {
    const secret = base64(plaintext);
    const input = {
      plaintext: secret,
      plaintextCrc32c: String(crc32c(plaintext)),
      additionalAuthenticatedData: base64(additional),
      additionalAuthenticatedDataCrc32c: String(crc32c(additional)),
    };
    const answer = await this.#post("encrypt", name, input, signal, secret);
    const where = `Google KMS encrypt under gcp-kms://${name}`;
    return {
      version: textField(answer, "name", where),
      ciphertext: bytesField(answer, "ciphertext", where),
      ciphertextCrc32c: crcOf(answer["ciphertextCrc32c"]),
      // False is left out in proto3 JSON: only a stated true is true.
      plaintextVerified: answer["verifiedPlaintextCrc32c"] === true,
      additionalVerified: answer["verifiedAdditionalAuthenticatedDataCrc32c"] === true,
    };
  }

  async decrypt(name: string, ciphertext: Uint8Array, additional: Uint8Array, signal: AbortSignal): Promise<Decrypted> {
    const input = {
      ciphertext: base64(ciphertext),
      ciphertextCrc32c: String(crc32c(ciphertext)),
      additionalAuthenticatedData: base64(additional),
      additionalAuthenticatedDataCrc32c: String(crc32c(additional)),
    };
    const answer = await this.#post("decrypt", name, input, signal);
    const plaintext = bytesField(answer, "plaintext", `Google KMS decrypt under gcp-kms://${name}`);
    return { plaintext, plaintextCrc32c: crcOf(answer["plaintextCrc32c"]) };
  }

  async describe(name: string, signal: AbortSignal): Promise<Described> {
    const headers = await this.#tokens.headers(signal);
    const response = await this.#http.send({ method: "GET", path: `/v1/${name}`, headers, signal });
    const { purpose, primary } = await judged(response, "describe", name);
    const state = (primary as Answer | undefined)?.["state"];
    return {
      purpose: typeof purpose === "string" ? purpose : "",
      primaryState: typeof state === "string" ? state : "",
    };
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  async #post(
    operation: Operation,
    name: string,
    input: object,
    signal: AbortSignal,
    secret?: string,
  ): Promise<Answer> {
    const tokens = await this.#tokens.headers(signal);
    signal.throwIfAborted();
    const headers = { ...tokens, "content-type": "application/json" };
    // The text of the body, and with it the base64 of a data key, cannot be wiped in JavaScript; its bytes are.
    const body = Buffer.from(JSON.stringify(input));
    try {
      const path = `/v1/${name}:${operation}`;
      return await judged(
        await this.#http.send({ method: "POST", path, headers, body, signal }),
        operation,
        name,
        secret,
      );
    } finally {
      body.fill(0);
    }
  }
}

async function judged(response: HttpResponse, operation: Operation, name: string, secret?: string): Promise<Answer> {
  const answer = parseAnswer(await response.text(ANSWER_BYTES_MAX));
  if (response.status === 200 && answer) return answer;
  throw failed(response, answer, { operation, name, secret });
}

function failed(
  response: HttpResponse,
  answer: Answer | undefined,
  about: Pick<Failure, "operation" | "name" | "secret">,
): SealiftError {
  const error = (answer?.["error"] ?? {}) as Answer;
  const stated = error["status"];
  const status = CANONICAL.find((name) => name === stated);
  const httpStatus = response.status;
  const after = retryAfterMs(response.headers["retry-after"]);
  return refusal({ ...about, status, httpStatus, message: error["message"], retryAfterMs: after });
}

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
