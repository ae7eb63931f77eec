/** What is known about one object after it was handled. */
import type { Advisory } from "./advisory.ts";
import type { Code } from "./error.ts";
import type { Outcome } from "./plan.ts";

export interface Receipt {
  readonly key: string;
  readonly outcome: Outcome;
  /** Bytes written at the destination; 0 where nothing was. */
  readonly bytes: number;
  /** CRC32C of the bytes written, confirmed by the destination. */
  readonly crc32c?: number | undefined;
  /** The data key was opened with the destination KMS and compared with the source's. */
  readonly verified: boolean;
  /** Of outcomes conflict, refused and failed. */
  readonly code?: Code | undefined;
  readonly message?: string | undefined;
  readonly attempts: number;
  /** Of an object that stands at the destination. */
  readonly advisories?: readonly Advisory[] | undefined;
  readonly notes: readonly string[];
  /** How it stands at the destination (core/stood.ts); absent where its envelope is not its own alone, or nothing arrived. */
  readonly stood?: string | undefined;
}
