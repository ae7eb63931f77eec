/** Records of huge objects: their uploads, what their parts were, and how they ended. As everywhere, the first writer wins. */
import type { Archive } from "./archive.ts";
import { checkIds } from "./bond.ts";
import { broken, encodeRecord } from "./codec.ts";
import * as layout from "./layout.ts";
import * as records from "./records.ts";

/** Records of one group's parts; more than a few means that a destination forgets what it was sent. */
const WITNESSES_MAX = 16;

export type WitnessedPart = readonly [number: number, tag: string, crc32c: number];

export class BigRecords {
  readonly #archive: Archive;

  constructor(archive: Archive) {
    this.#archive = archive;
  }

  /** What stands in the ledger afterwards, whoever wrote it. */
  async begin(big: records.BigRecord, signal: AbortSignal): Promise<records.BigRecord> {
    const name = layout.bigName(big.mid, big.bid, big.turn);
    if (await this.#archive.putNew(name, encodeRecord(big), signal)) return big;
    return this.#checked(await this.#archive.required(records.big, name, signal), name, big);
  }

  async upload(mid: string, bid: string, turn: number, signal: AbortSignal): Promise<records.BigRecord | undefined> {
    const name = layout.bigName(mid, bid, turn);
    const found = await this.#archive.record(records.big, name, signal);
    return found && this.#checked(found, name, { mid, bid, turn });
  }

  /** The last upload that was begun. */
  async latest(mid: string, bid: string, signal: AbortSignal): Promise<records.BigRecord | undefined> {
    let last: records.BigRecord | undefined;
    for (let turn = 1; ; turn++) {
      const found = await this.upload(mid, bid, turn, signal);
      if (!found) return last;
      last = found;
    }
  }

  #checked(
    found: records.BigRecord,
    name: string,
    { mid, bid, turn }: Pick<records.BigRecord, "mid" | "bid" | "turn">,
  ): records.BigRecord {
    if (found.mid === mid && found.bid === bid && found.turn === turn) return found;
    throw broken(name, "is of another object");
  }

  async putWitness(
    { mid, bid, turn }: Pick<records.BigRecord, "mid" | "bid" | "turn">,
    group: number,
    parts: readonly WitnessedPart[],
    signal: AbortSignal,
  ): Promise<void> {
    const bytes = encodeRecord({ v: 1, parts });
    for (let n = 1; n <= WITNESSES_MAX; n++) {
      if (await this.#archive.putNew(layout.witnessName(mid, bid, turn, group, n), bytes, signal)) return;
    }
    throw broken(layout.witnessPrefix(mid, bid, turn), `has ${WITNESSES_MAX} records of group ${group} already`);
  }

  /** All that is known of this upload's parts. */
  async witnesses(
    { mid, bid, turn }: Pick<records.BigRecord, "mid" | "bid" | "turn">,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, readonly { readonly tag: string; readonly crc32c: number }[]>> {
    const known = new Map<number, { readonly tag: string; readonly crc32c: number }[]>();
    for await (const name of this.#archive.names(layout.witnessPrefix(mid, bid, turn), signal)) {
      const { parts } = await this.#archive.required(records.witness, name, signal);
      for (const [number, tag, crc32c] of parts) known.set(number, [...(known.get(number) ?? []), { tag, crc32c }]);
    }
    return known;
  }

  /** What stands in the ledger afterwards, whoever wrote it. */
  async putDone(done: records.BigDoneRecord, signal: AbortSignal): Promise<records.BigDoneRecord> {
    const name = layout.bigDoneName(done.mid, done.bid);
    if (await this.#archive.putNew(name, encodeRecord(done), signal)) return done;
    const { mid, bid } = done;
    return checkIds(name, await this.#archive.required(records.bigDone, name, signal), { mid, bid });
  }

  async done(mid: string, bid: string, signal: AbortSignal): Promise<records.BigDoneRecord | undefined> {
    const name = layout.bigDoneName(mid, bid);
    return checkIds(name, await this.#archive.record(records.bigDone, name, signal), { mid, bid });
  }
}
