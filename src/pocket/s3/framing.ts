/**
 * The `aws-chunked` body ("Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks", Amazon
 * S3 API Reference):
 *
 *   hex-size [;chunk-signature=64 hex] CRLF  bytes CRLF      repeated
 *   0        [;chunk-signature=64 hex] CRLF                  the last chunk
 *   x-amz-checksum-...:value CRLF                            trailers, where announced
 *   x-amz-trailer-signature:64 hex CRLF                      where they are signed
 *   CRLF
 */
import { createHash, type Hash } from "node:crypto";
import { S3Refusal } from "./refusal.ts";
import { hmac, type Signed } from "./signature.ts";

const EMPTY_SHA256 = createHash("sha256").digest("hex");
const LINE_BYTES_MAX = 8 * 1024;

export class Unframer {
  readonly trailers = new Map<string, string>();
  readonly #emit: (bytes: Buffer) => void;
  readonly #seal: ChunkSeal | undefined;
  #state: "size" | "data" | "data-end" | "trailer" | "done" = "size";
  #line = "";
  #rest = 0;
  #signedTrailer = "";

  constructor(signed: Signed, emit: (bytes: Buffer) => void) {
    this.#emit = emit;
    this.#seal = signed.payload.startsWith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD") ? new ChunkSeal(signed) : undefined;
  }

  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === "data") at = this.#takeData(bytes, at);
      else at = this.#takeLine(bytes, at);
    }
  }

  finish(): void {
    if (this.#state !== "done") throw incomplete();
  }

  #takeData(bytes: Buffer, at: number): number {
    const end = Math.min(at + this.#rest, bytes.length);
    const piece = bytes.subarray(at, end);
    this.#rest -= piece.length;
    this.#seal?.update(piece);
    this.#emit(piece);
    if (this.#rest === 0) this.#state = "data-end";
    return end;
  }

  #takeLine(bytes: Buffer, at: number): number {
    const newline = bytes.indexOf(10, at);
    const end = newline < 0 ? bytes.length : newline + 1;
    this.#line += bytes.toString("latin1", at, end);
    if (this.#line.length > LINE_BYTES_MAX || this.#state === "done") throw malformed();
    if (newline >= 0) {
      if (!this.#line.endsWith("\r\n")) throw malformed();
      const line = this.#line.slice(0, -2);
      this.#line = "";
      this.#readLine(line);
    }
    return end;
  }

  #readLine(line: string): void {
    if (this.#state === "size") return this.#readSize(line);
    if (this.#state === "data-end") {
      if (line !== "") throw malformed();
      this.#seal?.close();
      this.#state = "size";
      return;
    }
    if (line === "") this.#state = "done";
    else this.#readTrailer(line);
  }

  #readSize(line: string): void {
    const [, size, signature] = /^([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line) ?? [];
    if (size === undefined) throw malformed();
    this.#rest = Number.parseInt(size, 16);
    this.#seal?.begin(signature);
    this.#state = this.#rest === 0 ? "trailer" : "data";
    if (this.#rest === 0) this.#seal?.close();
  }

  #readTrailer(line: string): void {
    const colon = line.indexOf(":");
    if (colon < 1) throw malformed();
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "x-amz-trailer-signature") return this.#seal?.checkTrailer(this.#signedTrailer, value);
    this.#signedTrailer += `${name}:${value}\n`;
    this.trailers.set(name, value);
  }
}

/** The chain of chunk signatures: each covers the one before it. */
class ChunkSeal {
  readonly #signed: Signed;
  #previous: string;
  #expected = "";
  #hash: Hash = createHash("sha256");

  constructor(signed: Signed) {
    this.#signed = signed;
    this.#previous = signed.signature;
  }

  begin(signature: string | undefined): void {
    if (signature === undefined) throw mismatch();
    this.#expected = signature;
    this.#hash = createHash("sha256");
  }

  update(bytes: Buffer): void {
    this.#hash.update(bytes);
  }

  close(): void {
    this.#check("AWS4-HMAC-SHA256-PAYLOAD", `${EMPTY_SHA256}\n${this.#hash.digest("hex")}`);
  }

  checkTrailer(trailer: string, signature: string): void {
    this.#expected = signature;
    this.#check("AWS4-HMAC-SHA256-TRAILER", createHash("sha256").update(trailer, "latin1").digest("hex"));
  }

  #check(algorithm: string, hashes: string): void {
    const { time, scope, signingKey } = this.#signed;
    const text = [algorithm, time, scope, this.#previous, hashes].join("\n");
    if (hmac(signingKey, text).toString("hex") !== this.#expected) throw mismatch();
    this.#previous = this.#expected;
  }
}

export const incomplete = (): S3Refusal =>
  new S3Refusal(
    "IncompleteBody",
    "You did not provide the number of bytes specified by the Content-Length HTTP header",
  );
const malformed = (): S3Refusal => new S3Refusal("IncompleteBody", "The request body terminated unexpectedly");
const mismatch = (): S3Refusal =>
  new S3Refusal(
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
  );
