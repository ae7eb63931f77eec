/** What the audit and the rebuild need of a ledger: its records, and nothing that writes. */
import type { Page } from "./codec.ts";
import type { BigReader, PageOutcome } from "./deferred.ts";
import type { CkptRecord, DoneRecord, PlanRecord } from "./records.ts";

export interface LedgerReader {
  readonly big: BigReader;
  plan(mid: string, signal: AbortSignal): Promise<PlanRecord>;
  epoch(mid: string, signal: AbortSignal): Promise<number>;
  page(mid: string, sid: string, seq: number, signal: AbortSignal): Promise<Page | undefined>;
  done(mid: string, sid: string, seq: number, epoch: number, signal: AbortSignal): Promise<DoneRecord | undefined>;
  outcome(
    mid: string,
    sid: string,
    seq: number,
    epochMax: number,
    signal: AbortSignal,
  ): Promise<PageOutcome | undefined>;
  ckpt(mid: string, sid: string, signal: AbortSignal): Promise<CkptRecord | undefined>;
  names(prefix: string, signal: AbortSignal): AsyncIterable<string>;
}
