/** The little XML that S3 speaks: written by hand, read by pattern (the documents are flat and small). */

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** Control characters go out as references, as S3 writes them, although XML 1.0 readers may refuse them. */
// oxlint-disable-next-line no-control-regex -- control characters are legal in S3 keys
const SPECIAL = /[&<>"\u0000-\u001f\u007f]/g;

const escapeXml = (text: string): string =>
  SPECIAL.test(text) ? text.replace(SPECIAL, (c) => ENTITIES[c] ?? `&#x${c.charCodeAt(0).toString(16)};`) : text;

const unescapeXml = (text: string): string =>
  text.replace(/&(?:#x([0-9a-fA-F]{1,6})|#(\d{1,7})|(\w+));/g, (whole, hex?: string, dec?: string, name?: string) => {
    if (name !== undefined) return NAMED[name] ?? whole;
    const point = hex === undefined ? Number(dec) : Number.parseInt(hex, 16);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });

/** `<name>text</name>`; nothing where there is no text. */
export const element = (name: string, text: string | number | boolean | undefined): string =>
  text === undefined ? "" : `<${name}>${typeof text === "string" ? escapeXml(text) : text}</${name}>`;

export const document = (root: string, inner: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</${root}>`;

/** The inner text of every `<name>` in order, still escaped. */
export const innerOf = (xml: string, name: string): string[] =>
  [...xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>([\\s\\S]*?)</${name}>`, "g"))].map((match) => match[1] ?? "");

/** The text of the first `<name>`. */
export function textOf(xml: string, name: string): string | undefined {
  const [inner] = innerOf(xml, name);
  return inner === undefined ? undefined : unescapeXml(inner);
}
