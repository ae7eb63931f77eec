/**
 * Protocol buffers as far as Tink's keys need them: messages of numbers and of bytes.
 *
 *   | field number << 3 | wire type: varint |  0: value, varint   |
 *   |                                       |  2: length, varint | bytes |
 */

export type Fields = ReadonlyMap<number, number | Uint8Array>;

const VARINT_BYTES_MAX = 5;

/**
 * The fields of one message; the bytes are views. undefined: it is none. A field that stands twice is refused, because parsers differ
 * in which of the two they take; but for those that are lists (`repeated`), of which the last is kept.
 */
export function fieldsOf(message: Uint8Array, repeated: readonly number[] = []): Fields | undefined {
  const fields = new Map<number, number | Uint8Array>();
  let at = 0;
  const varint = (): number | undefined => {
    let value = 0;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = message[at++];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < message.length) {
    const tag = varint();
    if (tag === undefined || tag < 8) return undefined;
    const number = Math.floor(tag / 8);
    const value = varint();
    if (value === undefined || (fields.has(number) && !repeated.includes(number))) return undefined;
    if (tag % 8 === 0) fields.set(number, value);
    else if (tag % 8 !== 2 || value > message.length - at) return undefined;
    else {
      fields.set(number, message.subarray(at, at + value));
      at += value;
    }
  }
  return fields;
}

/** The bytes of one field; undefined where it is absent or a number. */
export function bytesAt(fields: Fields | undefined, number: number): Uint8Array | undefined {
  const value = fields?.get(number);
  return typeof value === "number" ? undefined : value;
}

/** A message of one field of bytes, of a number below 16. The caller wipes it where it is a key. */
export const messageOf = (number: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(number * 8 + 2), varintOf(bytes.length), bytes]);

function varintOf(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push((left % 0x80) + 0x80);
  return Buffer.of(...bytes, left);
}
