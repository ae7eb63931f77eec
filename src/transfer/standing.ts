/** What a listing of the destination shows of a page of objects: one request instead of one for each of them. */
import { factsOf, stillStands } from "../core/stood.ts";
import { compareKeys, type KeyRange, type ListedObject } from "../core/object.ts";
import type { Receipt } from "../core/receipt.ts";
import type { CopyOptions } from "./copy.ts";
import { type Neighbours, fileNamesOf } from "./divided.ts";
import { type Crossing, destinationKey, type Shores } from "./shores.ts";

/** A destination that holds far more in this range than the page does is asked object by object instead. */
const LIST_PAGES_MAX = 4;

/**
 * It saves requests and decides nothing about a put: a listing that fails or ends early leaves objects unknown, not absent, and puts
 * are create-only whatever it says.
 */
export class Standing {
  readonly #rows = new Map<string, ListedObject>();
  /** Up to this key everything was shown; absent: nothing was. */
  #known: string | undefined;
  #whole = false;
  readonly #shores: Shores;

  private constructor(shores: Shores) {
    this.#shores = shores;
  }

  static async of(kept: readonly ListedObject[], range: KeyRange, crossing: Crossing): Promise<Standing> {
    const standing = new Standing(crossing.shores);
    const last = kept.at(-1);
    if (last) await standing.#list(kept, last, range, crossing).catch(() => (standing.#whole = false));
    return standing;
  }

  async #list(
    kept: readonly ListedObject[],
    last: ListedObject,
    range: KeyRange,
    { shores, signal }: Crossing,
  ): Promise<void> {
    const until = destinationKey(last.key, shores);
    const after = afterAtDestination(kept, range, shores);
    let pages = 0;
    for await (const page of shores.destination.list(shores.destinationPrefix, { after, until }, signal)) {
      for (const row of page.objects) this.#rows.set(row.key, row);
      this.#known = page.objects.at(-1)?.key ?? this.#known;
      this.#whole = page.last;
      if (++pages === LIST_PAGES_MAX) return;
    }
  }

  /** Whether nothing stands there under the object's name. */
  of(object: ListedObject): CopyOptions["standing"] {
    const key = destinationKey(object.key, this.#shores);
    const covered = this.#whole || (this.#known !== undefined && compareKeys(key, this.#known) <= 0);
    return covered && !this.#rows.has(key) ? "absent" : undefined;
  }

  /**
   * The receipt of an object that both shores show as an earlier migration left it: there is nothing to ask. What has no envelope of
   * its own could have been given one in a file beside it since, so there the listing must show that no such file is there.
   */
  unchanged({ key, stood }: ListedObject, neighbours: Neighbours): Receipt | undefined {
    const facts = stood === undefined ? undefined : factsOf(stood);
    if (stood === undefined || facts === undefined) return undefined;
    const { sourcePrefix, destinationPrefix } = this.#shores;
    const row = key.startsWith(sourcePrefix) && this.#rows.get(destinationPrefix + key.slice(sourcePrefix.length));
    if (!row || !stillStands(row, stood)) return undefined;
    const files = facts.sealed ? [] : fileNamesOf(key, this.#shores.envelopes);
    if (files.some((name) => neighbours(name) !== "absent")) return undefined;
    const { advisories } = facts;
    return { key, outcome: "already", bytes: 0, verified: false, attempts: 1, advisories, notes: [NOTE], stood };
  }
}

const NOTE = "source and destination are listed as an earlier migration left them: not asked again";

/** The page's own beginning, unless it lies before the source's prefix or after the page's first object. */
function afterAtDestination(kept: readonly ListedObject[], range: KeyRange, shores: Shores): string | undefined {
  const { after } = range;
  const [first] = kept;
  if (after === undefined || first === undefined || compareKeys(after, first.key) >= 0) return undefined;
  return after.startsWith(shores.sourcePrefix) ? destinationKey(after, shores) : undefined;
}
