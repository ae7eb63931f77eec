/** multipart/related (RFC 2387) as it comes: a JSON part is held, the bytes of the other pass on, the closing boundary is kept back. */
import { Arriving } from "./buckets.ts";

/** What an upload says of the object to be. */
export interface Description {
  readonly name?: string;
  readonly contentType?: string;
  readonly crc32c?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

const HEAD_END = "\r\n\r\n";

export class RelatedBody {
  readonly media = new Arriving();
  readonly #boundary: string;
  #head: Buffer | undefined = Buffer.alloc(0);
  #tail: Buffer = Buffer.alloc(0);
  #given: Description = {};

  constructor(contentType: string) {
    this.#boundary = /boundary="?([^";]+)/.exec(contentType)?.[1] ?? "";
  }

  chunk(bytes: Buffer): void {
    if (this.#head === undefined) return this.#pass(bytes);
    this.#head = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes]);
    const first = this.#head.indexOf(HEAD_END);
    const second = first < 0 ? -1 : this.#head.indexOf(`\r\n--${this.#boundary}`, first);
    const start = second < 0 ? -1 : this.#head.indexOf(HEAD_END, second);
    if (start < 0) return;
    const rest = this.#head.subarray(start + HEAD_END.length);
    this.#given = JSON.parse(this.#head.toString("utf8", first + HEAD_END.length, second)) as Description;
    this.#head = undefined;
    this.#pass(rest);
  }

  /** The last bytes of what has come may be the boundary's. */
  #pass(bytes: Buffer): void {
    const kept = this.#boundary.length + 16;
    const all = this.#tail.length === 0 ? bytes : Buffer.concat([this.#tail, bytes]);
    const cut = Math.max(all.length - kept, 0);
    if (cut > 0) this.media.chunk(all.subarray(0, cut));
    this.#tail = all.subarray(cut);
  }

  end(): Description {
    const close = this.#tail.lastIndexOf(`\r\n--${this.#boundary}--`);
    if (close < 0) throw new Error("a related body without its end");
    if (close > 0) this.media.chunk(this.#tail.subarray(0, close));
    return this.#given;
  }
}
