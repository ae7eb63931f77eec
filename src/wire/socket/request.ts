/** A request on its way: its head as one text, who waits for its answer, and who may call it off. */
import { onAbort } from "../../core/abort.ts";
import type { HttpBody, HttpRequest, HttpResponse } from "../http.ts";
import { bodyLength, checkSendable, unsendable } from "../sendable.ts";

/** What an aborted signal is told to. */
export interface Carrier {
  abort(exchange: Exchange, reason: unknown): void;
}

/** RFC 9110, 8.6: these say how long their body is, though it is empty. */
const WITH_BODY = new Set(["PUT", "POST", "PATCH"]);

export class Exchange {
  readonly method: string;
  /** One character a byte, with the empty line. */
  readonly head: string;
  readonly body: HttpBody | undefined;
  readonly bodyBytes: number;
  readonly resolve: (response: HttpResponse) => void;
  /** It changes nothing over there, and may be asked again (RFC 9110, 9.2.1). */
  readonly isSafe: boolean;
  /** Asked for the second time. */
  isRepeated = false;
  readonly #reject: (error: unknown) => void;
  readonly #signal: AbortSignal;
  #carrier: Carrier | undefined;
  #leave: (() => void) | undefined;

  constructor(
    request: HttpRequest,
    to: { readonly origin: string; readonly host: string },
    settle: { readonly resolve: (response: HttpResponse) => void; readonly reject: (error: unknown) => void },
  ) {
    checkSendable(request, to.origin);
    const { method, body, signal } = request;
    this.method = method;
    this.body = body;
    this.bodyBytes = bodyLength(body);
    this.isSafe = (method === "GET" || method === "HEAD") && this.bodyBytes === 0;
    this.head = headText(request, to, this.bodyBytes);
    this.resolve = settle.resolve;
    this.#reject = settle.reject;
    this.#signal = signal;
  }

  /** From now on an abort is told to `carrier`. */
  watch(carrier: Carrier): void {
    this.#leave ??= onAbort(this.#signal, () => {
      const told = this.#carrier;
      this.unwatch();
      told?.abort(this, this.#signal.reason);
    });
    this.#carrier = carrier;
  }

  unwatch(): void {
    this.#leave?.();
    this.#leave = undefined;
    this.#carrier = undefined;
  }

  reject(error: unknown): void {
    this.unwatch();
    this.#reject(error);
  }
}

function headText(
  { method, path, headers, body }: HttpRequest,
  { origin, host }: { readonly origin: string; readonly host: string },
  bodyBytes: number,
): string {
  let lines = "";
  let [hasHost, hasLength] = [false, false];
  for (const name in headers) {
    const value = headers[name] as string;
    lines += `${name}: ${value}\r\n`;
    if (name.length === 4) hasHost ||= name.toLowerCase() === "host";
    else if (name.length === 14 && name.toLowerCase() === "content-length") {
      // Two lengths, or one that is not the body's, would be read as two requests.
      if (hasLength || value !== String(bodyBytes)) throw unsendable(origin, "content-length");
      hasLength = true;
    }
  }
  if (!hasHost) lines = `host: ${host}\r\n${lines}`;
  if (!hasLength && (bodyBytes > 0 || body !== undefined || WITH_BODY.has(method))) {
    lines += `content-length: ${bodyBytes}\r\n`;
  }
  return `${method} ${path} HTTP/1.1\r\n${lines}connection: keep-alive\r\n\r\n`;
}
