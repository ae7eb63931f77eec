/** The contract of client-side encryption formats. Pure: bytes and keys in, bytes and keys out, no network, no clock. */
import type { Advisory } from "../core/advisory.ts";
import type { ContextForm, DataKey, KeyContext, KeyUri, WrappedKey } from "../core/key.ts";
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
  /** The same data key wrapped once more, under other keys: tried in order where the first is not to be opened here. */
  readonly others?: readonly WrappedKey[] | undefined;
  /** What the data key is bound to: given to the KMS as it stands. Under a bare key its description, bound to nothing. */
  readonly context: KeyContext;
  /** How it is bound, where bytes are bound; absent: `rfc8785`. */
  readonly form?: ContextForm | undefined;
  /** Parameters of the body, which no rewrap ever changes: IV, tag length, message id, commitment, stated length. As stored. */
  readonly fixed: ReadonlyMap<string, string>;
  /** Metadata names that belong to the envelope in the object as read: removed before the new envelope is written. */
  readonly owns: readonly string[];
  /**
   * What of the envelope stands before the body, as read; absent: the object is the body. `retarget` keeps it, `adopt` does not: where it
   * is gone and nothing is put in its place, the body arrives alone.
   */
  readonly start?: Uint8Array | undefined;
  /** Weaknesses that a rewrap takes along. */
  readonly advisories?: readonly Advisory[] | undefined;
  /** Names of the context whose values every rewrap makes anew: of two rewraps they are not compared. */
  readonly renewed?: readonly string[] | undefined;
  /** Dropped fields and the like, which the operator should know of. */
  readonly notes: readonly string[];
}

export interface SealBytes {
  /** Beside the body. */
  readonly metadata: ReadonlyMap<string, string>;
  /** How many bytes `start` makes; 0 for formats that live in metadata. */
  readonly startBytes: number;
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
  /** What of an envelope stays with the body, and the file with the rest of it; undefined: such an envelope is in no file. */
  split(metadata: ReadonlyMap<string, string>): Split | undefined;
  /** The body's head as if all of its envelope stood there. Throws SEAL_MALFORMED also where the two say different things. */
  join(head: ObjectHead, file: Uint8Array): ObjectHead;
}

export interface Split {
  /** Beside the body. */
  readonly beside: ReadonlyMap<string, string>;
  readonly file: Uint8Array;
  /** Beside the file, for those who list. */
  readonly fileMetadata: ReadonlyMap<string, string>;
}

export interface Envelope {
  readonly id: string; // s3ec-v1, s3ec-v2, s3ec-v3, plain
  /** at-end: plaintext flows before it is proven, so it may only flow into a put that can still be withdrawn. */
  readonly verifies: "by-segment" | "at-end" | "never";
  /**
   * How much of the object's start `read` has to be given: asked again with what has come until it asks for no more (START_BYTES_MAX
   * at the most). 0 where the head decides, so that an object which its metadata explains costs no second request.
   */
  wants(head: ObjectHead, start: Uint8Array): number;
  /** Absent where the format has no such files. Under several names: the first that is there is read. */
  readonly divided?: readonly Divided[];
  /** undefined: not this format. Throws SEAL_MALFORMED: this format, but broken; SEAL_UNSUPPORTED: whole, but not carried. Never guesses. */
  read(head: ObjectHead, start: Uint8Array): Seal | undefined;
  /**
   * The same seal as it must stand under another key: new wrap name and context, not wrapped yet. Its format is a later one where
   * this one cannot name the wrap; that format writes it. One wrapped key will take the place of all. Throws SEAL_UNSUPPORTED.
   */
  retarget(seal: Seal, to: KeyUri): Seal;
  /** Present where a seal under the job's own key may have to be written anew all the same: false, it has. */
  isSettled?(seal: Seal): boolean;
  /** Present where more makes up a start than context, content, wrap and parameters: whether it is the same in these two. */
  startsAlike?(expected: Seal, found: Seal): boolean;
  /**
   * Present where bodies of other formats are bodies of this one: such a seal as it must stand here under `to`, not wrapped yet,
   * the body of these many bytes unchanged. Throws SEAL_UNSUPPORTED where it cannot.
   */
  adopt?(seal: Seal, to: KeyUri, bodyBytes: number): Seal;
  /** Present with `adopt`: the adopted seal's data key as this format has it wrapped. The caller wipes both. */
  adoptKey?(seal: Seal, key: DataKey): DataKey;
  /** Throws SEAL_FORGED where the key is not the one the body was sealed under, as far as the format can tell (V3 commitment). */
  check(seal: Seal, key: DataKey): void;
  /** Present: `check` looks at nothing but the key, so that what it says of one object is true of all under the same wrapped key. */
  readonly checksKeyAlone?: true;
  /** Of a wrapped seal. */
  write(seal: Seal): SealBytes;
  /** What stands before the body of a wrapped seal; absent: nothing. `key` is given where `startsWithKey`. */
  start?(seal: Seal, key?: DataKey): Uint8Array;
  /** Present: the data key itself signs what stands before the body. */
  readonly startsWithKey?: true;
  /** Weaknesses of what this format seals anew; absent: none. */
  readonly advisories?: readonly Advisory[];
  /**
   * Present where a rewrap may have to change the end of the body too, its size left as it is. Of such a rewrap, the body as it is to
   * stand behind `start`; undefined: it stays. Throws SEAL_FORGED at the end where the old body is not whole: nothing of it may stand.
   */
  ending?(from: Seal, to: Seal): Ending | undefined;
  /** A new data key and the seal it fits; all randomness comes in here. `wrapped` is still to be filled for `to`. */
  fresh(context: KeyContext, to: KeyUri): FreshSeal;
  /** The body alone, without what stands before it. */
  seal(plaintext: ByteStream, seal: Seal, key: DataKey): ByteStream;
  /** Of the body alone. Throws SEAL_FORGED, uniformly, at the end (at-end) or at the broken segment. */
  open(ciphertext: ByteStream, seal: Seal, key: DataKey): ByteStream;
  /** Of the body alone. Throws TOO_LARGE above the format's limit. */
  sealedSize(plainBytes: number, seal: Seal): number;
  /** undefined where it cannot be known without opening (CBC padding). Throws SEAL_MALFORMED where no plaintext has this sealed size. */
  plainSize(sealedBytes: number, seal: Seal): number | undefined;
}

export type Ending = (body: ByteStream, start: Uint8Array, key: DataKey) => ByteStream;

/** The most of an object's start that any format may want. */
export const START_BYTES_MAX = 256 * 1024;

/** What is the body's of an object of this size. */
export const bodyBytes = (sizeBytes: number, { start }: Seal): number => sizeBytes - (start?.length ?? 0);

/** All that hold the data key, in the order in which they are tried. */
export const wrappedKeys = ({ wrapped, others = [] }: Seal): readonly WrappedKey[] =>
  wrapped ? [wrapped, ...others] : [];

/** A retargeted or fresh seal, now wrapped. */
export const withWrapped = (seal: Seal, wrapped: WrappedKey): Seal => ({ ...seal, wrapped });
