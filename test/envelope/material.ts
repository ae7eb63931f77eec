/** Streams, heads and keys for the envelope tests. */
import type { Code } from "../../src/core/error.ts";
import { asSealiftError } from "../../src/core/error.ts";
import type { KeyScheme, KeyUri, WrappedKey } from "../../src/core/key.ts";
import { keyScheme, keyUri } from "../../src/core/key.ts";
import type { ByteStream, ObjectHead } from "../../src/core/object.ts";

export const AWS_KEY = keyUri("aws-kms://arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab");
export const GCP_KEY = keyUri("gcp-kms://projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k");
export const LOCAL_KEY = keyUri("local://one");
export const ALL_KEYS: readonly KeyUri[] = [AWS_KEY, GCP_KEY, LOCAL_KEY];

/** In pieces of the given sizes, over and over; size 0 gives an empty chunk. */
export async function* inPieces(bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): ByteStream {
  let at = 0;
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
    if (turn > 4 * bytes.length + 16) throw new Error("pieces of nothing");
  }
}

export async function collect(stream: ByteStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  // Copied: a stream may reuse its chunk.
  for await (const chunk of stream) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

export const pattern = (sizeBytes: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: sizeBytes }, (_, i) => (i * 7 + 3) % 251));

export type Metadata = Readonly<Record<string, string>> | ReadonlyMap<string, string>;

export function headOf(metadata: Metadata, sizeBytes: number, key = "tenant/a.bin"): ObjectHead {
  const map = metadata instanceof Map ? metadata : new Map(Object.entries(metadata));
  return { key, sizeBytes, etag: "e", lastModifiedMs: 0, atRest: { mode: "none" }, attributes: { metadata: map } };
}

/** Stands for what a KMS returned; envelopes never look inside. */
export function wrappedFor(to: KeyUri): WrappedKey {
  const scheme: KeyScheme = keyScheme(to);
  return { scheme, uri: to, bytes: Buffer.alloc(113, 0xa5) };
}

export async function codeOf(act: () => unknown): Promise<Code | "no error"> {
  try {
    await act();
  } catch (thrown) {
    return asSealiftError(thrown).code;
  }
  return "no error";
}
