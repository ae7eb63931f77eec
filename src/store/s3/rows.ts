/**
 * The rows of a listing, cut out of its XML by hand: a page of 1,000 keys has 6,000 elements, and a tree of them costs more than
 * everything else that is done for the page. Only what S3 and its like write row after row is read here, `<Contents>` without
 * attributes and in them elements of text alone or of such elements; anything else, and anything that looks broken, is left to the
 * strict reader (wire/xml.ts), which has the last word.
 */
/** What is read of a row. */
export interface Row {
  Key?: string;
  Size?: string;
  ETag?: string;
  LastModified?: string;
  StorageClass?: string;
}

export const isRead = (name: string): name is keyof Row =>
  name === "Key" || name === "Size" || name === "ETag" || name === "LastModified" || name === "StorageClass";

export interface ScannedRows {
  /** In their order; text as it stands, entities not resolved. */
  readonly rows: readonly Row[];
  /** The document with one empty `<Contents/>` in the place of its rows. */
  readonly rest: string;
}

/** What XML 1.0 (2.2) does not hold as it stands. */
// oxlint-disable-next-line no-control-regex -- these are what is looked for
const CONTROLS = /[\0-\x08\x0b\x0c\x0e-\x1f]/;

const OPEN = "<Contents>";
const CLOSE = "</Contents>";
/** Every row has Key, LastModified, ETag and Size, most an Owner with two of its own. */
const FIELDS_MAX = 64;

/** undefined: not in the form that is read here. */
export function scanRows(document: string): ScannedRows | undefined {
  const begin = document.indexOf(OPEN);
  if (begin < 0 || CONTROLS.test(document)) return undefined;
  const rows: Row[] = [];
  let at = begin;
  while (document.startsWith(OPEN, at)) {
    const row: Row = {};
    at = scanFields(document, at + OPEN.length, row);
    if (at < 0 || !document.startsWith(CLOSE, at)) return undefined;
    at += CLOSE.length;
    rows.push(row);
  }
  const [before, behind] = [document.slice(0, begin), document.slice(at)];
  // Rows that stand apart, in a comment, or are spelled otherwise.
  if (before.includes("Contents") || behind.includes("Contents")) return undefined;
  return { rows, rest: `${before}<Contents/>${behind}` };
}

const LESS = 60;
const SLASH = 47;

/** Reads `<Name>text</Name>` until something else comes, and returns where; -1 where it is not in this form. */
function scanFields(document: string, from: number, into: Row | undefined): number {
  let at = from;
  for (let fields = 0; fields < FIELDS_MAX; fields++) {
    if (document.charCodeAt(at) !== LESS) return -1;
    if (document.charCodeAt(at + 1) === SLASH) return at;
    const nameEnd = document.indexOf(">", at);
    const name = document.slice(at + 1, nameEnd);
    if (nameEnd < 0 || !(isRead(name) || NAME.test(name))) return -1;
    let textEnd = document.indexOf("<", nameEnd);
    if (textEnd < 0) return -1;
    let text = document.slice(nameEnd + 1, textEnd);
    if (document.charCodeAt(textEnd + 1) !== SLASH) {
      // Elements within it, one level deep: nobody reads them.
      textEnd = into && text === "" ? scanFields(document, textEnd, undefined) : -1;
      if (textEnd < 0) return -1;
      text = "";
    }
    if (into && isRead(name)) {
      if (into[name] !== undefined) return -1;
      into[name] = text;
    }
    // An entity that nobody resolves could be none.
    else if (text.includes("&")) return -1;
    if (!document.startsWith(name, textEnd + 2) || document.charCodeAt(textEnd + 2 + name.length) !== GREATER)
      return -1;
    at = textEnd + name.length + 3;
  }
  return -1;
}

const GREATER = 62;
const NAME = /^[A-Za-z]{1,40}$/;
