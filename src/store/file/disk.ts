/** Disk operations that survive a power cut, and what their failures mean. */
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { type Code, SealiftError } from "../../core/error.ts";

const MEANING: Readonly<Record<string, Code>> = {
  EACCES: "ACCESS_DENIED",
  EPERM: "ACCESS_DENIED",
  EROFS: "ACCESS_DENIED",
  ENAMETOOLONG: "NAME_UNFIT",
  EFBIG: "TOO_LARGE",
};

/** A failure of the disk as a SealiftError; a full or broken disk is worth another try. */
export function diskError(error: unknown, key: string): SealiftError {
  if (error instanceof SealiftError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new SealiftError(MEANING[code ?? ""] ?? "PROVIDER_ERROR", message, { object: key, cause: error });
}

export async function onDisk<T>(key: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw diskError(error, key);
  }
}

export const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENOENT";

/** For clean-up: what is left over is invisible, so failing to remove it is no failure. */
export const discard = (path: string): Promise<void> => unlink(path).catch(() => {});

/** A new name in a directory is only safe once the directory itself is written. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes `path` and what is missing above it, and writes down each new name. */
export async function makeDirectory(path: string, fsync: boolean): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined || !fsync) return;
  for (let at = path; ; at = dirname(at)) {
    await syncDirectory(dirname(at));
    if (at === first || at === dirname(at)) return;
  }
}

/** Writes a file that must not exist. The caller discards it where `fill` fails. */
export async function writeNew(path: string, fsync: boolean, fill: (handle: FileHandle) => Promise<void>) {
  const handle = await open(path, "wx");
  try {
    await fill(handle);
    if (fsync) await handle.sync();
  } finally {
    await handle.close();
  }
}

const turns = new Map<string, Promise<unknown>>();

/** One at a time for each path, within this process. */
export async function inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
  const mine = (turns.get(path) ?? Promise.resolve()).then(work, work);
  turns.set(path, mine);
  try {
    return await mine;
  } finally {
    if (turns.get(path) === mine) turns.delete(path);
  }
}
