/** What a caller gets: the head, and the body as it comes. */
import type { ByteStream } from "../../core/object.ts";
import type { HttpResponse } from "../http.ts";
import { TEXT_BYTES_MAX } from "../sendable.ts";
import type { Body } from "./body.ts";
import type { AnswerHead } from "./head.ts";

export class Answer implements HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly #body: Body;

  constructor({ status, headers }: AnswerHead, body: Body) {
    this.status = status;
    this.headers = headers;
    this.#body = body;
  }

  get body(): ByteStream {
    return this.#body;
  }

  bytes(bytesMax = TEXT_BYTES_MAX): Promise<Buffer> {
    return this.#body.collect(bytesMax);
  }

  async text(bytesMax = TEXT_BYTES_MAX): Promise<string> {
    return (await this.#body.collect(bytesMax)).toString("utf8");
  }

  dismiss(): Promise<void> {
    return this.#body.dismiss();
  }
}
