/**
 * Patterns over object keys, a subset of rclone's filter patterns:
 *
 *     *    any run of characters except `/`          **   any run of characters
 *     ?    one character except `/`                  \x   the character x itself
 *     /a   from the start of the key only            a    at the start, or after any `/`
 *     a/   everything under a, same as a/**
 *
 * `[`, `]`, `{` and `}` mean something to rclone that is not carried here, so they are refused unless escaped: reading them
 * literally would select other objects than their author meant.
 */
import { SealiftError } from "./error.ts";

/** Bounds the work of one match: pattern length times key length. */
const PATTERN_CHARACTERS_MAX = 1024;

/** A character, or a wildcard: `*`, `**`, `?`. */
type Piece = { readonly literal: string } | "star" | "any" | "one";

/** Throws JOB_INVALID for patterns outside the subset. */
export function compileGlob(pattern: string): (key: string) => boolean {
  const anchored = pattern.startsWith("/");
  const body = anchored ? pattern.slice(1) : pattern;
  const pieces = parse(body.endsWith("/") ? `${body}**` : body, pattern);
  if (anchored) return (key) => matches(pieces, Array.from(key));
  // After any `/` is a pattern too: one match, where a try at each `/` would cost a pass over the key for each of them.
  const inside: readonly Piece[] = ["any", { literal: "/" }, ...pieces];
  return (key) => {
    const characters = Array.from(key);
    return matches(pieces, characters) || matches(inside, characters);
  };
}

function parse(body: string, pattern: string): Piece[] {
  const refuse = (why: string) => new SealiftError("JOB_INVALID", `pattern ${JSON.stringify(pattern)}: ${why}`);
  const characters = Array.from(body);
  if (characters.length === 0) throw refuse("is empty");
  if (characters.length > PATTERN_CHARACTERS_MAX) throw refuse(`is longer than ${PATTERN_CHARACTERS_MAX} characters`);
  const pieces: Piece[] = [];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] as string;
    if (character === "\\") {
      const escaped = characters[++at];
      if (escaped === undefined) throw refuse("ends in a lone backslash");
      pieces.push({ literal: escaped });
    } else if (character === "*") {
      let stars = 1;
      while (characters[at + 1] === "*") {
        stars++;
        at++;
      }
      if (stars > 2) throw refuse("more than two stars in a row mean nothing");
      pieces.push(stars === 2 ? "any" : "star");
    } else if (character === "?") pieces.push("one");
    else if ("[]{}".includes(character)) throw refuse(`write \\${character} for the character ${character} itself`);
    else pieces.push({ literal: character });
  }
  return pieces;
}

/** Where to go on after a dead end: the piece after a wildcard, and how much the wildcard has taken. */
interface Retreat {
  piece: number;
  at: number;
}

/**
 * Greedy, with one place to go back to for each kind of wildcard: the last `*` takes one more character until a `/`, then the
 * last `**` does. An earlier wildcard need never take more, so the work is bounded without a pattern of the wrong shape
 * becoming exponential, as a regular expression would.
 */
function matches(pieces: readonly Piece[], key: readonly string[]): boolean {
  let piece = 0;
  let at = 0;
  let star: Retreat | undefined;
  let any: Retreat | undefined;
  while (at < key.length || piece < pieces.length) {
    const wanted = pieces[piece];
    if (wanted === "any") {
      any = { piece: ++piece, at };
      star = undefined;
    } else if (wanted === "star") star = { piece: ++piece, at };
    else if (at < key.length && fits(wanted, key[at] as string)) {
      piece++;
      at++;
    } else {
      const back = retreat(star, key) ?? retreat(any, key, true);
      if (back === undefined) return false;
      if (back === any) star = undefined;
      ({ piece, at } = back);
    }
  }
  return true;
}

const fits = (wanted: Piece | undefined, character: string): boolean =>
  wanted === "one" ? character !== "/" : typeof wanted === "object" && wanted.literal === character;

function retreat(back: Retreat | undefined, key: readonly string[], acrossSlash = false): Retreat | undefined {
  if (back === undefined || back.at >= key.length) return undefined;
  if (!acrossSlash && key[back.at] === "/") return undefined;
  back.at++;
  return back;
}
