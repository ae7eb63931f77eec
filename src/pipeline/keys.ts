/**
 * Names of everything sealift keeps in Redis: a window over the ledger, and nothing that cannot be rebuilt from it.
 * One hash tag for all of it, so that scripts touch one slot of a cluster.
 *
 *     {sealift}:active                set of migrations that are not finished
 *     {sealift}:m:<mid>:ready         written last by a rebuild; absent = the window is lost
 *     {sealift}:m:<mid>:meta          hash { state, epoch, trouble }
 *     {sealift}:m:<mid>:tot           hash of sums: outcomes, listed, bytes, pages, committed, shards, code:<CODE>
 *     {sealift}:m:<mid>:open          set of shards that are not finished
 *     {sealift}:m:<mid>:listing       set of shards whose listing has not ended
 *     {sealift}:m:<mid>:sh:<sid>      hash { cursor, next, wm, last }
 *     {sealift}:m:<mid>:ooo:<sid>     set of pages finished above the watermark
 *     {sealift}:m:<mid>:retry:<k>     set of pages that epoch k still has to go over
 *     {sealift}:m:<mid>:poison:<page> hash of marks on a page in hand (poison.ts), expires
 *     {sealift}:m:<mid>:big           set of huge objects that have no outcome yet
 *     {sealift}:m:<mid>:parts         hash of how many parts of each of them the destination held when it was last asked
 *     {sealift}:w:<name>              hash of one worker process, expires without heartbeat
 *     {sealift}:pace:<resource>       until when (Redis's own time) a ceiling's turns are given out, expires by itself
 */
export const PREFIX = "{sealift}";
export const ACTIVE = `${PREFIX}:active`;
/** Present while `active` can be believed; gone after a flush. */
export const KNOWN = `${PREFIX}:known`;
export const SWEEP_LOCK = `${PREFIX}:sweep`;
export const WORKERS = `${PREFIX}:w:`;
export const PACE = `${PREFIX}:pace:`;

export const of = (mid: string) => {
  const base = `${PREFIX}:m:${mid}:`;
  return {
    ready: `${base}ready`,
    meta: `${base}meta`,
    totals: `${base}tot`,
    open: `${base}open`,
    listing: `${base}listing`,
    big: `${base}big`,
    parts: `${base}parts`,
    bigAgain: (bid: string) => `${base}again:${bid}`,
    bigLock: (bid: string) => `${base}alone:${bid}`,
    lock: `${base}rebuild`,
    shard: (sid: string) => `${base}sh:${sid}`,
    outOfOrder: (sid: string) => `${base}ooo:${sid}`,
    retry: (epoch: number) => `${base}retry:${epoch}`,
    poison: (page: string) => `${base}poison:${page}`,
  };
};
