/** What a transfer is given: both shores open, and the rules of its job. */
import { SealiftError } from "../core/error.ts";
import type { KeyContext, KeyUri } from "../core/key.ts";
import type { ListedObject } from "../core/object.ts";
import type { Envelope } from "../envelope/envelope.ts";
import type { Kms } from "../kms/kms.ts";
import type { ObjectStore } from "../store/store.ts";
import type { RewrappedKeys } from "./rewrapped.ts";

export interface Shores {
  readonly source: ObjectStore;
  readonly destination: ObjectStore;
  readonly sourcePrefix: string;
  readonly destinationPrefix: string;
  /** Asked in order; the first that claims a wrapped key answers for it. */
  readonly sourceKms: readonly Kms[];
  readonly destinationKms: readonly Kms[];
  /** Data keys that have changed hands between these two; absent: every one is asked for. */
  readonly rewrapped?: RewrappedKeys | undefined;
  /** Every format this program knows, `plain` among them. */
  readonly envelopes: readonly Envelope[];
  close(): Promise<void>;
}

export interface Rules {
  /** The migration's id, written beside every object. */
  readonly migration: string;
  /** The key that wraps every data key at the destination. */
  readonly wrapWith: KeyUri;
  /**
   * Keys that may be opened at the source, compared with what the KMS itself says it used: AWS answers with the ARN of the key,
   * so an alias matches nothing here. Empty: the keys of `account`, and local keys, which the operator has named by their directory.
   */
  readonly allow: readonly KeyUri[];
  /** AWS account or Google project; without it an empty `allow` lets no key of a provider be opened. */
  readonly account?: string | undefined;
  /** Pairs that the key context of every rewrapped object must hold. */
  readonly requireContext: KeyContext;
  /** The key context of objects that are sealed afresh. */
  readonly sealContext: KeyContext;
  /** Envelope id for objects that are sealed afresh. */
  readonly sealWith: string;
  /** Envelope id that sealed objects are to stand in, where their bodies can stay as they are; absent: each in its own. */
  readonly envelope?: string | undefined;
  /** True: the object's first bytes make it no sealed one, whatever they look like; absent: they may of every object. */
  readonly isPlain?: ((key: string) => boolean) | undefined;
  /** What happens to objects without a client-side envelope. */
  readonly fallback: "seal" | "server" | "copy" | "refuse";
  /** The provider-side key for `fallback: server`. */
  readonly serverKeyName?: string | undefined;
  readonly overwrite: boolean;
  /** An envelope that does not fit the metadata is written into a file beside the object, where its format has such; absent: it is refused. */
  readonly spill?: true | undefined;
  /** Objects of this size and above are copied in parts by several workers, where the destination can. Absent: none is. */
  readonly hugeBytes?: number | undefined;
  readonly verify: "none" | "sample" | "full";
  /** Tries of one object, the first included. */
  readonly attempts: number;
  readonly delayMs: number;
  /** True: keep. */
  readonly filter: (object: ListedObject) => boolean;
}

/** The shores, the rules, and how long anyone waits. */
export interface Crossing {
  readonly shores: Shores;
  readonly rules: Rules;
  readonly signal: AbortSignal;
}

/** Throws NAME_UNFIT where the destination cannot have an object of this name. */
export function destinationKey(key: string, shores: Shores): string {
  const { sourcePrefix, destinationPrefix, destination } = shores;
  if (!key.startsWith(sourcePrefix)) {
    throw new SealiftError("INTERNAL", `the key is not under the source's prefix ${JSON.stringify(sourcePrefix)}`);
  }
  const moved = destinationPrefix + key.slice(sourcePrefix.length);
  const sizeBytes = Buffer.byteLength(moved);
  const { keyBytesMax } = destination.traits;
  if (sizeBytes > keyBytesMax) {
    throw new SealiftError(
      "NAME_UNFIT",
      `its name is ${sizeBytes} bytes at the destination, which allows ${keyBytesMax}`,
    );
  }
  if (sizeBytes === 0) throw new SealiftError("NAME_UNFIT", "its name is the prefix itself and would be empty");
  return moved;
}
