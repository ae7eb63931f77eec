/**
 * What a message begins with (AWS Encryption SDK specification, data-format/message-header.md):
 *
 *   version 1   | 01 | 80 | suite: 2 |
 *   version 2   | 02 | suite: 2 |
 *
 * Of random bytes some one in a million begins so: it is refused as broken where nothing else speaks for it, and never guessed at.
 * A known suite under the other version is taken for a message too: a reader was to be led to take a committing one for another.
 */
import { suiteOf } from "./suites.ts";

export const MAGIC_BYTES = 4;

export function isMessage(start: Uint8Array): boolean {
  const [version, second = 0, third = 0, fourth = 0] = start;
  if (version === 1)
    return start.length >= MAGIC_BYTES && second === 0x80 && suiteOf(third * 256 + fourth) !== undefined;
  return version === 2 && start.length >= 3 && suiteOf(second * 256 + third) !== undefined;
}
