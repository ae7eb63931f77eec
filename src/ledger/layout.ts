/** Names of the ledger's records under its URL, and back. */

const SEQ_DIGITS = 9;

export const MID = /^[a-z0-9][a-z0-9-]{2,40}$/;
/** A letter for each split: the halves of `s0001` are `s0001a` and `s0001b`, and no name is given out twice. */
export const SID = /^s\d{4}[ab]{0,40}$/;
/** Splits of a shard of the plan, one after another. */
export const SPLITS_MAX = 40;

/** An object of a page that is copied by several workers: its shard, page, place on the page and epoch. */
export const BID = new RegExp(`^(${SID.source.slice(1, -1)})\\.([1-9]\\d{0,8})\\.(\\d{1,3})\\.e(\\d{1,6})$`);

export interface BigPlace {
  readonly sid: string;
  readonly seq: number;
  /** On the page, from 0. */
  readonly index: number;
  readonly epoch: number;
}

export const bidOf = ({ sid, seq, index, epoch }: BigPlace): string => `${sid}.${seq}.${index}.e${epoch}`;

/** undefined: the text is no such name. */
export function placeOf(bid: string): BigPlace | undefined {
  const [, sid, seq, index, epoch] = BID.exec(bid) ?? [];
  if (sid === undefined) return undefined;
  return { sid, seq: Number(seq), index: Number(index), epoch: Number(epoch) };
}

const padded = (seq: number): string => String(seq).padStart(SEQ_DIGITS, "0");

export const planName = (mid: string): string => `${mid}/plan.json`;
export const shardsPrefix = (mid: string): string => `${mid}/shards/`;
export const shardName = (mid: string, sid: string): string => `${shardsPrefix(mid)}${sid}.json`;
export const pagesPrefix = (mid: string, sid: string): string => `${mid}/pages/${sid}/`;
export const pageName = (mid: string, sid: string, seq: number): string =>
  `${pagesPrefix(mid, sid)}${padded(seq)}.ndjson.gz`;
export const donePrefix = (mid: string, sid: string): string => `${mid}/done/${sid}/`;
export const doneName = (mid: string, sid: string, seq: number, epoch: number): string =>
  `${donePrefix(mid, sid)}${padded(seq)}.e${epoch}.json`;
export const standingName = (mid: string, sid: string, seq: number, epoch: number): string =>
  `${mid}/standing/${sid}/${padded(seq)}.e${epoch}.json`;
export const sinceName = (mid: string): string => `${mid}/since.json`;
export const ckptPrefix = (mid: string, sid: string): string => `${mid}/ckpt/${sid}/`;
export const ckptName = (mid: string, sid: string, seq: number): string => `${ckptPrefix(mid, sid)}${padded(seq)}.json`;
export const retryPrefix = (mid: string): string => `${mid}/retry/`;
export const retryName = (mid: string, epoch: number): string => `${retryPrefix(mid)}e${epoch}.json`;
export const bigName = (mid: string, bid: string, turn: number): string => `${mid}/big/${bid}.t${turn}.json`;
export const bigDoneName = (mid: string, bid: string): string => `${mid}/big/${bid}.done.json`;
/** Witnesses of one group of parts; there may be several. */
export const witnessPrefix = (mid: string, bid: string, turn: number): string => `${mid}/big/${bid}.t${turn}.g`;
export const witnessName = (mid: string, bid: string, turn: number, group: number, n: number): string =>
  `${witnessPrefix(mid, bid, turn)}${group}.${n}.json`;
export const eventsPrefix = (mid: string): string => `${mid}/events/`;
export const eventName = (mid: string, number: number): string => `${eventsPrefix(mid)}${padded(number)}.json`;
export const resultName = (mid: string, epoch: number): string =>
  epoch === 0 ? `${mid}/result.json` : `${mid}/result.e${epoch}.json`;

/** The number at the end of a page, done, ckpt or event name; NaN where it is none of ours. */
export function seqOf(name: string): number {
  const found = /\/(\d{9})\.(?:ndjson\.gz|json|e(?:0|[1-9]\d{0,5})\.json)$/.exec(name);
  return found ? Number(found[1]) : Number.NaN;
}

export function epochOf(name: string): number {
  const found = /[./]e(0|[1-9]\d{0,5})\.json$/.exec(name);
  return found ? Number(found[1]) : Number.NaN;
}
