/**
 * The key context as metadata text: one flat JSON object of strings. Its text is parsed and never compared, because writers
 * differ (order, white space, escapes); it is written compact, ASCII only and without any white space, because readers differ
 * too: S3 mangles non-ASCII metadata, and the C++ client reads up to the first white space.
 */
import type { KeyContext } from "../../core/key.ts";
import { malformed } from "./names.ts";
import { Scanner } from "./scanner.ts";
import { undoEncodedWords } from "./words.ts";

/** The reserved pair that binds the content algorithm to the data key (S3EC specification, encryption context). */
export const RESERVED = "aws:x-amz-cek-alg";

/** No store carries more metadata than this on one object (GCS: 8 KiB in all). */
export const CONTEXT_TEXT_BYTES_MAX = 8192;
export const CONTEXT_PAIRS_MAX = 128;

/** Absent text is the empty map. Order is kept, so that what was written by `contextText` is written again unchanged. */
export function parseContext(text: string | undefined, name: string): KeyContext {
  if (text === undefined) return new Map();
  if (Buffer.byteLength(text) > CONTEXT_TEXT_BYTES_MAX) throw malformed(`${name} is too long`);
  const scanner = new Scanner(undoEncodedWords(text), name);
  const pairs = new Map<string, string>();
  scanner.expect("{");
  if (!scanner.takes("}")) {
    do {
      const key = scanner.string();
      scanner.expect(":");
      const value = scanner.string();
      if (pairs.has(key)) throw malformed(`${name} names ${JSON.stringify(key.slice(0, 64))} twice`);
      pairs.set(key, value);
      if (pairs.size > CONTEXT_PAIRS_MAX) throw malformed(`${name} holds more than ${CONTEXT_PAIRS_MAX} pairs`);
    } while (scanner.takes(","));
    scanner.expect("}");
  }
  scanner.end();
  return pairs;
}

export function contextText(context: KeyContext): string {
  const known = texts.get(context);
  if (known !== undefined) return known;
  const pairs = [...context].map(([key, value]) => `${escaped(key)}:${escaped(value)}`);
  const text = `{${pairs.join(",")}}`;
  texts.set(context, text);
  return text;
}

/** An envelope is written twice at least: to be measured, and to be sent. */
const texts = new WeakMap<KeyContext, string>();

/** Everything but visible ASCII as \uXXXX. */
const escaped = (text: string): string =>
  JSON.stringify(text).replace(/[^!-~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

export const NOTE_DESCRIPTION = "the materials description is the key context now: readers have to pass it";

export const boundTo = (context: KeyContext, content: string): KeyContext => new Map([...context, [RESERVED, content]]);

/** The content algorithm must be the one the data key is bound to; wraps that bind it always must say so. */
export function demandBound(context: KeyContext, content: string, always: boolean): void {
  const bound = context.get(RESERVED);
  if (bound === undefined && !always) return;
  if (bound !== content) throw malformed(`the key context does not bind the content algorithm (${RESERVED})`);
}
