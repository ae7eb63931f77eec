/** What the audit and the rebuild need of a ledger: its records, and nothing that writes. */
import type { Page } from "./codec.ts";
import type { BigReader } from "./deferred.ts";
import type { CkptRecord, DoneRecord, PlanRecord, RetryRecord } from "./records.ts";

export interface LedgerReader {
  readonly big: BigReader;
  plan(mid: string, signal: AbortSignal): Promise<PlanRecord>;
  epoch(mid: string, signal: AbortSignal): Promise<number>;
  retry(mid: string, epoch: number, signal: AbortSignal): Promise<RetryRecord | undefined>;
  page(mid: string, sid: string, seq: number, signal: AbortSignal): Promise<Page | undefined>;
  done(mid: string, sid: string, seq: number, epoch: number, signal: AbortSignal): Promise<DoneRecord | undefined>;
  ckpt(mid: string, sid: string, signal: AbortSignal): Promise<CkptRecord | undefined>;
  names(prefix: string, signal: AbortSignal): AsyncIterable<string>;
}
