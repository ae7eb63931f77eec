/** Wrapped keys that do not name their key: what is tried, and when one answer is enough. */
import { DataKey, type KeyScheme, type KeyUri, type RawWrap } from "../../core/key.ts";
import { cannotOpen } from "../answer.ts";
import type { Unwrapped } from "../kms.ts";

/** Of data keys: AES-128, -192 and -256. */
export const DATA_KEY_SIZES: readonly number[] = [16, 24, 32];

/** Of what Azure's clients wrap: a key of AES-256, alone or behind eight bytes that name their protocol. */
export const AZURE_KEY_SIZES: readonly number[] = [32, 40];

export const boundBytes = (bound: RawWrap["bound"]): Uint8Array =>
  typeof bound === "string" ? Buffer.from(bound) : bound;

/**
 * Every key is tried, and exactly one has to open: PKCS #1 v1.5 takes the block of another key for its own once in some ten
 * million, and a data key that may be the wrong one is worse than none. Nothing tells the failures apart.
 */
export function onlyOne<K extends { readonly uri: KeyUri }>(
  scheme: KeyScheme,
  keys: readonly K[],
  open: (key: K) => Buffer | undefined,
): Unwrapped {
  const opened = keys.flatMap((key) => {
    const bytes = open(key);
    return bytes === undefined ? [] : [{ bytes, by: key.uri }];
  });
  try {
    const [first, second] = opened;
    if (!first || second) throw cannotOpen(keys.map(({ uri }) => uri).join(" or ") || `any key of ${scheme}`);
    return { dataKey: new DataKey(first.bytes), by: first.by };
  } finally {
    for (const { bytes } of opened) bytes.fill(0);
  }
}
