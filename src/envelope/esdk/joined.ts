/**
 * A header in which one data key joins those that were there. It stands before them, because readers try them in order, and it stays
 * whatever else goes: so a message never loses all that somebody can open.
 */
import type { KeyUri } from "../../core/key.ts";
import type { Seal } from "../envelope.ts";
import { type HeldKey, parseHeader } from "./header.ts";
import { heldKey, heldUnder, nameOf } from "./held.ts";
import type { JoinedSeal } from "./message.ts";

/** By the name of a data key (held.ts): true, it does not stay. */
export type Drops = (name: string) => boolean;

const heldIn = ({ start = new Uint8Array() }: Seal): readonly HeldKey[] => parseHeader(start).keys;

const isUnder = (key: HeldKey, to: KeyUri | undefined): boolean => {
  const own = to && heldUnder(to);
  return own?.provider === key.provider && Buffer.compare(own.info, key.info) === 0;
};

/** What stays beside a new data key under `to`, and the names of what does not. */
export function staying(
  seal: Seal,
  to: KeyUri | undefined,
  drops: Drops = () => false,
): { readonly kept: readonly HeldKey[]; readonly dropped: readonly string[] } {
  const others = heldIn(seal).filter((key) => !isUnder(key, to));
  const kept = others.filter((key) => !drops(nameOf(key)));
  const dropped = others.filter((key) => drops(nameOf(key))).map(nameOf);
  return { kept, dropped: [...new Set(dropped)] };
}

/** The same keys in the same order, wrapped alike to the letter. One of the two may still have to be written. */
export function holdAlike(expected: Seal, found: Seal): boolean {
  const [wanted, there] = [keysOf(expected), keysOf(found)];
  return wanted.length === there.length && wanted.every((key, at) => isSame(key, there[at]));
}

function keysOf(seal: Seal): readonly HeldKey[] {
  if (seal.start !== undefined) return heldIn(seal);
  return [...(seal.wrapped ? [heldKey(seal.wrapped)] : []), ...((seal as Partial<JoinedSeal>).kept ?? [])];
}

const isSame = (a: HeldKey, b: HeldKey | undefined): boolean =>
  a.provider === b?.provider && Buffer.compare(a.info, b.info) === 0 && Buffer.compare(a.bytes, b.bytes) === 0;
