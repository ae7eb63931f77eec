/** The additional checksums of S3 ("Checking object integrity", Amazon S3 User Guide). CRC64NVME is not computed here. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { crc32c } from "../../core/crc32c.ts";
import { S3Refusal } from "./refusal.ts";

export type ChecksumName = "crc32" | "crc32c" | "sha1" | "sha256";
export type ChecksumType = "FULL_OBJECT" | "COMPOSITE";

export interface Checksum {
  readonly name: ChecksumName;
  readonly type: ChecksumType;
  /** As in the header: base64, for a composite with `-N` behind it. */
  readonly text: string;
}

export interface RunningChecksum {
  update(bytes: Uint8Array): void;
  digest(): Buffer;
}

const BYTES: Readonly<Record<ChecksumName, number>> = { crc32: 4, crc32c: 4, sha1: 20, sha256: 32 };

export function parseChecksumName(text: string): ChecksumName {
  const name = text.toLowerCase();
  if (name in BYTES) return name as ChecksumName;
  if (name === "crc64nvme") throw new S3Refusal("NotImplemented", "CRC64NVME is not computed here.");
  throw new S3Refusal("InvalidRequest", "Checksum algorithm provided is unsupported.");
}

export function startChecksum(name: ChecksumName): RunningChecksum {
  if (name === "sha1" || name === "sha256") return createHash(name);
  let crc = 0;
  const extend = name === "crc32c" ? crc32c : crc32;
  return {
    update: (bytes) => {
      crc = extend(bytes, crc);
    },
    digest: () => crcBytes(crc),
  };
}

function crcBytes(crc: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc >>> 0);
  return bytes;
}

/** A checksum as a header or a trailer states it; throws where it cannot be one. */
export function parseChecksum(name: ChecksumName, text: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length === BYTES[name] && bytes.toString("base64") === text) return bytes;
  throw new S3Refusal("InvalidRequest", `Value for x-amz-checksum-${name} header is invalid.`);
}

export const badDigest = (name: string): S3Refusal =>
  new S3Refusal("BadDigest", `The ${name.toUpperCase()} you specified did not match the calculated checksum.`);

export interface PartDigest {
  readonly digest: Buffer;
  readonly sizeBytes: number;
}

/** The checksum of a multipart object from those of its parts. */
export function joinChecksums(name: ChecksumName, type: ChecksumType, parts: readonly PartDigest[]): Checksum {
  if (type === "COMPOSITE") {
    const running = startChecksum(name);
    for (const part of parts) running.update(part.digest);
    return { name, type, text: `${running.digest().toString("base64")}-${parts.length}` };
  }
  const polynomial = name === "crc32c" ? 0x82f63b78 : 0xedb88320;
  let crc = 0;
  let shift = shiftBy(polynomial, 0);
  let shiftBytes = 0;
  for (const { digest, sizeBytes } of parts) {
    if (sizeBytes !== shiftBytes) {
      shift = shiftBy(polynomial, sizeBytes);
      shiftBytes = sizeBytes;
    }
    crc = (times(shift, crc) ^ digest.readUInt32BE(0)) >>> 0;
  }
  return { name, type, text: crcBytes(crc).toString("base64") };
}

/** The linear map that `sizeBytes` zero bytes apply to a CRC's register (bit-reflected polynomial), as 32 columns. */
function shiftBy(polynomial: number, sizeBytes: number): number[] {
  let result = Array.from({ length: 32 }, (_, bit) => (1 << bit) >>> 0);
  let power = result.map((column) => {
    let register = column;
    for (let bit = 0; bit < 8; bit++) register = register & 1 ? (register >>> 1) ^ polynomial : register >>> 1;
    return register >>> 0;
  });
  for (let rest = sizeBytes; rest > 0; rest = Math.floor(rest / 2)) {
    const square = power;
    if (rest % 2 === 1) result = result.map((column) => times(square, column));
    power = square.map((column) => times(square, column));
  }
  return result;
}

function times(columns: readonly number[], vector: number): number {
  let sum = 0;
  for (let bit = 0; bit < 32; bit++) if ((vector >>> bit) & 1) sum ^= columns[bit] as number;
  return sum >>> 0;
}
