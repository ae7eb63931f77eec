/** The tree in key order, entering only directories that can hold keys of the range. */
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { SealiftError } from "../../core/error.ts";
import type { KeyRange } from "../../core/object.ts";
import { binary, type Entry, entryOf, unbinary } from "./names.ts";

/** Names of one directory held at a time; a directory with more is read again for the next ones. */
const NAMES_MAX = 50_000;

/** All in binary, as in names.ts. */
interface Span {
  readonly prefix: string;
  readonly after: string | undefined;
  readonly until: string | undefined;
}

export interface Found {
  readonly key: string;
  /** Of the head file. */
  readonly path: string;
}

export async function* walk(
  root: string,
  prefix: string,
  range: KeyRange,
  namesMax = NAMES_MAX,
): AsyncGenerator<Found, void> {
  const bytes = (key: string | undefined) => (key === undefined ? undefined : binary(key));
  yield* descend(root, "", { prefix: binary(prefix), after: bytes(range.after), until: bytes(range.until) }, namesMax);
}

async function* descend(path: string, base: string, span: Span, namesMax: number): AsyncGenerator<Found, void> {
  let beyond: string | undefined;
  for (;;) {
    const batch = await firstEntries(path, base, span, beyond, namesMax);
    for (const entry of batch) {
      const inner = join(path, entry.name);
      if (entry.kind === "directory") yield* descend(inner, base + entry.adds, span, namesMax);
      else yield { key: unbinary(base + entry.adds), path: inner };
    }
    if (batch.length < namesMax) return;
    beyond = batch.at(-1)?.adds;
  }
}

/** The first `namesMax` entries of the span after `beyond`, in order. */
async function firstEntries(
  path: string,
  base: string,
  span: Span,
  beyond: string | undefined,
  namesMax: number,
): Promise<Entry[]> {
  let entries: Entry[] = [];
  for await (const { name, isDirectory } of namesOf(path)) {
    const entry = entryOf(name, isDirectory);
    if (entry === undefined || (beyond !== undefined && entry.adds <= beyond)) continue;
    if (!mayHold(entry, base + entry.adds, span)) continue;
    entries.push(entry);
    if (entries.length >= namesMax * 2) entries = sorted(entries).slice(0, namesMax);
  }
  return sorted(entries).slice(0, namesMax);
}

const sorted = (entries: Entry[]): Entry[] => entries.sort((a, b) => (a.adds < b.adds ? -1 : a.adds > b.adds ? 1 : 0));

function mayHold(entry: Entry, start: string, { prefix, after, until }: Span): boolean {
  if (until !== undefined && start > until) return false;
  if (entry.kind === "object") return start.startsWith(prefix) && (after === undefined || start > after);
  if (!start.startsWith(prefix) && !prefix.startsWith(start)) return false;
  return after === undefined || start > after || after.startsWith(start);
}

export async function* namesOf(path: string): AsyncGenerator<{ name: string; isDirectory: boolean }, void> {
  try {
    for await (const found of await opendir(path, { bufferSize: 512 })) {
      yield { name: found.name, isDirectory: found.isDirectory() };
    }
  } catch (error) {
    // Directories are never removed: one that cannot be read is a broken disk or a lost mount, not an empty one.
    throw new SealiftError("LIST_BROKEN", `cannot read ${path}: ${String(error)}`, { cause: error });
  }
}
