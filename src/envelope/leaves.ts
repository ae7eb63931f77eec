/**
 * A JSON document as the places of its values (RFC 8259): a rewrap puts new values in the places of the old, and every other byte stays
 * as its writer wrote it, in fields that nobody here knows too. Strict: no name twice, no depth or number without a limit.
 */
import type { SealiftError } from "../core/error.ts";

export interface Leaf {
  readonly value: string | number | boolean | null;
  /** From the first character of the value to the one behind its last. */
  readonly at: number;
  readonly end: number;
}

const STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const OTHER = /-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,3})?(?![0-9.eE])|true|false|null/y;
const BLANKS = /[ \t\n\r]*/y;
const DEPTH_MAX = 8;
const LEAVES_MAX = 1024;

/** A refusal in the words of the format that is read. */
type Refuse = (what: string) => SealiftError;

export class Leaves {
  readonly #text: string;
  readonly #refuse: Refuse;
  readonly #found = new Map<string, Leaf>();
  #at = 0;

  /** Throws what `refuse` makes where the text is not one JSON object. */
  constructor(text: string, refuse: Refuse) {
    this.#text = text;
    this.#refuse = refuse;
    this.#blanks();
    if (text[this.#at] !== "{") throw this.#broken();
    this.#value([]);
    this.#blanks();
    if (this.#at !== text.length) throw this.#broken();
  }

  /** undefined: no such field, or one that is an object or a list. */
  at(...path: readonly string[]): Leaf | undefined {
    return this.#found.get(JSON.stringify(path));
  }

  /** True where the document has a field of this name at its top, whatever is in it. */
  has(name: string): boolean {
    const start = JSON.stringify([name]).slice(0, -1);
    return [...this.#found.keys()].some((path) => path.startsWith(`${start}]`) || path.startsWith(`${start},`));
  }

  #value(path: readonly (string | number)[]): void {
    this.#blanks();
    if (path.length > DEPTH_MAX) throw this.#refuse("its JSON is nested too deeply");
    if (this.#takes("{")) this.#object(path);
    else if (this.#takes("[")) this.#list(path);
    else this.#keep(path, this.#scalar());
  }

  #object(path: readonly (string | number)[]): void {
    if (this.#takes("}")) return;
    const names = new Set<string>();
    do {
      this.#blanks();
      const name = this.#token(STRING);
      if (name === undefined || typeof name.value !== "string") throw this.#broken();
      if (names.has(name.value)) throw this.#refuse(`its JSON names ${JSON.stringify(name.value.slice(0, 64))} twice`);
      names.add(name.value);
      this.#expect(":");
      this.#value([...path, name.value]);
    } while (this.#takes(","));
    this.#expect("}");
  }

  #list(path: readonly (string | number)[]): void {
    if (this.#takes("]")) return;
    let index = 0;
    do this.#value([...path, index++]);
    while (this.#takes(","));
    this.#expect("]");
  }

  #scalar(): Leaf {
    const leaf = this.#token(STRING) ?? this.#token(OTHER);
    if (leaf === undefined) throw this.#broken();
    return leaf;
  }

  #keep(path: readonly (string | number)[], leaf: Leaf): void {
    this.#found.set(JSON.stringify(path), leaf);
    if (this.#found.size > LEAVES_MAX) throw this.#refuse("its JSON holds too many values");
  }

  #token(pattern: RegExp): Leaf | undefined {
    pattern.lastIndex = this.#at;
    const token = pattern.exec(this.#text)?.[0];
    if (token === undefined) return undefined;
    const at = this.#at;
    this.#at += token.length;
    return { value: JSON.parse(token) as Leaf["value"], at, end: this.#at };
  }

  #expect(mark: string): void {
    if (!this.#takes(mark)) throw this.#broken();
  }

  #takes(mark: string): boolean {
    this.#blanks();
    if (!this.#text.startsWith(mark, this.#at)) return false;
    this.#at += mark.length;
    return true;
  }

  #blanks(): void {
    BLANKS.lastIndex = this.#at;
    this.#at += BLANKS.exec(this.#text)?.[0].length ?? 0;
  }

  #broken(): SealiftError {
    return this.#refuse("it is not one JSON object");
  }
}

/** New texts in the places of old values, every other character as it stands. */
export function spliced(text: string, values: readonly { readonly leaf: Leaf; readonly becomes: string }[]): string {
  // From the last to the first, so that no place moves before its turn.
  const backwards = [...values].sort((a, b) => b.leaf.at - a.leaf.at);
  return backwards.reduce(
    (done, { leaf, becomes }) => done.slice(0, leaf.at) + JSON.stringify(becomes) + done.slice(leaf.end),
    text,
  );
}
