/** Files that hold keys: mode 0600, in a directory of mode 0700, both ours, no links. */
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir } from "node:fs/promises";
import { SealiftError } from "../../core/error.ts";

/** More key files than this in one directory are not searched. */
const FILES_MAX = 1000;
const NAME = /^[\w.-]{1,64}$/;

/** The names of the key files, in order, without their suffix. Throws KEY_FILE. */
export async function namesIn(directory: string, suffix: string): Promise<string[]> {
  await checkDirectory(directory);
  const files = (await readdir(directory)).filter((file) => file.endsWith(suffix)).sort();
  const names = files.map((file) => file.slice(0, -suffix.length)).filter((name) => NAME.test(name));
  return names.slice(0, FILES_MAX);
}

/** What `read` makes of the file's bytes, which are wiped afterwards; more than `bytesMax` are cut. Throws KEY_FILE. */
export async function readPrivate<T>(
  directory: string,
  path: string,
  bytesMax: number,
  read: (bytes: Buffer) => T,
): Promise<T> {
  await checkDirectory(directory);
  // One byte more, so that what is too long does not pass for whole.
  const bytes = Buffer.alloc(bytesMax + 1);
  let file: FileHandle | undefined;
  try {
    // The open file is judged, not the path, so that nothing can be put in its place in between; a link is not followed.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const stat = await file.stat();
    if (!stat.isFile()) throw keyFileError(path, "is not a regular file");
    checkPrivate(path, stat);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    return read(bytes.subarray(0, bytesRead));
  } catch (error) {
    throw error instanceof SealiftError ? error : keyFileError(path, reason(error));
  } finally {
    bytes.fill(0);
    await file?.close();
  }
}

export async function checkDirectory(directory: string): Promise<void> {
  const stat = await lstat(directory).catch((error: unknown) => {
    throw keyFileError(directory, reason(error));
  });
  if (!stat.isDirectory()) throw keyFileError(directory, "is not a directory");
  checkPrivate(directory, stat);
}

function checkPrivate(path: string, stat: { readonly mode: number; readonly uid: number }): void {
  if ((stat.mode & 0o077) !== 0) {
    throw keyFileError(path, `is open to group or others (mode ${(stat.mode & 0o777).toString(8)})`);
  }
  if (process.getuid && stat.uid !== process.getuid()) throw keyFileError(path, "belongs to another user");
}

/** ENOENT and its kind, without Node's sentence: that one repeats the path. */
export function reason(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" ? "is missing" : `cannot be used (${code ?? "unknown error"})`;
}

export const keyFileError = (path: string, what: string) => new SealiftError("KEY_FILE", `${path} ${what}`);
