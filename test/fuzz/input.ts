/** Bytes as the shapes that targets need. All of it is total: every input means something. */

/** `\uXXXX` becomes that code unit, so that lone surrogates and NUL can stand in any text. */
export function textOf(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  return text.includes("\\u") ? text.replace(/\\u([0-9a-fA-F]{4})/g, (_, hex: string) => unit(hex)) : text;
}

const unit = (hex: string): string => String.fromCharCode(Number.parseInt(hex, 16));

/** Lines of `name: value`. A line without a colon is a name without a value. */
export function pairsOf(lines: readonly string[]): [string, string][] {
  return lines.map((line) => {
    const at = line.indexOf(": ");
    return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 2)];
  });
}

/** The first line, and the others. */
export function headAndRest(text: string): [string, string[]] {
  const [first = "", ...rest] = text.split("\n");
  return [first, rest];
}

/** Numbers as an attacker writes them too: `1e309`, `-0`, `NaN`. */
export const numberOf = (text: string | undefined): number => (text === undefined ? 0 : Number(text));

export function split(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + mark.length)];
}
