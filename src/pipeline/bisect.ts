/**
 * A key in the middle of a range of keys that nobody has listed yet, found by asking for single keys. Stores list forwards only, so
 * the end of a range is found by bisection: first the place where its keys begin to differ, then the characters that stand there.
 * Works on code points, whose order is that of UTF-8 bytes (core/object.ts, compareKeys), so every answer is a valid key.
 */
import { compareKeys, type KeyRange } from "../core/object.ts";

/** The first key in (after, until]. */
export type FirstKey = (range: KeyRange) => Promise<string | undefined>;

const CODE_POINT_MAX = 0x10ffff;
const ASCII_MAX = 0x7f;
const isSurrogate = (point: number): boolean => point >= 0xd800 && point <= 0xdfff;

/**
 * A key with at least one key of the range at or before it and at least one behind it; undefined where no such key is found
 * (fewer than two keys, or keys that are each the beginning of the next). About 20 questions for keys in ASCII. The middle is that
 * of the characters, not of the keys: a heavy half is split again by whoever lists it.
 */
export async function middleOf(range: KeyRange, first: FirstKey): Promise<string | undefined> {
  const begin = await first(range);
  if (begin === undefined) return undefined;
  const points = Array.from(begin, (character) => character.codePointAt(0) ?? 0);
  const place = await branchOf(points, range, first);
  if (place === undefined) return undefined;
  const stem = String.fromCodePoint(...points.slice(0, place));
  const low = points[place] ?? 0;
  const high = await lastCharacter(stem, low, range, first);
  const at = stem + String.fromCodePoint(middle(low, high));
  return (await beyond(at, range, first)) === undefined ? undefined : at;
}

/** Between a character and a later one that both stand in keys: later than the first, so that its keys fall before. */
function middle(low: number, high: number): number {
  const point = Math.ceil((low + high) / 2);
  return isSurrogate(point) ? Math.min(high, 0xe000) : point;
}

/** The first key of the range behind `at`. */
async function beyond(at: string, range: KeyRange, first: FirstKey): Promise<string | undefined> {
  if (range.until !== undefined && compareKeys(at, range.until) >= 0) return undefined;
  return first({ after: at, until: range.until });
}

/** The first place at which some later key has a later character than `points`; all keys of the range agree before it. */
async function branchOf(points: readonly number[], range: KeyRange, first: FirstKey): Promise<number | undefined> {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const place = (low + high) >> 1;
    if (await branchesBy(place)) high = place;
    else low = place + 1;
  }
  return low < points.length ? low : undefined;

  /** Growing `place` only lowers the key that is asked about: once there is a key behind it, there is one for every later place. */
  async function branchesBy(place: number): Promise<boolean> {
    const next = following(points[place] ?? 0);
    // No character is later than the last: whatever branches here or before does so before.
    if (next === undefined) return place > 0 && branchesBy(place - 1);
    const at = String.fromCodePoint(...points.slice(0, place), next);
    return (await beyond(at, range, first)) !== undefined;
  }
}

const following = (point: number): number | undefined =>
  point === CODE_POINT_MAX ? undefined : isSurrogate(point + 1) ? 0xe000 : point + 1;

/** The last character that stands behind `stem`, or close to it. */
async function lastCharacter(stem: string, from: number, range: KeyRange, first: FirstKey): Promise<number> {
  const place = Array.from(stem).length;
  let low = from;
  let high = CODE_POINT_MAX;
  // Most names are ASCII: one question spares a dozen.
  for (let probe = from < ASCII_MAX ? ASCII_MAX : halfway(low, high); low < high; probe = halfway(low, high)) {
    const key = await beyond(stem + String.fromCodePoint(probe), range, first);
    const found = key?.startsWith(stem) ? Array.from(key)[place]?.codePointAt(0) : undefined;
    if (found !== undefined && found > low) low = Math.max(found, probe);
    else if (found === undefined) high = isSurrogate(probe - 1) ? 0xd7ff : probe - 1;
    else return low;
  }
  return low;
}

function halfway(low: number, high: number): number {
  const point = Math.ceil((low + high) / 2);
  if (!isSurrogate(point)) return point;
  return high >= 0xe000 ? 0xe000 : 0xd7ff;
}
