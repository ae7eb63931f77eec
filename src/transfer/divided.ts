/**
 * Envelopes kept in an object beside the body (envelope.ts, Divided; S3EC: instruction files). The body's own head then shows
 * nothing, or not all: only its file tells it from a plain object, and sealing such a body once more would bury it. So the file is
 * read first and joined to the head, and everything after that goes on as if the envelope had stood there always.
 */
import { asSealiftError, SealiftError } from "../core/error.ts";
import { compareKeys, type ListedObject, type ObjectHead } from "../core/object.ts";
import type { Divided, Envelope } from "../envelope/envelope.ts";
import type { ObjectStore, OpenObject } from "../store/store.ts";
import { checkAsListed, pinOf } from "./pinned.ts";
import { isSealed, recognise } from "./recognise.ts";

/** One version of an object, by whatever saw it. */
export type Seen = Pick<ListedObject, "version" | "etag" | "sizeBytes" | "head">;

/** What is known of a key at the source, by a listing mostly: that version, that nothing stands there, or (beyond its ends) nothing. */
export type Neighbours = (key: string) => Seen | "absent" | undefined;

/** From objects that were listed without a gap, in ascending order. */
export function neighboursIn(objects: readonly ListedObject[]): Neighbours {
  const rows = new Map(objects.map((object) => [object.key, object]));
  const [first, last] = [objects.at(0)?.key, objects.at(-1)?.key];
  const covers = (key: string): boolean =>
    first !== undefined && last !== undefined && compareKeys(key, first) >= 0 && compareKeys(key, last) <= 0;
  return (key) => rows.get(key) ?? (covers(key) ? "absent" : undefined);
}

/** Keys under which the envelope of an object would be kept beside it. */
export const fileNamesOf = (key: string, envelopes: readonly Envelope[]): string[] =>
  formatsOf(envelopes).map((format) => format.fileOf(key));

function formatsOf(envelopes: readonly Envelope[]): readonly Divided[] {
  const known = formats.get(envelopes);
  if (known) return known;
  const found = [...new Set(envelopes.flatMap(({ divided = [] }) => divided))];
  formats.set(envelopes, found);
  return found;
}

const formats = new WeakMap<readonly Envelope[], readonly Divided[]>();

/** Where an object and its neighbours are. */
export interface Place {
  readonly store: ObjectStore;
  readonly prefix: string;
  readonly envelopes: readonly Envelope[];
  readonly signal: AbortSignal;
}

/** A head with its whole envelope. */
export interface Whole {
  readonly head: ObjectHead;
  /** Of the file that the envelope, or a part of it, came from. */
  readonly file?: ObjectHead | undefined;
}

export const NOTE_FILE =
  "holds the envelope of another object only, which is written beside that object's body: not copied";

interface EnvelopeFile {
  readonly head: ObjectHead;
  readonly bytes: Uint8Array;
}

/** The neighbours of one object, for one try: each file is read once, so that all that is decided is decided from the same bytes. */
export class Nearby {
  readonly #place: Place;
  readonly #neighbours: Neighbours | undefined;
  readonly #formats: readonly Divided[];
  readonly #files = new Map<string, Promise<EnvelopeFile | undefined>>();

  constructor(place: Place, neighbours: Neighbours | undefined) {
    this.#place = place;
    this.#neighbours = neighbours;
    this.#formats = formatsOf(place.envelopes);
  }

  /** By its name it is a file; what to think of it where no body waits for it, its reader says. */
  isNamedAsFile(key: string): boolean {
    return this.#formats.some((format) => format.bodyOf(key) !== undefined);
  }

  /** Throws SEAL_MALFORMED or SEAL_UNSUPPORTED where the file beside it is not this body's envelope, in whole or in part. */
  async whole(head: ObjectHead): Promise<Whole> {
    for (const format of this.#formats) {
      if (!format.awaits(head)) continue;
      const name = format.fileOf(head.key);
      const file = await this.#read(name, format);
      if (file) return { head: joined(format, head, file), file: file.head };
    }
    return { head };
  }

  /**
   * Reads the file that a listing has shown beside `key`, before the body is opened: a body that waits with its connection open for
   * a request of its own would, with enough of them, wait for ever. Whether the file is needed, and is one, `whole` says.
   */
  async foresee(key: string): Promise<void> {
    for (const format of this.#formats) {
      const name = format.fileOf(key);
      if (typeof this.#neighbours?.(name) === "object") await this.#read(name, format).catch(() => undefined);
    }
  }

  /**
   * The object is nothing but the envelope of another one, whose body waits for it: what it says goes with the body, and a copy of it
   * would say it twice. Throws SEAL_MALFORMED or SEAL_UNSUPPORTED where the body waits and the file is none.
   */
  async servesBody(listed: ListedObject): Promise<boolean> {
    const { key, sizeBytes } = listed;
    for (const format of this.#formats) {
      const name = format.bodyOf(key);
      if (name === undefined || sizeBytes > format.fileBytesMax) continue;
      const body = await this.#headOf(name);
      if (!body || !format.awaits(body)) continue;
      const file = await this.#read(key, format, listed);
      if (!file || this.#isSealedItself(file.head)) continue;
      joined(format, body, file);
      return true;
    }
    return false;
  }

  async #headOf(key: string): Promise<ObjectHead | undefined> {
    const { store, prefix, signal } = this.#place;
    const row = this.#neighbours?.(key);
    // What lies outside of the job's prefix may be nobody's business here.
    if (row === "absent" || !key.startsWith(prefix)) return undefined;
    return row?.head ?? (await store.head(key, signal));
  }

  #isSealedItself(head: ObjectHead): boolean {
    try {
      return isSealed(recognise(head, new Uint8Array(), this.#place.envelopes).seal);
    } catch {
      return false;
    }
  }

  #read(name: string, format: Divided, row = this.#neighbours?.(name)): Promise<EnvelopeFile | undefined> {
    const known = this.#files.get(name);
    if (known) return known;
    const reading = this.#readAnew(name, format, row);
    this.#files.set(name, reading);
    return reading;
  }

  /** As it was listed, where it was; else as it is now, which one answer says whole. */
  async #readAnew(
    name: string,
    { fileBytesMax }: Divided,
    row: ReturnType<Neighbours>,
  ): Promise<EnvelopeFile | undefined> {
    const { store, signal } = this.#place;
    if (row === "absent" || Buffer.byteLength(name) > store.traits.keyBytesMax) return undefined;
    let opened: OpenObject;
    try {
      opened = await store.open(name, { ifVersion: row && pinOf(row), signal });
    } catch (error) {
      // One that was listed and is gone leaves a body that nobody may take for plain.
      if (!row && asSealiftError(error).code === "STORE_NOT_FOUND") return undefined;
      throw about(name, asSealiftError(error));
    }
    try {
      if (row) checkAsListed(opened.head, row);
      const { sizeBytes } = opened.head;
      if (sizeBytes > fileBytesMax)
        throw new SealiftError("SEAL_MALFORMED", `${sizeBytes} bytes, where an envelope has ${fileBytesMax} at most`);
      const chunks: Uint8Array[] = [];
      for await (const chunk of opened.body) chunks.push(Uint8Array.from(chunk));
      return { head: opened.head, bytes: Buffer.concat(chunks) };
    } catch (error) {
      await opened.cancel().catch(() => undefined);
      throw about(name, asSealiftError(error));
    }
  }
}

function joined(format: Divided, head: ObjectHead, { head: { key }, bytes }: EnvelopeFile): ObjectHead {
  try {
    return format.join(head, bytes);
  } catch (error) {
    throw about(key, asSealiftError(error));
  }
}

/** The object that fails is the body; what is wrong is its file. */
const about = (file: string, error: SealiftError): SealiftError => {
  const { code, message, retry, retryAfterMs } = error;
  const said = `${message} (read from ${JSON.stringify(file)})`;
  return new SealiftError(code, said, { cause: error, retry, retryAfterMs });
};
