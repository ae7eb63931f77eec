/**
 * What an earlier migration left behind, looked up for a listing that goes the same way in the same order: a merge of two sorted
 * runs, pages of the earlier one against batches of the new one. Shards may be cut otherwise than they were, so each new shard has a
 * place of its own in the earlier one, which only goes forward.
 */
import { factsOf, STOOD_CHARACTERS } from "../core/stood.ts";
import { compareKeys, type ListedObject } from "../core/object.ts";
import type { Page } from "./codec.ts";
import type { PlanRecord, Shard, StandingRecord } from "./records.ts";

export interface EarlierReader {
  plan(mid: string, signal: AbortSignal): Promise<PlanRecord>;
  shards(plan: PlanRecord, signal: AbortSignal): AsyncIterable<{ shard: Shard; pages: number }>;
  page(mid: string, sid: string, seq: number, signal: AbortSignal): Promise<Page | undefined>;
  readonly hints: {
    standing(mid: string, sid: string, seq: number, signal: AbortSignal): Promise<StandingRecord | undefined>;
  };
}

/** The pages of one shard, and where it begins; what it had left when it was split is in the shards behind it. */
interface Stretch {
  readonly sid: string;
  readonly after: string | undefined;
  readonly pages: number;
}

interface OldObject {
  readonly object: ListedObject;
  readonly stood: string;
}

interface OldPage {
  readonly sid: string;
  readonly seq: number;
  readonly end: string | undefined;
  readonly objects: ReadonlyMap<string, OldObject>;
}

/** Pages kept: one for each shard that is being listed here. */
const PLACES_MAX = 16;

export class Earlier {
  readonly mid: string;
  readonly #ledger: EarlierReader;
  readonly #places = new Map<string, OldPage>();
  #stretches: Promise<readonly Stretch[]> | undefined;

  constructor(ledger: EarlierReader, mid: string) {
    this.#ledger = ledger;
    this.mid = mid;
  }

  /**
   * The same objects, those with `stood` that are at the source as they were then and whose state at the destination is known.
   * `place`: a name of the run of batches, whose keys ascend.
   */
  async recall(place: string, objects: readonly ListedObject[], signal: AbortSignal): Promise<ListedObject[]> {
    const recalled: ListedObject[] = [];
    for (const object of objects) {
      const page = await this.#pageOf(place, object.key, signal);
      const old = page?.objects.get(object.key);
      recalled.push(old && isAsItWas(object, old.object) ? { ...object, stood: old.stood } : object);
    }
    return recalled;
  }

  /** The page in whose range the key lies. */
  async #pageOf(place: string, key: string, signal: AbortSignal): Promise<OldPage | undefined> {
    const at = this.#places.get(place);
    const stretches = await (this.#stretches ??= this.#readStretches(signal));
    const stretch = lastBefore(stretches, key);
    if (!stretch) return undefined;
    if (at?.sid === stretch.sid && reaches(at, key)) return at;
    // Behind the last page of a shard that was split there is nothing until its halves begin.
    if (at?.sid === stretch.sid && at.seq === stretch.pages) return undefined;
    const next = at?.sid === stretch.sid ? await this.#read(stretch, at.seq + 1, signal) : undefined;
    const found = next && reaches(next, key) ? next : await this.#search(stretch, next?.seq ?? 0, key, signal);
    if (found) this.#keep(place, found);
    return found;
  }

  /** The first page behind `from` that reaches to the key, or the last one. */
  async #search(stretch: Stretch, from: number, key: string, signal: AbortSignal): Promise<OldPage | undefined> {
    let [low, high] = [from + 1, stretch.pages];
    let found: OldPage | undefined;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      found = await this.#read(stretch, middle, signal);
      if (found && reaches(found, key)) high = middle;
      else low = middle + 1;
    }
    return found?.seq === high ? found : this.#read(stretch, high, signal);
  }

  #keep(place: string, page: OldPage): void {
    this.#places.delete(place);
    this.#places.set(place, page);
    const [oldest] = this.#places.keys();
    if (this.#places.size > PLACES_MAX && oldest !== undefined) this.#places.delete(oldest);
  }

  async #readStretches(signal: AbortSignal): Promise<Stretch[]> {
    const stretches: Stretch[] = [];
    const plan = await this.#ledger.plan(this.mid, signal);
    for await (const { shard, pages } of this.#ledger.shards(plan, signal)) {
      if (pages > 0) stretches.push({ sid: shard.sid, after: shard.after, pages });
    }
    return stretches;
  }

  async #read({ sid }: Stretch, seq: number, signal: AbortSignal): Promise<OldPage | undefined> {
    if (seq < 1) return undefined;
    const [page, standing] = await Promise.all([
      this.#ledger.page(this.mid, sid, seq, signal),
      this.#ledger.hints.standing(this.mid, sid, seq, signal),
    ]);
    if (!page) return undefined;
    const known = standing?.pageSha256 === page.sha256 ? standing.objects : "";
    const objects = new Map<string, OldObject>();
    page.objects.forEach((object, index) => {
      const stood = known.slice(index * STOOD_CHARACTERS, (index + 1) * STOOD_CHARACTERS);
      if (factsOf(stood)) objects.set(object.key, { object, stood });
    });
    return { sid, seq, end: page.header.end, objects };
  }
}

const reaches = ({ end }: OldPage, key: string): boolean => end === undefined || compareKeys(key, end) <= 0;

/** Stretches ascend: the last one that begins before the key is the only one that can hold it. */
function lastBefore(stretches: readonly Stretch[], key: string): Stretch | undefined {
  let [low, high] = [0, stretches.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const { after } = stretches[middle] as Stretch;
    if (after === undefined || compareKeys(after, key) < 0) low = middle + 1;
    else high = middle;
  }
  return stretches[low - 1];
}

/** A version that was replaced, or written once more with the same bytes, has another Last-Modified. */
const isAsItWas = (now: ListedObject, then: ListedObject): boolean =>
  now.etag === then.etag &&
  now.sizeBytes === then.sizeBytes &&
  now.lastModifiedMs === then.lastModifiedMs &&
  now.version === then.version;
