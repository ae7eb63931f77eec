/**
 * User metadata as text in HTTP headers. On the wire a value is visible ASCII; everything else stands in encoded words (RFC 2047,
 * UTF-8 and base64), which S3 decodes before it stores and encodes when it returns (S3 User Guide, "Working with object
 * metadata"; unverified against the live service). Older writers sent raw UTF-8, which S3 took for Latin-1 and encoded a second
 * time: reading undoes that as the official encryption clients do. A value that would not survive its own way back is refused.
 */
import { SealiftError } from "../../core/error.ts";

export const META = "x-amz-meta-";

const unfit = (why: string): SealiftError => new SealiftError("METADATA_UNFIT", why);

/**
 * Needs no words. S3 never returns such a text in words, so words that hold one are themselves the text: that is how a value that
 * only looks encoded (`=?UTF-8?Q?no?=`) keeps its form on servers that decode what is written and on those that do not.
 */
const isPlain = (text: string): boolean => VISIBLE_ASCII.test(text) && !ENCODED_WORD.test(text);

const VISIBLE_ASCII = /^[!-~](?:[ -~]*[!-~])?$/;
const ENCODED_WORD = /=\?[^?\s]+\?[BbQq]\?[^?\s]*\?=/;

/** The header value that reads back as `text`. Throws METADATA_UNFIT where there is none. */
export function headerOf(text: string): string {
  // Nearly every value: there is nothing in it that anybody could encode or decode.
  if (text === "" || (VISIBLE_ASCII.test(text) && !text.includes("=?"))) return text;
  if (/\p{Cc}|\p{Surrogate}/u.test(text)) throw unfit("control characters cannot be carried in a header");
  if (text.startsWith(" ") || text.endsWith(" ")) throw unfit("spaces at the ends are lost in a header");
  const header = isPlain(text) ? text : encodedWords(text);
  const decodedByServer = VISIBLE_ASCII.test(text) ? text : header;
  if (textOf(header) !== text || textOf(decodedByServer) !== text) {
    throw unfit("the value would come back as another one");
  }
  return header;
}

/** RFC 2047, 2: an encoded word has at most 75 characters, 12 of which are `=?UTF-8?B?` and `?=`. */
const WORD_BYTES_MAX = 45;

/** Split between characters, as RFC 2047 (5) demands. */
function encodedWords(text: string): string {
  const words: string[] = [];
  let word = "";
  for (const character of text) {
    if (Buffer.byteLength(word) + Buffer.byteLength(character) > WORD_BYTES_MAX) {
      words.push(word);
      word = "";
    }
    word += character;
  }
  words.push(word);
  return words.map((one) => `=?UTF-8?B?${Buffer.from(one).toString("base64")}?=`).join(" ");
}

/** The text of a header value, itself given as one character a byte. */
export function textOf(header: string): string {
  const words = header.includes("=?") ? decodedWords(header) : header;
  return /[\x80-\xff]/.test(words) ? words.replaceAll(/[\x80-\xff]+/g, undoubled) : words;
}

const RUN = /=\?[\w-]+\?[BbQq]\?[^?\s]*\?=(?:\s*=\?[\w-]+\?[BbQq]\?[^?\s]*\?=)*/g;
const WORD = /=\?([\w-]+)\?([BbQq])\?([^?\s]*)\?=/g;

/** Neighbouring words are joined as bytes before they are decoded: writers exist that split within a character. */
const decodedWords = (header: string): string =>
  header.replaceAll(RUN, (run) => {
    const pieces: Buffer[] = [];
    for (const [, name = "", encoding = "", payload = ""] of run.matchAll(WORD)) {
      if (!/^(?:utf-8|us-ascii)$/i.test(name)) return run;
      pieces.push(encoding.toLowerCase() === "b" ? Buffer.from(payload, "base64") : unquoted(payload));
    }
    const text = utf8(Buffer.concat(pieces)) ?? run;
    return isPlain(text) ? run : text;
  });

/** RFC 2047, 4.2. */
const unquoted = (payload: string): Buffer =>
  Buffer.from(
    payload
      .replaceAll("_", " ")
      .replaceAll(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  );

const undoubled = (run: string): string => utf8(Buffer.from(run, "latin1")) ?? run;

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
