/**
 * The data keys that a message holds, each wrapped by somebody ("encrypted data keys"; AWS Encryption SDK specification, framework/
 * aws-kms/aws-kms-keyring.md, raw-aes-keyring.md, raw-rsa-keyring.md):
 *
 *   provider            info                                         wrapped data key            bound to
 *   aws-kms             the key's ARN                                AWS KMS's                   the key context
 *   gcp-kms             the key's resource name                      Google KMS's                the context's bytes (form esdk)
 *   local-kms           the local key's name                         kms/local.ts                the same bytes
 *   any name            | name | tag bits: 4 | iv length: 4 | iv |   | ciphertext | tag: 16 |    the same bytes: a bare AES key
 *   any name            name                                         RSA, as long as the key     nothing: a bare RSA key
 *
 * The second and third are ours: there is no official provider for Google KMS. What a bare key is called says nothing about which
 * it is. Others are known by name (AWS KMS's hierarchy, ECDH, RSA) or not at all: they stay in the message and open nothing here.
 */
import {
  type KeyContext,
  keyName,
  keyScheme,
  type KeyUri,
  keyUri,
  pairBytes,
  type WrappedKey,
} from "../../core/key.ts";
import { type HeldKey, TAG_BYTES, textOf } from "./header.ts";
import { defect, unsupported } from "./refusal.ts";

const PROVIDERS = { "aws-kms": "aws-kms", "gcp-kms": "gcp-kms", local: "local-kms" } as const;
type KmsScheme = keyof typeof PROVIDERS;
const SCHEMES: ReadonlyMap<string, KmsScheme> = new Map(
  Object.entries(PROVIDERS).map(([scheme, provider]) => [provider, scheme as KmsScheme]),
);
/** Readers of the specification's own providers would take their keys for bare ones by length. */
const OTHERS = new Set(["aws-kms-hierarchy", "aws-kms-rsa", "aws-kms-ecdh", "raw-ecdh"]);
const AES_IV_BYTES = 12;
/** What stands behind the name in the info of a bare AES key: 128 bits of tag, 12 bytes of IV. */
const AES_MARK = Buffer.from("000000800000000c", "hex");
const AES_TAIL_BYTES = AES_MARK.length + AES_IV_BYTES;
const AES_SIZES = [16, 24, 32].map((keyBytes) => keyBytes + TAG_BYTES);
/** Moduli of 1,024 to 8,192 bits. */
const RSA_BYTES_MIN = 128;
const RSA_BYTES_MAX = 1024;

/** One that can be tried, and what its kind is called. */
export interface Opening {
  readonly wrap: string;
  readonly wrapped: WrappedKey;
}

export interface Openings {
  readonly openings: readonly Opening[];
  /** What the others are, for a person. */
  readonly closed: readonly string[];
}

/** In the message's order. */
export function openingsOf(keys: readonly HeldKey[], context: KeyContext): Openings {
  const openings: Opening[] = [];
  const closed: string[] = [];
  for (const key of keys) {
    const found = openingsFor(key, context);
    openings.push(...found);
    if (found.length === 0) closed.push(JSON.stringify(key.provider.slice(0, 64)));
  }
  return { openings, closed };
}

function openingsFor(key: HeldKey, context: KeyContext): readonly Opening[] {
  const { provider, info, bytes } = key;
  const scheme = SCHEMES.get(provider);
  if (scheme !== undefined) {
    const uri = uriOf(scheme, info);
    return uri === undefined ? [] : [{ wrap: provider, wrapped: { scheme, uri, bytes } }];
  }
  if (OTHERS.has(provider)) return [];
  if (isBareAes(key)) return aesOpenings(Buffer.concat([info.subarray(-AES_IV_BYTES), bytes]), context);
  if (bytes.length < RSA_BYTES_MIN || bytes.length > RSA_BYTES_MAX) return [];
  const raw = { algorithm: "RSA-unnamed", bound: "" } as const;
  return [{ wrap: "raw-rsa", wrapped: { scheme: "local-rsa", raw, bytes } }];
}

function isBareAes({ info, bytes }: Omit<HeldKey, "provider">): boolean {
  const markAt = info.length - AES_TAIL_BYTES;
  const mark = info.subarray(markAt, markAt + AES_MARK.length);
  return AES_SIZES.includes(bytes.length) && markAt >= 0 && AES_MARK.equals(mark);
}

/** Some writers have sorted the pairs one way for the message and another way for the data key. */
function aesOpenings(bytes: Uint8Array, context: KeyContext): readonly Opening[] {
  const orders = [pairBytes(context), pairBytes([...context].sort(byName))];
  const bounds = Buffer.compare(orders[0] as Uint8Array, orders[1] as Uint8Array) === 0 ? orders.slice(1) : orders;
  return bounds.map((bound) => {
    const raw = { algorithm: "AES/GCM", bound } as const;
    return { wrap: "raw-aes", wrapped: { scheme: "local", raw, bytes } };
  });
}

const byName = ([a]: readonly [string, string], [b]: readonly [string, string]): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));

/** undefined where the info names no key: a KMS could only be asked to guess. */
function uriOf(scheme: KmsScheme, info: Uint8Array): KeyUri | undefined {
  try {
    return keyUri(`${scheme}://${textOf(info, "a key's name")}`);
  } catch {
    return undefined;
  }
}

/** The name of the wrap under `to`. Throws SEAL_UNSUPPORTED. */
export function providerOf(to: KeyUri): string {
  const scheme = keyScheme(to);
  if (scheme === "local-rsa") throw unsupported("nothing is wrapped under local-rsa keys: they only open");
  return PROVIDERS[scheme];
}

/** The scheme of a wrap by this name; undefined: no wrap of ours. */
export const schemeCalled = (provider: string): KmsScheme | undefined => SCHEMES.get(provider);

/** Of a wrapped key that is to stand in a message. */
export function heldKey({ uri, raw, bytes }: WrappedKey): HeldKey {
  if (uri === undefined || raw !== undefined)
    throw defect("a wrapped key without its key's URI was to stand in a message");
  return { ...heldUnder(uri), bytes };
}

/** What a data key is called: its provider, a slash, and what that calls the key (of a bare AES key without what follows its name). */
export function nameOf({ provider, info, bytes }: HeldKey): string {
  const name = isBareAes({ info, bytes }) ? info.subarray(0, -AES_TAIL_BYTES) : info;
  return `${provider}/${Buffer.from(name).toString()}`;
}

/** What stands before a data key that is wrapped under this one. */
export const heldUnder = (uri: KeyUri): Omit<HeldKey, "bytes"> => ({
  provider: providerOf(uri),
  info: Buffer.from(keyName(uri)),
});
