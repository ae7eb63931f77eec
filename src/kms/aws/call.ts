/** One Region's AWS KMS: JSON 1.1 (`POST /`, `X-Amz-Target: TrentService.<Operation>`), signed by hand, never retried here. */
import { HttpClient, type HttpKind } from "../../wire/http.ts";
import { type AwsCredentials, sha256Hex, signRequest } from "../../wire/sigv4.ts";
import { ANSWER_BYTES_MAX, type Answer, parseAnswer } from "../answer.ts";
import { refusal, typeOf } from "./refusal.ts";

export interface RegionOptions {
  readonly region: string;
  readonly origin: string;
  readonly credentials: () => Promise<AwsCredentials>;
  readonly ca: string | undefined;
  readonly connections: number | undefined;
  readonly http: HttpKind | undefined;
  readonly now: () => Date;
}

export interface Call {
  readonly operation: string;
  readonly input: object;
  /** For messages. */
  readonly where: string;
  readonly secret?: string | undefined;
  readonly signal: AbortSignal;
}

export class AwsRegion {
  readonly region: string;
  readonly #options: RegionOptions;
  readonly #host: string;
  readonly #http: HttpClient;

  constructor(options: RegionOptions) {
    const { origin, ca, connections, http } = options;
    this.region = options.region;
    this.#options = options;
    this.#host = new URL(origin).host;
    this.#http = new HttpClient({ origin, ca, connections, http, timeoutMs: 30_000 });
  }

  /** The answer, or a classified error. A dry run that would have succeeded is a success and answers nothing. */
  async call({ operation, input, where, secret, signal }: Call): Promise<Answer> {
    signal.throwIfAborted();
    const credentials = await this.#options.credentials();
    // The text of the body, and with it the base64 of a data key, cannot be wiped in JavaScript; its bytes are.
    const body = Buffer.from(JSON.stringify(input));
    try {
      const headers = this.#sign(operation, body, credentials);
      const response = await this.#http.send({ method: "POST", path: "/", headers, body, signal });
      const answer = parseAnswer(await response.text(ANSWER_BYTES_MAX));
      if (response.status === 200 && answer) return answer;
      const failure = { status: response.status, headers: response.headers, answer, operation, where, secret };
      if (typeOf(failure) === "DryRunOperationException") return {};
      throw refusal(failure);
    } finally {
      body.fill(0);
    }
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  #sign(operation: string, body: Buffer, credentials: AwsCredentials): Readonly<Record<string, string>> {
    const headers = {
      host: this.#host,
      "content-type": "application/x-amz-json-1.1",
      "x-amz-target": `TrentService.${operation}`,
    };
    const { region, now } = this.#options;
    const about = { method: "POST", path: "/", headers, payloadHash: sha256Hex(body), region, service: "kms" };
    return signRequest({ ...about, credentials, now: now() });
  }
}
