/** Records that nothing depends on: they spare a later migration over the same way most of its requests. */
import type { Archive } from "./archive.ts";
import { checkIds } from "./bond.ts";
import { encodeRecord } from "./codec.ts";
import * as layout from "./layout.ts";
import * as records from "./records.ts";

export class HintRecords {
  readonly #archive: Archive;

  constructor(archive: Archive) {
    this.#archive = archive;
  }

  /** Whoever is second has seen the same, or something newer that a listing will show. */
  async putStanding(standing: records.StandingRecord, signal: AbortSignal): Promise<void> {
    const { mid, sid, seq, epoch } = standing;
    await this.#archive.putNew(layout.standingName(mid, sid, seq, epoch), encodeRecord(standing), signal);
  }

  /** As the first copy of the page left its objects. */
  async standing(
    mid: string,
    sid: string,
    seq: number,
    signal: AbortSignal,
  ): Promise<records.StandingRecord | undefined> {
    const name = layout.standingName(mid, sid, seq, 0);
    return checkIds(name, await this.#archive.record(records.standing, name, signal), { mid, sid, seq, epoch: 0 });
  }

  async putSince(mid: string, since: string, signal: AbortSignal): Promise<void> {
    await this.#archive.putNew(layout.sinceName(mid), encodeRecord({ v: 1, mid, since }), signal);
  }

  /** The migration that went the same way before this one; undefined where none is known. */
  async since(mid: string, signal: AbortSignal): Promise<string | undefined> {
    const name = layout.sinceName(mid);
    return checkIds(name, await this.#archive.record(records.since, name, signal), { mid })?.since;
  }
}
