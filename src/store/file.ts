/**
 * A directory as a store. It holds ledgers, and objects where no cloud is at hand.
 *
 * What an operator sees: the key `a/b` is two files in the directory `a`,
 *
 *     b@head      JSON: size, checksums, attributes, and the name of the data file. It is the object's existence.
 *     b@5f3c...   the bytes
 *
 * (names.ts spells odd keys). A put writes the data under a new random name, then the head under a temporary one, and then gives
 * the head its name: with link(2) where nothing may be replaced, which one process wins and all others see, else with rename(2).
 * A crash leaves data or `.tmp` files without a head; nothing reads them, and they may be deleted when no put is running.
 * Replacing against a pin is exact within one process; between processes only create-only is. Directories are never removed.
 */
import { createHash, randomBytes } from "node:crypto";
import { link, open, rename, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { crc32c } from "../core/crc32c.ts";
import { SealiftError } from "../core/error.ts";
import type { ByteStream, KeyRange, ListedObject, ObjectHead } from "../core/object.ts";
import { diskError, discard, inTurn, isMissing, makeDirectory, onDisk, syncDirectory, writeNew } from "./file/disk.ts";
import { HEAD, placeOf } from "./file/names.ts";
import { readSidecar, type Sidecar, writeSidecar } from "./file/sidecar.ts";
import { strangersIn } from "./file/strangers.ts";
import { type Found, walk } from "./file/walk.ts";
import { changed, checkCondition, checkPut, checksum, cut, matchesPin, notFound } from "./fit.ts";
import type { ListPage, ObjectStore, OpenObject, OpenOptions, PutOptions, PutReceipt, StoreTraits } from "./store.ts";

const TRAITS: StoreTraits = {
  scheme: "file",
  metadataBytesMax: 8192,
  metadataNameBytesMax: 1024,
  metadataValueBytesMax: 8192,
  metadataNames: "any",
  keyBytesMax: 1024,
  objectBytesMax: 8 * 1024 ** 4,
  transcodesGzip: false,
  keepsExpires: true,
  listsHeads: true,
  serverKeys: false,
};

const PAGE_OBJECTS = 1000;
const READ_BYTES = 256 * 1024;
/** A reader overtaken by this many replacements in a row gives up. */
const OVERTAKEN_MAX = 5;

export interface FileStoreOptions {
  readonly root: string;
  /** Default true: what was acknowledged survives a power cut. */
  readonly fsync?: boolean;
}

export async function openFileStore({ root, fsync = true }: FileStoreOptions): Promise<ObjectStore> {
  const path = resolve(root);
  await onDisk(path, makeDirectory(path, fsync));
  return new FileStore(path, fsync);
}

class FileStore implements ObjectStore {
  readonly traits = TRAITS;
  readonly name: string;
  readonly #root: string;
  readonly #fsync: boolean;

  constructor(root: string, fsync: boolean) {
    this.name = `file://${root}`;
    this.#root = root;
    this.#fsync = fsync;
  }

  /** The path of the object's files, without `@head`. */
  #stem(key: string): string {
    const { directories, leaf } = placeOf(key);
    return join(this.#root, ...directories, leaf);
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined> {
    signal.throwIfAborted();
    return (await onDisk(key, readSidecar(this.#stem(key) + HEAD, key)))?.head;
  }

  async open(key: string, { ifVersion, range, signal }: OpenOptions): Promise<OpenObject> {
    const stem = this.#stem(key);
    for (let attempt = 0; attempt < OVERTAKEN_MAX; attempt++) {
      signal.throwIfAborted();
      const sidecar = await onDisk(key, readSidecar(stem + HEAD, key));
      if (sidecar === undefined) throw notFound(key);
      if (ifVersion !== undefined && !matchesPin(ifVersion, sidecar.head)) throw changed(key);
      try {
        return await openData(join(dirname(stem), sidecar.data), sidecar, range, signal);
      } catch (error) {
        // Replaced between the two opens: the next head names data that is there.
        if (!isMissing(error)) throw diskError(error, key);
      }
    }
    throw new SealiftError("STORE_CUT", "the data file named by the head is gone", { object: key });
  }

  async put(key: string, body: ByteStream, options: PutOptions): Promise<PutReceipt> {
    checkPut(TRAITS, key, options);
    const stem = this.#stem(key);
    const standing = await onDisk(key, readSidecar(stem + HEAD, key));
    checkCondition(options.condition, key, standing?.head);
    await onDisk(key, makeDirectory(dirname(stem), this.#fsync));
    const version = randomBytes(12).toString("hex");
    const data = `${stem}@${version}`;
    try {
      const sums = await this.#write(data, key, body, options);
      const sidecar = sidecarOf(key, version, data, sums, options);
      await this.#publish(stem, sidecar, options.condition);
      return { head: sidecar.head, crc32c: sums.crc };
    } catch (error) {
      const kept = await readSidecar(stem + HEAD, key).catch(() => undefined);
      // Where the head was published and only what follows failed, the data belongs to it.
      if (kept?.head.version !== version) await discard(data);
      throw error;
    }
  }

  async #write(path: string, key: string, body: ByteStream, options: PutOptions): Promise<Sums> {
    const handle = await onDisk(key, open(path, "wx"));
    try {
      const sums = await pour(body, key, options, (chunk) => onDisk(key, handle.writeFile(chunk)));
      if (this.#fsync) await onDisk(key, handle.sync());
      return sums;
    } finally {
      await handle.close();
    }
  }

  async #publish(stem: string, sidecar: Sidecar, condition: PutOptions["condition"]): Promise<void> {
    const { key, version } = sidecar.head;
    const temporary = `${stem}@${version}.tmp`;
    try {
      const write = writeNew(temporary, this.#fsync, (handle) => handle.writeFile(writeSidecar(sidecar)));
      await onDisk(key, write);
      if (condition === "absent") await create(temporary, stem + HEAD, key);
      else await inTurn(stem, () => this.#replace(temporary, stem, key, condition));
    } finally {
      await discard(temporary);
    }
    if (this.#fsync) await onDisk(key, syncDirectory(dirname(stem)));
  }

  async #replace(temporary: string, stem: string, key: string, condition: PutOptions["condition"]): Promise<void> {
    const standing = await onDisk(key, readSidecar(stem + HEAD, key));
    checkCondition(condition, key, standing?.head);
    await onDisk(key, rename(temporary, stem + HEAD));
    if (standing === undefined) return;
    // The old data may only go once the new name is on the disk.
    if (this.#fsync) await onDisk(key, syncDirectory(dirname(stem)));
    await discard(join(dirname(stem), standing.data));
  }

  async *list(prefix: string, range: KeyRange, signal: AbortSignal): AsyncIterable<ListPage> {
    signal.throwIfAborted();
    let found: Found[] = [];
    for await (const one of walk(this.#root, prefix, range)) {
      signal.throwIfAborted();
      found.push(one);
      if (found.length < PAGE_OBJECTS) continue;
      yield { objects: await rowsOf(found), last: false };
      found = [];
    }
    yield { objects: await rowsOf(found), last: true };
  }

  strangers(signal: AbortSignal): AsyncIterable<ListedObject> {
    return strangersIn(this.#root, signal);
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const stem = this.#stem(key);
    await inTurn(stem, async () => {
      const standing = await onDisk(key, readSidecar(stem + HEAD, key));
      if (standing === undefined) return;
      await unlink(stem + HEAD).catch((error: unknown) => {
        if (!isMissing(error)) throw diskError(error, key);
      });
      if (this.#fsync) await onDisk(key, syncDirectory(dirname(stem)));
      await discard(join(dirname(stem), standing.data));
    });
  }

  async close(): Promise<void> {}
}

interface Sums {
  readonly crc: number;
  readonly md5: string;
}

async function pour(
  body: ByteStream,
  key: string,
  { sizeBytes, crc32c: announced, signal }: PutOptions,
  write: (chunk: Uint8Array) => Promise<void>,
): Promise<Sums> {
  const md5 = createHash("md5");
  let actualBytes = 0;
  let crc = 0;
  for await (const chunk of body) {
    signal.throwIfAborted();
    actualBytes += chunk.length;
    if (actualBytes > sizeBytes) break;
    crc = crc32c(chunk, crc);
    md5.update(chunk);
    await write(chunk);
  }
  signal.throwIfAborted();
  if (actualBytes !== sizeBytes) throw cut(key, actualBytes, sizeBytes);
  if (announced !== undefined && announced !== crc) throw checksum(key, "the body differs from its announced CRC32C");
  return { crc, md5: md5.digest("hex") };
}

function sidecarOf(key: string, version: string, data: string, sums: Sums, options: PutOptions): Sidecar {
  const { metadata, ...headers } = options.attributes;
  const attributes = { ...headers, metadata: new Map(metadata) };
  const { sizeBytes } = options;
  const seen = { key, sizeBytes, version, etag: version, lastModifiedMs: Date.now(), crc32c: sums.crc, md5: sums.md5 };
  return { data: data.slice(dirname(data).length + 1), head: { ...seen, atRest: { mode: "none" }, attributes } };
}

/** link(2) fails where the name exists: of any number of processes exactly one gets it. */
async function create(temporary: string, path: string, key: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new SealiftError("STORE_EXISTS", "an object stands there already", { object: key });
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP" && code !== "ENOSYS")
      throw diskError(error, key);
    const why = "this file system has no hard links, so it cannot promise create-only";
    throw new SealiftError("PREFLIGHT_CREATE_ONLY", why, { object: key, cause: error });
  }
}

async function openData(
  path: string,
  { head }: Sidecar,
  range: OpenOptions["range"],
  signal: AbortSignal,
): Promise<OpenObject> {
  const handle = await open(path, "r");
  const actualBytes = (await handle.stat()).size;
  if (actualBytes !== head.sizeBytes) {
    await handle.close();
    throw cut(head.key, actualBytes, head.sizeBytes);
  }
  const start = Math.min(range?.start ?? 0, head.sizeBytes);
  const end = Math.min(range?.end ?? head.sizeBytes, head.sizeBytes);
  const checked = start === 0 && end === head.sizeBytes;
  async function* body(): ByteStream {
    let crc = 0;
    try {
      for (let at = start; at < end; ) {
        signal.throwIfAborted();
        const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, end - at));
        const { bytesRead } = await onDisk(head.key, handle.read(chunk, 0, chunk.length, at));
        if (bytesRead === 0) throw cut(head.key, at, head.sizeBytes);
        at += bytesRead;
        if (checked) crc = crc32c(chunk.subarray(0, bytesRead), crc);
        yield chunk.subarray(0, bytesRead);
      }
      if (checked && crc !== head.crc32c) throw checksum(head.key, "the data file differs from its CRC32C");
    } finally {
      await handle.close();
    }
  }
  return { head, body: body(), cancel: () => handle.close() };
}

/** Heads are read together, in order; one that was removed since the walk is left out. */
async function rowsOf(found: readonly Found[]): Promise<ListPage["objects"]> {
  const heads: (ObjectHead | undefined)[] = [];
  const width = 32;
  for (let at = 0; at < found.length; at += width) {
    const some = found.slice(at, at + width).map(({ key, path }) => onDisk(key, readSidecar(path, key)));
    for (const sidecar of await Promise.all(some)) heads.push(sidecar?.head);
  }
  return heads.flatMap((head) => {
    if (head === undefined) return [];
    const { key, sizeBytes, etag, version, lastModifiedMs } = head;
    return [{ key, sizeBytes, etag, version, lastModifiedMs, head }];
  });
}
