/**
 * What lies in a directory and is no part of any object: files of others, which no listing shows. A directory is a store only as far
 * as this store has written it (names.ts); the data of a put that did not end is left over, and no stranger.
 */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { ListedObject } from "../../core/object.ts";
import { isMissing, onDisk } from "./disk.ts";
import { entryOf, isData } from "./names.ts";
import { namesOf } from "./walk.ts";

/** As the objects that somebody may have taken them for: keys are paths, those of directories that cannot be entered end in `/`. */
export async function* strangersIn(root: string, signal: AbortSignal): AsyncGenerator<ListedObject, void> {
  const ahead = [""];
  for (let base = ahead.pop(); base !== undefined; base = ahead.pop()) {
    for await (const { name, isDirectory } of namesOf(join(root, base))) {
      signal.throwIfAborted();
      const entry = entryOf(name, isDirectory);
      if (entry?.kind === "directory") ahead.push(`${base}${name}/`);
      if (entry !== undefined || (!isDirectory && isData(name))) continue;
      const found = await seen(root, base + name);
      if (found) yield isDirectory ? { ...found, key: `${found.key}/` } : found;
    }
  }
}

async function seen(root: string, path: string): Promise<ListedObject | undefined> {
  try {
    const { size, mtimeMs } = await lstat(join(root, path));
    return { key: path, sizeBytes: size, etag: "", lastModifiedMs: Math.floor(mtimeMs) };
  } catch (error) {
    if (isMissing(error)) return undefined;
    return onDisk(path, Promise.reject(error));
  }
}
