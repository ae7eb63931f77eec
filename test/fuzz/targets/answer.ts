/** An answer as the HTTP client would give it, for the parsers behind it; the drivers themselves meet a real socket. */
import type { HttpResponse } from "../../../src/wire/http.ts";
import { inPieces } from "../../envelope/material.ts";

export function answerOf(status: number, headers: Readonly<Record<string, string>>, body: string): HttpResponse {
  const bytes = Buffer.from(body);
  return {
    status,
    headers,
    body: inPieces(bytes, [7]),
    text: async () => bytes.toString("utf8"),
    bytes: async () => bytes,
    dismiss: async () => {},
  };
}
