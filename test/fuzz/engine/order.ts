/** What passes between the fuzzer and the thread that runs one target. */
import { INPUT_BYTES_MAX } from "./mutate.ts";

export interface Order {
  /** URL of the module that exports TARGETS. */
  readonly targets: string;
  readonly target: string;
  readonly seed: number;
  readonly forMs: number;
  readonly counters: number;
  readonly words: readonly string[];
  /** Where the corpus grows, and where findings go. */
  readonly corpus: string;
  readonly findings: string;
  /** Read as well. */
  readonly kept: string;
  /** At the end the smallest inputs that go every way are written to `kept`. */
  readonly keep: boolean;
  /** What is in hand: a sign of life, the number of new inputs so far, the length of this one, then this one. */
  readonly hand: SharedArrayBuffer;
}

export interface Found {
  readonly why: string;
  readonly path: string;
}

export interface Done {
  readonly inputs: number;
  readonly corpus: number;
  readonly places: number;
  readonly found: readonly Found[];
}

export const HAND_HEAD_BYTES = 12;
export const HAND_BYTES = HAND_HEAD_BYTES + INPUT_BYTES_MAX;
