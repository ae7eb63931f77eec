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

/**
 * All places of the pattern that the key may have reached so far, character by character: pattern length times key length at the
 * most, where going back to one wildcard of several would cost another factor of the key's length.
 */
function matches(pieces: readonly Piece[], key: readonly string[]): boolean {
  let reached = new Uint8Array(pieces.length + 1);
  let next = new Uint8Array(pieces.length + 1);
  reach(pieces, reached, 0);
  for (const character of key) {
    let alive = false;
    for (let place = 0; place < pieces.length; place++) {
      if (reached[place] === 0) continue;
      const to = after(pieces[place] as Piece, character, place);
      if (to === undefined) continue;
      reach(pieces, next, to);
      alive = true;
    }
    if (!alive) return false;
    [reached, next] = [next, reached];
    next.fill(0);
  }
  return reached[pieces.length] === 1;
}

/** The place behind a character; undefined: it does not fit. */
function after(piece: Piece, character: string, place: number): number | undefined {
  if (piece === "any") return place;
  if (typeof piece === "object") return piece.literal === character ? place + 1 : undefined;
  if (character === "/") return undefined;
  return piece === "star" ? place : place + 1;
}

/** Wildcards may stand for nothing: whoever is before one is behind it too. */
function reach(pieces: readonly Piece[], places: Uint8Array, place: number): void {
  for (let at = place; places[at] === 0; at++) {
    places[at] = 1;
    if (pieces[at] !== "star" && pieces[at] !== "any") return;
  }
}
