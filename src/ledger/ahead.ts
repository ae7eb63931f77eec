/**
 * Reading a long ledger: a migration of 10^9 objects has two million records, and one round trip after the other would take a
 * night. Records are asked for ahead of their turn and given in order; memory is O(READS_AHEAD).
 */
import * as layout from "./layout.ts";
import type { LedgerReader } from "./reader.ts";

const READS_AHEAD = 16;

export type Task<T> = () => Promise<T>;

/** The answers of tasks in their order. An error ends it in its turn; what was begun behind it is forgotten. */
export async function* inOrder<T>(tasks: AsyncIterable<Task<T>> | Iterable<Task<T>>): AsyncGenerator<T> {
  const begun: Promise<T>[] = [];
  for await (const task of tasks) {
    const answer = task();
    // It is awaited in its turn, or never; either way nobody else may be told of its error.
    answer.catch(() => undefined);
    begun.push(answer);
    if (begun.length >= READS_AHEAD) yield await (begun.shift() as Promise<T>);
  }
  for (const answer of begun) yield await answer;
}

/** One task for each page `from` to `to`. */
export function* eachPage<T>(from: number, to: number, read: (seq: number) => Promise<T>): Generator<Task<T>> {
  for (let seq = from; seq <= to; seq++) yield () => read(seq);
}

export interface Latest {
  readonly seq: number;
  readonly epoch: number;
}

/** Each page of a shard that has an outcome, ascending, with the highest epoch up to `epochMax`; from names alone. */
export async function* latestOutcomes(
  ledger: LedgerReader,
  mid: string,
  sid: string,
  epochMax: number,
  signal: AbortSignal,
): AsyncGenerator<Latest> {
  let last: Latest | undefined;
  for await (const name of ledger.names(layout.donePrefix(mid, sid), signal)) {
    const seq = layout.seqOf(name);
    const epoch = layout.epochOf(name);
    if (Number.isNaN(seq) || Number.isNaN(epoch)) continue;
    if (last && last.seq !== seq) {
      yield last;
      last = undefined;
    }
    if (epoch <= epochMax) last = { seq, epoch: Math.max(epoch, last?.epoch ?? 0) };
  }
  if (last) yield last;
}
