/** Big-endian fields, one after another, of bytes that may not all have come yet. */

/** More bytes are needed than there are: so many, counted from the first. */
export class Shortage extends Error {
  readonly neededBytes: number;

  constructor(neededBytes: number) {
    super("more bytes are needed");
    this.neededBytes = neededBytes;
  }
}

export class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get at(): number {
    return this.#at;
  }

  /** A view. Throws a Shortage. */
  take(sizeBytes: number): Buffer {
    const end = this.#at + sizeBytes;
    if (end > this.#bytes.length) throw new Shortage(end);
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  u16(): number {
    return this.take(2).readUInt16BE();
  }

  u32(): number {
    return this.take(4).readUInt32BE();
  }

  /** A field that says its own length in 16 bits. */
  field(): Buffer {
    return this.take(this.u16());
  }
}
