/** What a lean cloud was asked, by kind, and the bytes of bodies. */
export interface Counted {
  readonly requests: Readonly<Record<string, number>>;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export class Counts {
  #requests: Record<string, number> = {};
  #sentBytes = 0;
  #receivedBytes = 0;

  add(kind: string): void {
    this.#requests[kind] = (this.#requests[kind] ?? 0) + 1;
  }

  #serial = 0;
  serial(): number {
    return ++this.#serial;
  }

  sent(bytes: number): void {
    this.#sentBytes += bytes;
  }

  received(bytes: number): void {
    this.#receivedBytes += bytes;
  }

  /** And begins anew. */
  take(): Counted {
    const taken = { requests: this.#requests, sentBytes: this.#sentBytes, receivedBytes: this.#receivedBytes };
    [this.#requests, this.#sentBytes, this.#receivedBytes] = [{}, 0, 0];
    return taken;
  }
}
