/** Directories of this machine that other users of it may not touch: what lies in them is believed. */
import { mkdir, stat } from "node:fs/promises";
import { SealiftError } from "./error.ts";

const OTHERS = 0o077;
const OTHERS_WRITE = 0o002;

/** Makes the directory (mode 0700) where it is missing. PREFLIGHT_ACCESS where it is another user's, or open to any. */
export async function ensurePrivate(path: string): Promise<void> {
  const { mode, uid } = await made(path);
  if (process.getuid && uid !== process.getuid()) throw refused(path, "belongs to another user");
  if ((mode & OTHERS) !== 0) throw refused(path, `is open to group or others (mode ${octal(mode)}): chmod 700 it`);
}

/** The same for a directory that several users may share: PREFLIGHT_ACCESS where everybody may write into it. */
export async function ensureGuarded(path: string): Promise<void> {
  const { mode } = await made(path);
  if ((mode & OTHERS_WRITE) !== 0)
    throw refused(path, `can be written by everybody (mode ${octal(mode)}): chmod o-w it`);
}

async function made(path: string) {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return await stat(path);
  } catch (error) {
    throw refused(path, `cannot be used (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`);
  }
}

const octal = (mode: number): string => (mode & 0o777).toString(8);
const refused = (path: string, why: string) => new SealiftError("PREFLIGHT_ACCESS", `directory ${path} ${why}`);
