/**
 * `sealift cat`: the plaintext of one object on stdout. Nothing is written to disk.
 *
 * Formats that prove themselves only at their end must not release a byte before it. Small plaintexts wait in memory; larger
 * ones are read twice, once to verify and once to print, both pinned to one version. A store that answers the second read with
 * other bytes is caught at the end of it (exit 7): whoever cannot bear that pipes into something that can be withdrawn.
 */
import { kmsAccess, openKms, openStore } from "../compose.ts";
import { asSealiftError } from "../core/error.ts";
import type { ByteStream } from "../core/object.ts";
import { type Envelope, wrappedKeys } from "../envelope/envelope.ts";
import type { Kms } from "../kms/kms.ts";
import type { ObjectStore } from "../store/store.ts";
import { checkAsListed, pinOf } from "../transfer/pinned.ts";
import { openPlaintext } from "../transfer/read.ts";
import { ACCESS_OPTIONS, KMS_OPTIONS, type ObjectAccess, objectAccess } from "./access.ts";
import type { Command, Invocation } from "./command.ts";
import { readSeal, type Sealed } from "./inspect.ts";

const HELD_BYTES_MAX = 32 * 1024 * 1024;

export const cat: Command = {
  name: "cat",
  summary: "print the plaintext of one object",
  usage: "<url> [--unverified]",
  options: {
    ...ACCESS_OPTIONS,
    ...KMS_OPTIONS,
    unverified: {
      type: "boolean",
      means: "print while reading, before the end has proven the bytes; still exit 7 if it does not",
    },
  },
  positionalsMax: 1,
  run: async (invocation) => {
    const access = await objectAccess(invocation);
    const { store } = await openStore(access.shore);
    try {
      await printPlaintext(store, access, invocation);
      return 0;
    } catch (error) {
      throw asSealiftError(error).about(access.key);
    } finally {
      await store.close();
    }
  },
};

async function printPlaintext(store: ObjectStore, access: ObjectAccess, invocation: Invocation): Promise<void> {
  const sealed = await readSeal(store, access.key, access.envelopes, invocation.signal);
  const kms = await kmsFor(sealed, access);
  const read = () => plaintext(store, sealed, access.envelopes, kms, invocation.signal);
  try {
    const isProvenLate = sealed.envelope.verifies === "at-end" && !invocation.flags.is("unverified");
    if (!isProvenLate) await print(await read(), invocation);
    else if (sealed.head.sizeBytes <= HELD_BYTES_MAX) await print(await held(await read()), invocation);
    else {
      for await (const _chunk of await read());
      await print(await read(), invocation);
    }
  } finally {
    await Promise.allSettled(kms.map((one) => one.close()));
  }
}

/**
 * Only key services that the envelope names are opened: others may have no credentials here. Where it names several, those of key
 * files are left out when no directory is given.
 */
async function kmsFor({ seal }: Sealed, { shore, localDirectory }: ObjectAccess): Promise<readonly Kms[]> {
  const named = [...new Set(wrappedKeys(seal).map(({ scheme }) => scheme))];
  const there = named.filter((scheme) => localDirectory !== undefined || !scheme.startsWith("local"));
  const schemes = there.length > 0 ? there : named.slice(0, 1);
  return Promise.all(schemes.map((scheme) => openKms(scheme, { access: kmsAccess(shore, scheme), localDirectory })));
}

async function plaintext(
  store: ObjectStore,
  { head }: Sealed,
  envelopes: readonly Envelope[],
  kms: readonly Kms[],
  signal: AbortSignal,
): Promise<ByteStream> {
  const opened = await store.open(head.key, { ifVersion: pinOf(head), signal });
  try {
    checkAsListed(opened.head, head);
  } catch (error) {
    await opened.cancel();
    throw error;
  }
  return openPlaintext(head, opened.body, envelopes, kms, signal);
}

/** The whole plaintext, and only then the first byte of it. */
async function held(stream: ByteStream): Promise<ByteStream> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Uint8Array.from(chunk));
  return (async function* () {
    yield* chunks;
  })();
}

async function print(stream: ByteStream, { output }: Invocation): Promise<void> {
  for await (const chunk of stream) await output.bytes(chunk);
}
