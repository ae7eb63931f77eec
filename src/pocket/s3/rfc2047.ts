/**
 * What S3 does to metadata beyond printable ASCII ("Working with object metadata", Amazon S3 User Guide): words of RFC 2047 are
 * decoded before storing, anything not printable ASCII is returned as such words, and bytes that were sent raw have been taken
 * for Latin-1, so that raw UTF-8 comes back encoded twice. The choice between B and Q words and the length of a word follow
 * JavaMail, whose output S3's looks like (unverified against the live cloud beyond the samples in the tests).
 */

const WORD = /=\?([\w-]+)\?([BbQq])\?([^? ]*)\?=/g;
const BETWEEN_WORDS = /(=\?[\w-]+\?[BbQq]\?[^? ]*\?=)\s+(?==\?[\w-]+\?[BbQq]\?[^? ]*\?=)/g;
/** 75 characters a word (RFC 2047, section 2) without `=?UTF-8?B?` and `?=`. */
const WORD_CHARS_MAX = 63;

/** `text` is a header's value with each byte as one character. */
export function decodeWords(text: string): string {
  if (!text.includes("=?")) return text;
  return text
    .replace(BETWEEN_WORDS, "$1")
    .replace(WORD, (whole, charset: string, encoding: string, payload: string) => {
      const bytes = encoding.toUpperCase() === "B" ? Buffer.from(payload, "base64") : unquote(payload);
      try {
        return new TextDecoder(charset, { ignoreBOM: true }).decode(bytes);
      } catch {
        return whole; // A charset nobody knows: left as it was.
      }
    });
}

const unquote = (payload: string): Buffer =>
  Buffer.from(
    payload
      .replaceAll("_", " ")
      .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  );

const PRINTABLE = /^[\x20-\x7e\t]*$/;

export function encodeWords(text: string): string {
  if (PRINTABLE.test(text)) return text;
  const points = Array.from(text);
  const ascii = points.filter((point) => PRINTABLE.test(point)).length;
  return split(points, ascii > points.length - ascii ? quoteWord : base64Word).join(" ");
}

/** Halves what does not fit into one word, never inside a character. */
function split(points: readonly string[], word: (text: string) => string): string[] {
  const payload = word(points.join(""));
  const letter = word === quoteWord ? "Q" : "B";
  if (payload.length <= WORD_CHARS_MAX || points.length === 1) return [`=?UTF-8?${letter}?${payload}?=`];
  const half = Math.floor(points.length / 2);
  return [...split(points.slice(0, half), word), ...split(points.slice(half), word)];
}

const base64Word = (text: string): string => Buffer.from(text).toString("base64");

const quoteWord = (text: string): string =>
  Buffer.from(text)
    .toString("latin1")
    .replace(/[^A-Za-z0-9 ]/g, (c) => `=${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`)
    .replaceAll(" ", "_");
