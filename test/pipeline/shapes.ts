/** Shapes of key that buckets have, each as so many distinct keys in no order. */

const digits = (value: number, length: number, radix = 10): string => value.toString(radix).padStart(length, "0");

/** Every number below `count` once, scattered (a fixed stride that shares no factor with `modulus`). */
const scattered = (count: number, modulus: number): number[] =>
  Array.from({ length: count }, (_, i) => (i * 7919) % modulus);

export const SHAPES: Readonly<Record<string, (count: number) => string[]>> = {
  hex: (count) => scattered(count, 1_000_003).map((n) => digits(n * 4001, 10, 16)),
  dates: (count) =>
    Array.from(
      { length: count },
      (_, i) => `logs/${2019 + (i % 6)}/${digits((i % 12) + 1, 2)}/${digits((i % 28) + 1, 2)}/${i}.gz`,
    ),
  "zipf prefixes": (count) =>
    Array.from({ length: count }, (_, i) => `tenant-${Math.floor(count / (i + 1))}/${digits(i, 6)}`),
  "one huge flat prefix": (count) => Array.from({ length: count }, (_, i) => `data/part-${digits(i, 9)}`),
  "differing after 1,000 bytes": (count) =>
    Array.from({ length: count }, (_, i) => `${"x/".repeat(500)}${digits(i, 5)}`),
  "emoji and full-width": (count) =>
    Array.from({ length: count }, (_, i) => `${["～", "😀", "zz", "é", "\u{10ffff}", ""][i % 6]}${i}`),
};
