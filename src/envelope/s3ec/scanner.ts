/** Flat JSON objects, read token by token and strictly: what the maps of an envelope and instruction files are made of. */
import { malformed } from "./names.ts";

const STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
/** 15 digits are always an exact number. What follows them is for the next `expect`. */
const WHOLE_NUMBER = /(?:0|[1-9][0-9]{0,14})(?![0-9])/y;
const BLANKS = /[ \t\n\r]*/y;

/** JSON.parse would take nested values, keep the last of two equal names and reorder names that look like numbers. */
export class Scanner {
  readonly #text: string;
  readonly #name: string;
  #at = 0;

  constructor(text: string, name: string) {
    this.#text = text;
    this.#name = name;
  }

  expect(mark: string): void {
    if (!this.takes(mark)) throw this.#broken();
  }

  takes(mark: string): boolean {
    this.#blanks();
    if (!this.#text.startsWith(mark, this.#at)) return false;
    this.#at += mark.length;
    return true;
  }

  string(): string {
    this.#blanks();
    STRING.lastIndex = this.#at;
    const token = STRING.exec(this.#text)?.[0];
    if (token === undefined) throw this.#broken();
    this.#at += token.length;
    const text: unknown = JSON.parse(token);
    // A lone surrogate has no UTF-8 form, so it cannot be bound to a key in any KMS.
    if (typeof text !== "string" || /\p{Surrogate}/u.test(text)) throw this.#broken();
    return text;
  }

  /** A string; null, which is undefined here; or, where `number` allows it, a whole number as its digits. */
  value(number: boolean): string | undefined {
    this.#blanks();
    if (this.takes("null")) return undefined;
    WHOLE_NUMBER.lastIndex = this.#at;
    const digits = number ? WHOLE_NUMBER.exec(this.#text)?.[0] : undefined;
    if (digits === undefined) return this.string();
    this.#at += digits.length;
    return digits;
  }

  end(): void {
    this.#blanks();
    if (this.#at !== this.#text.length) throw this.#broken();
  }

  #blanks(): void {
    BLANKS.lastIndex = this.#at;
    this.#at += BLANKS.exec(this.#text)?.[0].length ?? 0;
  }

  #broken() {
    return malformed(`${this.#name} is not a flat JSON object of strings`);
  }
}
