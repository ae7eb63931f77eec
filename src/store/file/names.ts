/**
 * Keys as paths. Every segment of the key (between slashes) is spelled with `A-Z a-z 0-9 _ . -` and `%XX` for all other bytes:
 *
 *     a/b c          a/b%20c@head
 *     a/             a/%@head              an empty segment is `%`, which no byte can be spelled as
 *     ../.           %2E%2E/%2E@head
 *     <130 chars>/x  <120 chars>~/<10 chars>/x@head
 *
 * File systems end names at 255 bytes, so a segment spelled with 120 characters or more is cut where it first reaches them, and
 * goes on inside a directory `<piece>~` even when nothing is left of it. So all keys that share those 120 characters are inside
 * that one directory and none is beside it: the tree in name order is the keys in byte order.
 *
 * "Binary" strings here hold one byte of UTF-8 in each character: JavaScript's `<` on them is byte order.
 */
const PIECE_CHARS = 120;
const CONTINUES = "~";
export const HEAD = "@head";

export const binary = (key: string): string => Buffer.from(key, "utf8").toString("latin1");
export const unbinary = (bytes: string): string => Buffer.from(bytes, "latin1").toString("utf8");

export interface Place {
  /** Below the root, outermost first. */
  readonly directories: readonly string[];
  /** `<leaf>@head` and `<leaf>@<random>` are the object's two files. */
  readonly leaf: string;
}

export function placeOf(key: string): Place {
  const directories: string[] = [];
  let leaf = "";
  const segments = binary(key).split("/");
  for (const [index, segment] of segments.entries()) {
    const { pieces, rest } = cutSegment(segment);
    for (const piece of pieces) directories.push(piece + CONTINUES);
    if (index < segments.length - 1) directories.push(rest);
    else leaf = rest;
  }
  return { directories, leaf };
}

function cutSegment(segment: string): { pieces: string[]; rest: string } {
  const pieces: string[] = [];
  let rest = "";
  for (const byte of segment) {
    rest += spellByte(byte);
    if (rest.length < PIECE_CHARS) continue;
    pieces.push(rest);
    rest = "";
  }
  return { pieces, rest: whole(rest) };
}

/** Spellings that mean something else to a file system, or nothing at all. */
const whole = (spelled: string): string =>
  spelled === "" ? "%" : spelled === "." ? "%2E" : spelled === ".." ? "%2E%2E" : spelled;

const spellByte = (byte: string): string =>
  /[A-Za-z0-9_.-]/.test(byte) ? byte : `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;

/** One name in a directory, as the part of the keys that it adds (binary). */
export interface Entry {
  readonly kind: "object" | "directory";
  readonly name: string;
  /** Ends in `/` for a segment's directory. All keys below it begin with it; an object's key ends with it. */
  readonly adds: string;
}

/** undefined: not a name that `placeOf` makes (data, temporary files, strangers). */
export function entryOf(name: string, isDirectory: boolean): Entry | undefined {
  if (!isDirectory) {
    const adds = name.endsWith(HEAD) ? unspell(name.slice(0, -HEAD.length)) : undefined;
    return adds === undefined ? undefined : { kind: "object", name, adds };
  }
  if (!name.endsWith(CONTINUES)) {
    const adds = unspell(name);
    return adds === undefined ? undefined : { kind: "directory", name, adds: `${adds}/` };
  }
  const adds = unspell(name.slice(0, -1));
  return adds === undefined || name.length <= PIECE_CHARS ? undefined : { kind: "directory", name, adds };
}

/** `<leaf>@<version>`, and the same with `.tmp`: an object's bytes, or what an interrupted put has left. */
export function isData(name: string): boolean {
  const [, leaf] = /^(.*)@[0-9a-f]{24}(?:\.tmp)?$/.exec(name) ?? [];
  return leaf !== undefined && unspell(leaf) !== undefined;
}

function unspell(spelled: string): string | undefined {
  if (spelled === "%") return "";
  if (!/^(?:[A-Za-z0-9_.-]|%[0-9A-F]{2})+$/.test(spelled)) return undefined;
  const bytes = spelled.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  // A second spelling of the same bytes would list a key twice.
  return whole(bytes.replace(/[^]/g, spellByte)) === spelled ? bytes : undefined;
}
