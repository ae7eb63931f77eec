/** Names of the ledger's records under its URL, and back. */

const SEQ_DIGITS = 9;

export const MID = /^[a-z0-9][a-z0-9-]{2,40}$/;
/** A letter for each split: the halves of `s0001` are `s0001a` and `s0001b`, and no name is given out twice. */
export const SID = /^s\d{4}[ab]{0,40}$/;
/** Splits of a shard of the plan, one after another. */
export const SPLITS_MAX = 40;

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
export const ckptPrefix = (mid: string, sid: string): string => `${mid}/ckpt/${sid}/`;
export const ckptName = (mid: string, sid: string, seq: number): string => `${ckptPrefix(mid, sid)}${padded(seq)}.json`;
export const retryPrefix = (mid: string): string => `${mid}/retry/`;
export const retryName = (mid: string, epoch: number): string => `${retryPrefix(mid)}e${epoch}.json`;
export const eventsPrefix = (mid: string): string => `${mid}/events/`;
export const eventName = (mid: string, at: string, id: string): string =>
  `${eventsPrefix(mid)}${at.replaceAll(":", "")}-${id}.json`;
export const resultName = (mid: string, epoch: number): string =>
  epoch === 0 ? `${mid}/result.json` : `${mid}/result.e${epoch}.json`;

/** The number at the end of a page, done, ckpt or retry name. */
export function seqOf(name: string): number {
  const found = /\/(\d{9})\.[^/]*$/.exec(name);
  return found ? Number(found[1]) : Number.NaN;
}

export function epochOf(name: string): number {
  const found = /[./]e(\d{1,6})\.json$/.exec(name);
  return found ? Number(found[1]) : Number.NaN;
}
