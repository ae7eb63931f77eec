/**
 * A strict reader for the XML that S3 answers with (XML 1.0, a small part of it): elements, attributes that nobody reads, text.
 * No DOCTYPE, so no entities but the five and numbers (XML 1.0, 4.1 and 4.6), no CDATA, no text between elements. Whatever is not
 * whole to the last `>` is PROVIDER_ERROR, never a shorter answer.
 */
import { SealiftError } from "../core/error.ts";

export interface XmlElement {
  /** As written, with its prefix if it has one. */
  readonly name: string;
  /** Text of an element without children, entities resolved; else "". */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

const DEPTH_MAX = 16;
const CHARACTERS_MAX = 16 * 1024 * 1024;
/** Name and attributes; the longest that S3 writes has 70. The expression that reads them goes as deep as it is long. */
const TAG_CHARACTERS_MAX = 4096;
/** A page of 1,000 keys has about 10,000. */
const ELEMENTS_MAX = 200_000;

interface Open {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

const broken = (why: string): SealiftError =>
  new SealiftError("PROVIDER_ERROR", `not the XML that was expected: ${why}`);

export function parseXml(document: string): XmlElement {
  if (document.length > CHARACTERS_MAX) throw broken(`more than ${CHARACTERS_MAX} characters`);
  // oxlint-disable-next-line no-control-regex -- XML 1.0, 2.2: these do not stand in a document as they are
  if (/[\0-\x08\x0b\x0c\x0e-\x1f]/.test(document)) throw broken("control characters");
  const top: Open = { name: "", text: "", children: [] };
  const stack: Open[] = [top];
  let elements = 0;
  let at = afterDeclaration(document);
  for (;;) {
    const open = document.indexOf("<", at);
    const current = stack.at(-1) as Open;
    addText(current, document.slice(at, open < 0 ? document.length : open));
    if (open < 0) break;
    if (document.startsWith("<!--", open)) {
      at = afterComment(document, open);
      continue;
    }
    const close = document.indexOf(">", open);
    if (close < 0) throw broken("it ends within a tag");
    at = close + 1;
    if (document.charCodeAt(open + 1) === SLASH) {
      closeElement(stack, document.slice(open + 2, close).trimEnd());
      continue;
    }
    if (++elements > ELEMENTS_MAX) throw broken(`more than ${ELEMENTS_MAX} elements`);
    const opened = openElement(current, document.slice(open + 1, close));
    if (opened !== undefined) stack.push(opened);
    if (stack.length > DEPTH_MAX) throw broken(`nested deeper than ${DEPTH_MAX}`);
  }
  const [root, ...more] = top.children;
  if (stack.length > 1) throw broken(`it ends within <${stack.at(-1)?.name}>`);
  if (root === undefined || more.length > 0) throw broken("not exactly one outermost element");
  return root;
}

const SLASH = 47;

/** Skips a byte order mark and `<?xml ...?>`; any other `<?` or `<!` is met as a bad name. */
function afterDeclaration(document: string): number {
  const start = document.startsWith("\ufeff") ? 1 : 0;
  if (!/^<\?xml\s/.test(document.slice(start, start + 6))) return start;
  const end = document.indexOf("?>", start);
  if (end < 0) throw broken("it ends within its declaration");
  return end + 2;
}

function afterComment(document: string, open: number): number {
  const end = document.indexOf("-->", open + 4);
  if (end < 0) throw broken("it ends within a comment");
  return end + 3;
}

const TAG = /^([A-Za-z_][\w.:-]*)((?:\s+[A-Za-z_][\w.:-]*\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)$/;
const NAME = /^[A-Za-z_][\w.:-]*$/;

/** undefined for `<Name/>`, which is complete as it stands. A `>` within an attribute is legal XML and is refused all the same. */
function openElement(parent: Open, tag: string): Open | undefined {
  if (tag.length > TAG_CHARACTERS_MAX) throw broken(`a tag of more than ${TAG_CHARACTERS_MAX} characters`);
  const [, name, , empty] = NAME.test(tag) ? [tag, tag] : (TAG.exec(tag) ?? []);
  if (name === undefined) throw broken(`a tag that is none: <${tag.slice(0, 40)}>`);
  if (/\S/.test(parent.text)) throw broken(`text beside <${name}>`);
  parent.text = "";
  if (!empty) return { name, text: "", children: [] };
  parent.children.push({ name, text: "", children: [] });
  return undefined;
}

function closeElement(stack: Open[], name: string): void {
  const element = stack.pop();
  const parent = stack.at(-1);
  if (element === undefined || parent === undefined || element.name !== name) {
    throw broken(`</${name.slice(0, 40)}> closes nothing`);
  }
  parent.children.push(element);
}

/** Text is what stands in an innermost element; around elements only white space may stand. */
function addText(element: Open, raw: string): void {
  if (raw === "") return;
  if (element.children.length === 0 && element.name !== "") {
    element.text += resolved(raw);
    return;
  }
  if (/\S/.test(raw)) throw broken(`text outside the innermost elements: ${JSON.stringify(raw.trim().slice(0, 40))}`);
}

const FIVE = new Map([
  ["lt;", "<"],
  ["gt;", ">"],
  ["amp;", "&"],
  ["quot;", '"'],
  ["apos;", "'"],
]);

/** Text with its entities resolved. Throws as `parseXml` does. */
export function resolved(raw: string): string {
  if (!raw.includes("&")) return raw;
  return raw.replaceAll(/&([^;&]{0,12};?)/g, (whole, name: string) => {
    const [, hex, decimal] = /^#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));$/.exec(name) ?? [];
    const number = hex === undefined ? decimal && Number(decimal) : Number.parseInt(hex, 16);
    const text = typeof number === "number" ? character(number) : FIVE.get(name);
    if (text === undefined) throw broken(`an entity that is not resolved: ${JSON.stringify(whole)}`);
    return text;
  });
}

/** Control characters other than NUL are let through as numbers: S3 itself writes them so in keys. */
const character = (code: number): string | undefined =>
  code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? undefined : String.fromCodePoint(code);

export const child = (element: XmlElement, name: string): XmlElement | undefined =>
  element.children.find((one) => one.name === name);

export const childText = (element: XmlElement, name: string): string | undefined => child(element, name)?.text;
