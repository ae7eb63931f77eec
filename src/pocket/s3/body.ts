/** A request's body as it comes: framing taken off, every promise about it checked, bytes kept as a list of chunks. */
import { createHash, type Hash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { PocketRequest } from "../http.ts";
import {
  badDigest,
  type ChecksumName,
  parseChecksum,
  parseChecksumName,
  type RunningChecksum,
  startChecksum,
} from "./checksum.ts";
import { incomplete, Unframer } from "./framing.ts";
import { S3Refusal } from "./refusal.ts";
import type { Signed } from "./signature.ts";

export interface Received {
  readonly chunks: readonly Buffer[];
  readonly sizeBytes: number;
  /** Where it was asked for, or promised by Content-MD5. */
  readonly md5?: Buffer | undefined;
  /** Where it was asked for, or promised by a header or a trailer. */
  readonly checksum?: { readonly name: ChecksumName; readonly digest: Buffer; readonly stated: boolean } | undefined;
}

export interface ReceiveOptions {
  readonly md5?: boolean | undefined;
  /** Computed even where the client states none. */
  readonly checksum?: ChecksumName | undefined;
}

const PUT_BYTES_MAX = 5 * 1024 ** 3;
const HEX_SHA256 = /^[0-9a-f]{64}$/;

export async function receive(request: PocketRequest, signed: Signed, options: ReceiveOptions = {}): Promise<Received> {
  const promise = readPromise(request);
  const framed = signed.payload.startsWith("STREAMING-");
  const sizeBytes = announcedSize(request, framed);
  const tally = new Tally({
    md5: options.md5 === true || promise.md5 !== undefined,
    sha256: HEX_SHA256.test(signed.payload),
    checksum: promise.checksumName ?? options.checksum,
  });
  const unframer = framed ? new Unframer(signed, (bytes) => tally.add(bytes)) : undefined;
  await drain(request.incoming, (bytes) => (unframer ? unframer.push(bytes) : tally.add(bytes)));
  unframer?.finish();
  if (tally.sizeBytes !== sizeBytes) throw incomplete();
  return tally.judge(signed, promise, unframer?.trailers);
}

interface BodyPromise {
  readonly md5?: Buffer | undefined;
  readonly checksumName?: ChecksumName | undefined;
  /** Absent where the value comes in the trailer. */
  readonly checksum?: Buffer | undefined;
}

function readPromise({ headers }: PocketRequest): BodyPromise {
  const [name, another] = statedChecksums(headers);
  if (another !== undefined) {
    throw new S3Refusal(
      "InvalidRequest",
      "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    );
  }
  const algorithm = headers["x-amz-sdk-checksum-algorithm"];
  if (typeof algorithm === "string" && (name === undefined || name !== parseChecksumName(algorithm))) {
    throw new S3Refusal(
      "InvalidRequest",
      "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
    );
  }
  const value = name === undefined ? undefined : headers[`x-amz-checksum-${name}`];
  return {
    md5: parseMd5(headers["content-md5"]),
    checksumName: name,
    checksum: name !== undefined && typeof value === "string" ? parseChecksum(name, value) : undefined,
  };
}

const CHECKSUM_HEADER = /^x-amz-checksum-(?!type$|algorithm$|mode$)(.+)$/;

function statedChecksums(headers: PocketRequest["headers"]): ChecksumName[] {
  const names: ChecksumName[] = [];
  for (const header in headers) {
    const [, name] = header.startsWith("x-amz-checksum-") ? (CHECKSUM_HEADER.exec(header) ?? []) : [];
    if (name !== undefined) names.push(parseChecksumName(name));
  }
  const trailer = headers["x-amz-trailer"];
  for (const entry of typeof trailer === "string" ? trailer.split(",") : []) {
    const [, name] = CHECKSUM_HEADER.exec(entry.trim().toLowerCase()) ?? [];
    if (name !== undefined) names.push(parseChecksumName(name));
  }
  return names;
}

function parseMd5(text: string | string[] | undefined): Buffer | undefined {
  if (text === undefined) return undefined;
  const bytes = Buffer.from(String(text), "base64");
  if (bytes.length === 16) return bytes;
  throw new S3Refusal("InvalidDigest", "The Content-MD5 you specified was invalid.");
}

function announcedSize({ headers }: PocketRequest, framed: boolean): number {
  const text = framed ? headers["x-amz-decoded-content-length"] : headers["content-length"];
  // Without a length and without chunks there is no body (RFC 9112, 6.3).
  const value = text ?? (framed || headers["transfer-encoding"] !== undefined ? "" : "0");
  if (typeof value !== "string" || !/^\d+$/.test(value)) {
    throw new S3Refusal("MissingContentLength", "You must provide the Content-Length HTTP header.");
  }
  const sizeBytes = Number(value);
  if (sizeBytes <= PUT_BYTES_MAX) return sizeBytes;
  throw new S3Refusal("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", {
    elements: { ProposedSize: value, MaxSizeAllowed: String(PUT_BYTES_MAX) },
  });
}

/** Events cost less than async iteration, and most bodies are one chunk. */
function drain(incoming: IncomingMessage, take: (bytes: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let failed = false;
    incoming.on("data", (bytes: Buffer) => {
      if (failed) return;
      try {
        take(bytes);
      } catch (error) {
        failed = true; // The rest is read and dropped, so that the client hears the answer.
        reject(error);
      }
    });
    incoming.once("end", resolve);
    incoming.once("error", reject);
    incoming.once("close", () => {
      if (!incoming.complete) reject(new Error("the client went away"));
    });
  });
}

interface TallyOptions {
  readonly md5: boolean;
  readonly sha256: boolean;
  readonly checksum: ChecksumName | undefined;
}

class Tally {
  readonly chunks: Buffer[] = [];
  sizeBytes = 0;
  readonly #md5: Hash | undefined;
  readonly #sha256: Hash | undefined;
  readonly #name: ChecksumName | undefined;
  readonly #checksum: RunningChecksum | undefined;

  constructor(options: TallyOptions) {
    this.#md5 = options.md5 ? createHash("md5") : undefined;
    this.#sha256 = options.sha256 ? createHash("sha256") : undefined;
    this.#name = options.checksum;
    this.#checksum = options.checksum === undefined ? undefined : startChecksum(options.checksum);
  }

  add(bytes: Buffer): void {
    this.sizeBytes += bytes.length;
    this.#md5?.update(bytes);
    this.#sha256?.update(bytes);
    this.#checksum?.update(bytes);
    // A small slice would keep the whole read buffer it was cut from.
    this.chunks.push(bytes.length * 2 < bytes.buffer.byteLength ? Buffer.from(bytes) : bytes);
  }

  judge(signed: Signed, promise: BodyPromise, trailers: ReadonlyMap<string, string> | undefined): Received {
    if (this.#sha256 && this.#sha256.digest("hex") !== signed.payload) {
      throw new S3Refusal(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
      );
    }
    const md5 = this.#md5?.digest();
    if (promise.md5 && !md5?.equals(promise.md5)) {
      throw new S3Refusal("BadDigest", "The Content-MD5 you specified did not match what we received.");
    }
    return { chunks: this.chunks, sizeBytes: this.sizeBytes, md5, checksum: this.#judgeChecksum(promise, trailers) };
  }

  #judgeChecksum(promise: BodyPromise, trailers: ReadonlyMap<string, string> | undefined): Received["checksum"] {
    const name = this.#name;
    if (name === undefined || !this.#checksum) return undefined;
    const digest = this.#checksum.digest();
    if (promise.checksumName === undefined) return { name, digest, stated: false };
    const trailer = trailers?.get(`x-amz-checksum-${name}`);
    const stated = promise.checksum ?? (trailer === undefined ? undefined : parseChecksum(name, trailer));
    if (stated === undefined) {
      throw new S3Refusal("InvalidRequest", "The announced trailing checksum is missing from the body.");
    }
    if (!stated.equals(digest)) throw badDigest(name);
    return { name, digest, stated: true };
  }
}
