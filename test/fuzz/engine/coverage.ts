/** What a run touched, compared with everything that was touched before. */
import { HITS_MAX, HITS_NAME } from "./instrument.ts";

const hits = new Uint8Array(HITS_MAX);
// Counters are looked at four at a time: most of them are zero.
const words = new Uint32Array(hits.buffer);

// Instrumented modules look for it when they are loaded: whoever runs them imports this file before them.
Object.defineProperty(globalThis, HITS_NAME, { value: hits });

/** Once, twice, thrice, and then by powers of two, as AFL counts: 200 rounds of a loop are no news after 150. */
const bucket = (count: number): number =>
  count <= 3 ? 1 << (count - 1) : count < 8 ? 8 : count < 16 ? 16 : count < 32 ? 32 : count < 128 ? 64 : 128;

export class Coverage {
  readonly #seen = new Uint8Array(HITS_MAX);
  readonly #words: number;
  places = 0;

  /** `counters`: how many the build has. */
  constructor(counters: number) {
    this.#words = Math.ceil(counters / 4);
  }

  start(): void {
    words.fill(0, 0, this.#words);
  }

  /** True where the run since `start` went a way that none went before. */
  isNew(): boolean {
    let news = false;
    for (let word = 0; word < this.#words; word++) {
      if (words[word] === 0) continue;
      for (let at = word * 4; at < word * 4 + 4; at++) {
        const count = hits[at] as number;
        if (count === 0) continue;
        const before = this.#seen[at] as number;
        const after = before | bucket(count);
        if (after === before) continue;
        if (before === 0) this.places++;
        this.#seen[at] = after;
        news = true;
      }
    }
    return news;
  }
}
