/** Harm that a fault does to a request or to its answer while the cloud itself works as ever. */
import { type IncomingMessage, ServerResponse } from "node:http";
import type { PocketRequest } from "./http.ts";

export interface PocketAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Buffer;
}

/**
 * What the cloud takes notice of: all of the request, but for what a fault makes it forget. Asked for after signatures were
 * checked, which cover what is forgotten too.
 */
export function heard(request: PocketRequest): PocketRequest {
  const { forgets } = request;
  if (forgets === undefined) return request;
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !forgets.test(name)));
  const query = new URLSearchParams([...request.query].filter(([name]) => !forgets.test(name)));
  return { ...request, headers, query };
}

/** The answer is held back until it is whole, and goes out as `change` wants it. A length that was true stays true. */
export function changeAnswer(response: ServerResponse, change: (answer: PocketAnswer) => PocketAnswer): void {
  const send = response.end.bind(response);
  const head = response.writeHead.bind(response);
  const chunks: Buffer[] = [];
  let status = 200;
  let headers: Record<string, string | number> = {};
  const keep = (chunk: unknown) => {
    if (chunk !== undefined && typeof chunk !== "function") chunks.push(Buffer.from(chunk as Uint8Array));
  };
  response.writeHead = ((code: number, given: Record<string, string | number> = {}) => {
    [status, headers] = [code, given];
    return response;
  }) as typeof response.writeHead;
  response.write = ((chunk: unknown) => {
    keep(chunk);
    return true;
  }) as typeof response.write;
  response.end = ((chunk?: unknown) => {
    keep(chunk);
    const worked = { status, headers, body: Buffer.concat(chunks) };
    const { body, ...changed } = change(worked);
    head(changed.status, restated(worked, { ...changed, body }));
    return send(body);
  }) as typeof response.end;
}

function restated(worked: PocketAnswer, changed: PocketAnswer): Record<string, string | number> {
  const headers = { ...changed.headers };
  const stated = headers["content-length"];
  const untouched = stated === worked.headers["content-length"];
  if (stated !== undefined && untouched && Number(stated) === worked.body.length)
    headers["content-length"] = changed.body.length;
  return headers;
}

/** An answer that nobody waits for: the request is worked on, and what comes of it goes nowhere. */
export const unheard = (incoming: IncomingMessage): ServerResponse => new ServerResponse(incoming);

/** Takes in so many bytes of the request's body and no more. */
export async function readSome(incoming: IncomingMessage, bytes: number): Promise<void> {
  let read = 0;
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    read += (chunk as Buffer).length;
    if (read >= bytes) return;
  }
}
