/** The contract of client-side encryption formats. Pure: bytes and keys in, bytes and keys out, no network, no clock. */
import type { DataKey, KeyContext, KeyUri, WrappedKey } from "../core/key.ts";
import type { ByteStream, ObjectHead } from "../core/object.ts";

/** How one object is sealed: everything its envelope says, parsed. */
export interface Seal {
  /** Id of the envelope that read or made it. */
  readonly format: string;
  /** Content algorithm as stored: `AES/GCM/NoPadding`, `AES/CBC/PKCS5Padding`, `115`; `none` for plain. */
  readonly content: string;
  /** Wrap algorithm as stored: `kms+context`, `kms`, `gcp-kms+context`, `local-kms+context`, or a bare key's; `none` for plain. */
  readonly wrap: string;
  /** Absent in a seal that is fresh or retargeted and not wrapped yet, and in plain. */
  readonly wrapped?: WrappedKey | undefined;
  /** What the data key is bound to: given to the KMS as it stands. Under a bare key its description, bound to nothing. */
  readonly context: KeyContext;
  /** Parameters of the body, which no rewrap ever changes: IV, tag length, message id, commitment, stated length. As stored. */
  readonly fixed: ReadonlyMap<string, string>;
  /** Metadata names that belong to the envelope in the object as read: removed before the new envelope is written. */
  readonly owns: readonly string[];
  /** Weaknesses and dropped fields the operator should know of. */
  readonly notes: readonly string[];
}

export interface SealBytes {
  /** Beside the body. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Before the body; empty for formats that live in metadata. */
  readonly prefix: Uint8Array;
}

export interface FreshSeal {
  readonly seal: Seal;
  /** The caller wipes it. */
  readonly dataKey: DataKey;
}

/**
 * An envelope that is divided from its body: kept, whole or in part, in an object of its own, the file. Readers know it by its name
 * alone, and they look for it only where the body's own head is not enough.
 */
export interface Divided {
  /** What is longer is no such file. */
  readonly fileBytesMax: number;
  /** The name of a body's file, whether or not there is one. */
  fileOf(body: string): string;
  /** The body that a file of this name would be for; undefined: no file is called so. */
  bodyOf(file: string): string | undefined;
  /** The head shows no wrapped key and no sign of another format: a file, if there is one, decides what the object is. */
  awaits(head: ObjectHead): boolean;
  /** The body's head as if all of its envelope stood there. Throws SEAL_MALFORMED also where the two say different things. */
  join(head: ObjectHead, file: Uint8Array): ObjectHead;
}

export interface Envelope {
  readonly id: string; // s3ec-v1, s3ec-v2, s3ec-v3, plain
  /** at-end: plaintext flows before it is proven, so it may only flow into a put that can still be withdrawn. */
  readonly verifies: "by-segment" | "at-end" | "never";
  /** How much of the object's start `read` needs. */
  readonly prefixBytesMax: number;
  /** Absent where the format has no such files. */
  readonly divided?: Divided;
  /** undefined: not this format. Throws SEAL_MALFORMED: this format, but broken; SEAL_UNSUPPORTED: whole, but not carried. Never guesses. */
  read(head: ObjectHead, prefix: Uint8Array): Seal | undefined;
  /**
   * The same seal as it must stand under another key: new wrap name and context, not wrapped yet. Its format is a later one where
   * this one cannot name the wrap; that format writes it. Throws SEAL_UNSUPPORTED.
   */
  retarget(seal: Seal, to: KeyUri): Seal;
  /** Throws SEAL_FORGED where the key is not the one the body was sealed under, as far as the format can tell (V3 commitment). */
  check(seal: Seal, key: DataKey): void;
  /** Present: `check` looks at nothing but the key, so that what it says of one object is true of all under the same wrapped key. */
  readonly checksKeyAlone?: true;
  /** Of a wrapped seal. */
  write(seal: Seal): SealBytes;
  /** A new data key and the seal it fits; all randomness comes in here. `wrapped` is still to be filled for `to`. */
  fresh(context: KeyContext, to: KeyUri): FreshSeal;
  seal(plaintext: ByteStream, seal: Seal, key: DataKey): ByteStream;
  /** Throws SEAL_FORGED, uniformly, at the end (at-end) or at the broken segment. */
  open(ciphertext: ByteStream, seal: Seal, key: DataKey): ByteStream;
  /** Throws TOO_LARGE above the format's limit. */
  sealedSize(plainBytes: number, seal: Seal): number;
  /** undefined where it cannot be known without opening (CBC padding). Throws SEAL_MALFORMED where no plaintext has this sealed size. */
  plainSize(sealedBytes: number, seal: Seal): number | undefined;
}

/** A retargeted or fresh seal, now wrapped. */
export const withWrapped = (seal: Seal, wrapped: WrappedKey): Seal => ({ ...seal, wrapped });
