/**
 * `sealift/reader`: the plaintext of one object, for applications that read what was moved. It reads every format and wrap that
 * sealift does, also what has never been moved, with the credentials of whoever calls it; it writes nothing anywhere.
 *
 *     import { open } from "sealift/reader";
 *     const text = await open("gs://bucket/report.csv");
 *     for await (const chunk of text) process.stdout.write(chunk);
 */
import { Readable } from "node:stream";
import { type Budgets, kmsAccess, openKms, openStore, processBudgets } from "./compose.ts";
import { envelopesWith, type FormatOptions } from "./compose/envelopes.ts";
import { parseShore, parseTink } from "./config/job.ts";
import { parseStoreUrl } from "./config/url.ts";
import { asSealiftError, SealiftError } from "./core/error.ts";
import type { Shore } from "./core/job.ts";
import type { ByteStream } from "./core/object.ts";
import { wrappedKeys } from "./envelope/envelope.ts";
import type { Kms } from "./kms/kms.ts";
import { release } from "./transfer/release.ts";
import { readSeal, type Sealed } from "./transfer/sealed.ts";

/** How to reach the object and its key: the fields of a side in a job file, but for its URL. Secrets are given as references. */
export interface OpenOptions extends Omit<Shore, "url">, Omit<FormatOptions, "esdk" | "esdkKeys"> {
  /** Directory of local:// (NAME.key) and local-rsa:// (NAME.pem) keys. */
  readonly keyDirectory?: string | undefined;
  /** The object's key, where the URL names only its bucket or directory. */
  readonly object?: string | undefined;
  /**
   * Let bytes out as they are read. Without it no byte of a format that proves itself only at its end comes before that end: objects
   * of up to 32 MiB wait in memory, larger ones are read twice.
   */
  readonly unverified?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Resolves when the object is known to be there and how it is sealed; its data key is opened when the first byte is asked for.
 * Errors, here and of the stream, have a `code` (README, "Error codes"): STORE_NOT_FOUND, SEAL_MALFORMED, KMS_CANNOT_OPEN, ...
 * A stream that ends without one has given the whole plaintext, and, unless `unverified`, nothing that was not proven.
 */
export async function open(url: string, options: OpenOptions = {}): Promise<Readable> {
  const { keyDirectory, object = "", unverified = false, signal, ...more } = options;
  const { instructionSuffix, tink, tinkKeysets, esdkContext, ...access } = more;
  const where = parseStoreUrl(url);
  const root = where.scheme === "file" ? url : `${where.scheme}://${where.bucket}/`;
  const shore = parseShore({ ...access, url: root }, "options");
  const key = where.prefix + object;
  if (key === "") throw new SealiftError("JOB_INVALID", `${url} names no object`);
  const formats = { instructionSuffix, tink: tink && parseTink(tink, "options.tink"), tinkKeysets, esdkContext };
  const place = { shore, key, localDirectory: keyDirectory, formats };
  const opened = await openObject(place, { unverified, signal: signal ?? new AbortController().signal });
  // As bytes and not as objects: a stream's buffer is counted in bytes, and empty chunks mean nothing.
  const stream = Readable.from(opened.body, { objectMode: false });
  stream.once("close", () => void opened.close());
  return stream;
}

/** One object, and how to reach it and its key. */
export interface ObjectPlace {
  readonly shore: Shore;
  readonly key: string;
  readonly localDirectory?: string | undefined;
  readonly formats: FormatOptions;
}

export interface OpenedObject {
  /** The plaintext. The data key is opened when its first byte is asked for. */
  readonly body: ByteStream;
  close(): Promise<void>;
}

interface ReadOptions {
  readonly unverified: boolean;
  readonly signal: AbortSignal;
  readonly budgets?: Budgets | undefined;
}

export async function openObject(
  { shore, key, localDirectory, formats }: ObjectPlace,
  { unverified, signal, budgets = processBudgets() }: ReadOptions,
): Promise<OpenedObject> {
  const opened: { close(): Promise<void> }[] = [];
  const close = async () => void (await Promise.allSettled(opened.map((one) => one.close())));
  try {
    const { store } = await openStore(shore, budgets);
    opened.push(store);
    const envelopes = envelopesWith(formats);
    const sealed = await readSeal(store, key, envelopes, signal);
    const kms = await kmsFor(sealed, shore, localDirectory, budgets);
    opened.push(...kms);
    return { body: named(key, release({ store, sealed, envelopes, kms, unverified, signal })), close };
  } catch (error) {
    await close();
    throw asSealiftError(error).about(key);
  }
}

async function* named(key: string, body: ByteStream): ByteStream {
  try {
    yield* body;
  } catch (error) {
    throw asSealiftError(error).about(key);
  }
}

/**
 * Only the key services that the envelope names are opened: others may have no credentials here. Where it names several, those of key
 * files are left out when no directory is given.
 */
async function kmsFor(
  { seal }: Sealed,
  shore: Shore,
  localDirectory: string | undefined,
  budgets: Budgets,
): Promise<readonly Kms[]> {
  const named = [...new Set(wrappedKeys(seal).map(({ scheme }) => scheme))];
  const there = named.filter((scheme) => localDirectory !== undefined || !scheme.startsWith("local"));
  const schemes = there.length > 0 ? there : named.slice(0, 1);
  const opened: Kms[] = [];
  try {
    for (const scheme of schemes)
      opened.push(await openKms(scheme, { access: kmsAccess(shore, scheme), localDirectory }, budgets));
    return opened;
  } catch (error) {
    await Promise.allSettled(opened.map((one) => one.close()));
    throw error;
  }
}
