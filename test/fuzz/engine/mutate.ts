/** Inputs from inputs: bytes changed, and text changed where it means something (numbers, lines, nesting, names). */
import type { Random } from "./random.ts";

export const INPUT_BYTES_MAX = 16 * 1024;

/** What parsers trip over, whatever they read. */
const HOSTILE = [
  "__proto__",
  "constructor",
  "toString",
  '{"toString":1,"valueOf":1}',
  "null",
  "true",
  "[]",
  "{}",
  '""',
  "\\u0000",
  "\\ud800",
  "\\udfff",
  "\ufeff",
  "\uff5e",
  "\u{1f511}",
  "\u0130",
  "\u2028",
  "-1",
  "0",
  "1e309",
  "NaN",
  "inf",
  "0x10",
  "1.5",
  "9007199254740993",
  "99999999999999999999999",
  "1e15",
  "%00",
  "%",
  "..",
  "//",
  "=?UTF-8?B?w4PCtg==?=",
  "&#x0;",
  "&amp;",
  "<a>",
  "</a>",
  "\r\n",
  "\n",
  ": ",
  "\t",
  "-----",
  "*",
  "**",
  "&a",
  "*a",
  "!!js",
  ",",
  ":",
  '"',
  "\\",
] as const; // prettier-ignore

const NUMBERS = [
  "0",
  "-0",
  "1",
  "-1",
  "2147483648",
  "4294967296",
  "9007199254740991",
  "9007199254740993",
  "1e309",
  "8640000000000001",
  "0.5",
];

type Mutation = (input: Buffer, random: Random, materials: Materials) => Buffer;

export interface Materials {
  /** Texts that stand in the sources under test. */
  readonly words: readonly Buffer[];
  readonly corpus: readonly Uint8Array[];
}

const place = (input: Buffer, random: Random): number => random.below(input.length + 1);

function replace(input: Buffer, start: number, end: number, by: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, start), by, input.subarray(end)]);
}

function span(input: Buffer, random: Random): [number, number] {
  const start = place(input, random);
  const longest = random.below(3) === 0 ? input.length - start : Math.min(16, input.length - start);
  return [start, start + random.below(longest + 1)];
}

/** Where a run of digits stands, if anywhere. */
function digits(input: Buffer, random: Random): [number, number] | undefined {
  const found = [...input.toString("latin1").matchAll(/\d+/g)];
  if (found.length === 0) return undefined;
  const one = random.pick(found);
  return [one.index, one.index + one[0].length];
}

function lines(input: Buffer, random: Random, change: (all: string[], at: number) => void): Buffer {
  const all = input.toString("latin1").split("\n");
  change(all, random.below(all.length));
  return Buffer.from(all.join("\n"), "latin1");
}

const flipBit: Mutation = (input, random) => {
  if (input.length === 0) return input;
  const copy = Buffer.from(input);
  const at = random.below(copy.length);
  copy[at] = (copy[at] as number) ^ (1 << random.below(8));
  return copy;
};

const setByte: Mutation = (input, random) => {
  const at = place(input, random);
  return replace(input, at, at + 1, Buffer.of(random.below(256)));
};

const insertWord: Mutation = (input, random, { words }) => {
  const at = place(input, random);
  return words.length === 0 ? input : replace(input, at, at, random.pick(words));
};

const overwriteWord: Mutation = (input, random, { words }) =>
  words.length === 0 ? input : replace(input, ...span(input, random), random.pick(words));

const insertHostile: Mutation = (input, random) => {
  const at = place(input, random);
  return replace(input, at, at, Buffer.from(random.pick(HOSTILE)));
};

const overwriteHostile: Mutation = (input, random) =>
  replace(input, ...span(input, random), Buffer.from(random.pick(HOSTILE)));

const deleteSpan: Mutation = (input, random) => replace(input, ...span(input, random), Buffer.alloc(0));

const copySpan: Mutation = (input, random) => {
  const piece = input.subarray(...span(input, random));
  const at = place(input, random);
  return replace(input, at, at, piece);
};

const repeatSpan: Mutation = (input, random) => {
  const [start, end] = span(input, random);
  const times = 2 ** (1 + random.below(9));
  if ((end - start) * times > INPUT_BYTES_MAX) return input;
  return replace(input, start, end, Buffer.concat(Array<Buffer>(times).fill(input.subarray(start, end))));
};

const changeNumber: Mutation = (input, random) => {
  const found = digits(input, random);
  return found === undefined ? input : replace(input, ...found, Buffer.from(random.pick(NUMBERS)));
};

const nudgeNumber: Mutation = (input, random) => {
  const found = digits(input, random);
  if (found === undefined) return input;
  const value = Number(input.toString("latin1", ...found));
  return replace(input, ...found, Buffer.from(String(value + random.pick([-1, 1, 16, -16]))));
};

const dropLine: Mutation = (input, random) => lines(input, random, (all, at) => all.splice(at, 1));
const doubleLine: Mutation = (input, random) => lines(input, random, (all, at) => all.splice(at, 0, all[at] ?? ""));
const swapLines: Mutation = (input, random) =>
  lines(input, random, (all, at) => {
    const other = random.below(all.length);
    [all[at], all[other]] = [all[other] ?? "", all[at] ?? ""];
  });

const truncate: Mutation = (input, random) => input.subarray(0, place(input, random));

const splice: Mutation = (input, random, { corpus }) => {
  if (corpus.length === 0) return input;
  const other = Buffer.from(random.pick(corpus));
  return Buffer.concat([input.subarray(0, place(input, random)), other.subarray(place(other, random))]);
};

const transplant: Mutation = (input, random, { corpus }) => {
  if (corpus.length === 0) return input;
  const other = Buffer.from(random.pick(corpus));
  return replace(input, ...span(input, random), other.subarray(...span(other, random)));
};

const nest: Mutation = (input, random) => {
  const [open, close] = random.pick([
    ["[", "]"],
    ['{"a":', "}"],
    ["<a>", "</a>"],
    ["(", ")"],
    ["- ", ""],
  ] as const);
  const depth = 2 ** (2 + random.below(9));
  const [start, end] = span(input, random);
  return replace(input, start, end, Buffer.from(open.repeat(depth) + close.repeat(depth)));
};

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  insertWord,
  insertWord,
  overwriteWord,
  overwriteWord,
  insertHostile,
  overwriteHostile,
  deleteSpan,
  deleteSpan,
  copySpan,
  repeatSpan,
  changeNumber,
  nudgeNumber,
  dropLine,
  doubleLine,
  swapLines,
  truncate,
  splice,
  transplant,
  nest,
]; // prettier-ignore

/** One to eight changes, few being likelier. */
export function mutate(parent: Uint8Array, random: Random, materials: Materials): Buffer {
  let input: Buffer = Buffer.from(parent);
  const changes = 1 + random.below(1 + random.below(8));
  for (let change = 0; change < changes; change++) input = random.pick(MUTATIONS)(input, random, materials);
  return input.subarray(0, INPUT_BYTES_MAX);
}
