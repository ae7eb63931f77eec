/**
 * The tree of shards. The plan names its roots; a shard that was split ends with a page that says where (records.ts), and its two
 * halves follow in key order. So the tree can be read from the plan and the pages alone; `shards/<sid>.json` repeats it for people
 * and for a lister that is given a shard's name.
 */
import { broken } from "./codec.ts";
import { compareKeys } from "../core/object.ts";
import * as layout from "./layout.ts";
import type { PageHeader, Shard } from "./records.ts";

/** Of a shard whose last page has this header; none where it was not split. LEDGER_BROKEN where the split is not one. */
export function halvesOf(shard: Shard, header: PageHeader): readonly Shard[] {
  const { split, end, count, isLast } = header;
  if (!split) return [];
  const name = layout.pageName(header.mid, shard.sid, header.seq);
  if (count > 0 || !isLast || end === undefined) throw broken(name, "splits its shard and is not its empty last page");
  if (shard.sid.length - ROOT_CHARS >= layout.SPLITS_MAX) throw broken(name, "splits a shard that is too small for it");
  const { at } = split;
  const inside = compareKeys(at, end) > 0 && (shard.until === undefined || compareKeys(at, shard.until) < 0);
  if (!inside) throw broken(name, "splits its shard outside of what is left of it");
  const until = shard.until === undefined ? {} : { until: shard.until };
  return [
    { sid: `${shard.sid}a`, after: end, until: at },
    { sid: `${shard.sid}b`, after: at, ...until },
  ];
}

const ROOT_CHARS = "s0001".length;

export const canSplit = ({ sid }: Shard): boolean => sid.length - ROOT_CHARS < layout.SPLITS_MAX;
