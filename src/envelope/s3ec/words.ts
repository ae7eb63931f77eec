/**
 * Undoes what S3 does to non-ASCII metadata: it takes the UTF-8 bytes as Latin-1, encodes those characters as UTF-8 again and
 * returns RFC 2047 encoded words, so that `ö` comes back as `=?UTF-8?B?w4PCtg==?=`. A store driver that decodes metadata leaves
 * nothing to do here; objects that were copied elsewhere with the encoded words in place still need it.
 */
const STARTS = /^\s*=\?utf-8\?[bq]\?/i;
const BETWEEN = /\?=\s+(?==\?utf-8\?[bq]\?)/gi;
const WORD = /=\?utf-8\?([bq])\?([^?\s]*)\?=/gi;

/** Text that does not begin with an encoded word is returned as it is. */
export function undoEncodedWords(text: string): string {
  if (!STARTS.test(text)) return text;
  const joined = text.replace(BETWEEN, "?=");
  const bytes: Buffer[] = [];
  let at = 0;
  for (const word of joined.matchAll(WORD)) {
    bytes.push(Buffer.from(joined.slice(at, word.index)), wordBytes(word[1] ?? "", word[2] ?? ""));
    at = word.index + word[0].length;
  }
  bytes.push(Buffer.from(joined.slice(at)));
  // Joined before decoding: a character may be split between two words.
  return Buffer.concat(bytes)
    .toString("utf8")
    .replace(/[\u0080-\u00ff]+/g, asUtf8);
}

function wordBytes(encoding: string, text: string): Buffer {
  if (encoding.toLowerCase() === "b") return Buffer.from(text, "base64");
  const bytes = text.replace(/_/g, " ").replace(/=([0-9a-f]{2})/gi, (_, hex: string) => {
    return String.fromCharCode(Number.parseInt(hex, 16));
  });
  return Buffer.from(bytes, "latin1");
}

/** A run that is no UTF-8 was not mangled. Guessing wrong is harmless: the KMS then refuses the context. */
function asUtf8(run: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(run, "latin1"));
  } catch {
    return run;
  }
}
