/**
 * What a fuzzer is pointed at, and the contract it holds every parser to: it returns, or it throws a SealiftError whose code is in
 * the table and is not INTERNAL. Anything else is a finding.
 */
import { CODES, SealiftError } from "../../src/core/error.ts";

export type Outcome = string | void;

export interface Target {
  readonly name: string;
  /** Inputs that are read without an error: where mutation begins. */
  readonly seeds: readonly (string | Uint8Array)[];
  /**
   * Throws what the parser throws, or a Broken where a property does not hold. What it returns is news to the fuzzer as a new way
   * through the code is: for what happens where no counters are (Lua).
   */
  run(bytes: Uint8Array): Outcome | Promise<Outcome>;
  /** Named answers that are no SealiftError. */
  readonly named?: (error: unknown) => boolean;
  /** Frees what `run` opened. */
  readonly close?: () => Promise<void>;
}

/** A property that does not hold. */
export class Broken extends Error {
  override readonly name = "Broken";
}

export function holds(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Broken(what);
}

/** Both as JSON would show them, so that a difference can be read. */
export function same(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [shown(actual), shown(expected)];
  holds(a === b, `${what}: ${a.slice(0, 300)} instead of ${b.slice(0, 300)}`);
}

const shown = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    inner instanceof Map ? [...inner.entries()] : ArrayBuffer.isView(inner) ? hex(inner) : inner,
  ) ?? "undefined";

const hex = (view: ArrayBufferView): string =>
  Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString("hex");

/** A message is kept in logs and records: whoever writes the input must not choose its length. */
const MESSAGE_CHARACTERS_MAX = 4096;

/** Why what was thrown breaks the contract; undefined where it keeps it. */
export function breach(thrown: unknown, target: Target): string | undefined {
  if (target.named?.(thrown)) return undefined;
  if (!(thrown instanceof SealiftError)) return `not a SealiftError: ${String(thrown)}`;
  if (!Object.hasOwn(CODES, thrown.code)) return `a code outside the table: ${thrown.code}`;
  if (thrown.code === "INTERNAL") return `INTERNAL: ${thrown.message}`;
  if (thrown.message.length > MESSAGE_CHARACTERS_MAX) {
    return `a message of ${thrown.message.length} characters: ${thrown.code} ${thrown.message.slice(0, 80)}`;
  }
  const hidden = defectBehind(thrown);
  return hidden && `${thrown.code} hides a defect: ${String(hidden)}`;
}

/** A slip of ours that was caught and renamed on its way. Node's own refusals carry a code. */
function defectBehind(error: Error): Error | undefined {
  for (let at: unknown = error.cause; at instanceof Error; at = at.cause) {
    if ((at instanceof TypeError || at instanceof ReferenceError) && !("code" in at)) return at;
  }
  return undefined;
}

/** Runs one input and answers what was found; `news` hears what the target returned. */
export async function judged(
  target: Target,
  bytes: Uint8Array,
  news: (outcome: string) => void = () => {},
): Promise<Error | undefined> {
  try {
    const outcome = await target.run(bytes);
    if (outcome !== undefined) news(outcome);
    return undefined;
  } catch (thrown) {
    const why = breach(thrown, target);
    if (why === undefined) return undefined;
    return thrown instanceof Broken ? thrown : new Error(`${target.name}: ${why}`, { cause: thrown });
  }
}
