/** Writes a request: its head and a small body in one system call, a large body as the other side takes it. */
import type { Socket } from "node:net";
import type { HttpBody } from "../http.ts";
import type { Exchange } from "./request.ts";

/** What is handed to the socket at a time, so that progress is seen and a slow reader is felt. */
const STRIDE_BYTES = 1024 * 1024;

/** `progress` is told at once where everything has been handed over, else after each stride; `isLast` with the last of them. */
export function transmit(socket: Socket, exchange: Exchange, progress: (isLast: boolean) => void): void {
  const { head, body, bodyBytes } = exchange;
  if (body === undefined || bodyBytes === 0) {
    socket.write(head, "latin1");
    return progress(true);
  }
  // Not joined to one buffer: a body may hold a key, and is wiped by its owner.
  socket.cork();
  socket.write(head, "latin1");
  if (bodyBytes <= STRIDE_BYTES) {
    for (const piece of piecesOf(body)) socket.write(piece);
    progress(true);
  } else writeStride(socket, strides(piecesOf(body)), progress);
  socket.uncork();
}

const piecesOf = (body: HttpBody): readonly Uint8Array[] =>
  typeof body === "string" ? [Buffer.from(body)] : body instanceof Uint8Array ? [body] : body;

function writeStride(socket: Socket, rest: Iterator<readonly Uint8Array[]>, progress: (isLast: boolean) => void): void {
  const stride = rest.next();
  progress(stride.done === true);
  if (stride.done || socket.destroyed) return;
  const last = stride.value.length - 1;
  socket.cork();
  for (const [index, piece] of stride.value.entries()) {
    if (index < last) socket.write(piece);
    else socket.write(piece, (error) => error ?? writeStride(socket, rest, progress));
  }
  socket.uncork();
}

/** The same bytes in groups of about STRIDE_BYTES, none of them copied. */
function* strides(pieces: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let group: Uint8Array[] = [];
  let size = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + STRIDE_BYTES - size);
      group.push(part);
      at += part.length;
      size += part.length;
      if (size < STRIDE_BYTES) continue;
      yield group;
      [group, size] = [[], 0];
    }
  }
  if (size > 0) yield group;
}
