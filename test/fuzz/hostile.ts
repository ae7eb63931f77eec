/** Valid inputs made hostile, as fast-check arbitraries: they shrink, and a failure prints its seed. */
import fc from "fast-check";

const PIECES = [
  "__proto__",
  "constructor",
  '{"toString":1}',
  "null",
  "[]",
  "{}",
  '""',
  "-1",
  "0",
  "1e309",
  "NaN",
  "9007199254740993",
  "\\ud800",
  "\\u0000",
  "\ufeff",
  "\uff5e",
  "\u{1f511}",
  "%zz",
  "%00",
  "../",
  "//",
  "=?UTF-8?B?w4PCtg==?=",
  "&#x0;",
  "<a>",
  "</a>",
  "\r\n",
  "\n",
  ": ",
  "*",
  "&a ",
  "\0",
] as const; // prettier-ignore

type Edit = (text: string) => string;

const at = fc.double({ min: 0, max: 1, noNaN: true });
const place = (text: string, where: number): number => Math.floor(where * text.length);

const edit: fc.Arbitrary<Edit> = fc.oneof(
  at.map(
    (where): Edit =>
      (text) =>
        text.slice(0, place(text, where)),
  ),
  fc.tuple(at, fc.nat(40)).map(
    ([where, count]): Edit =>
      (text) =>
        text.slice(0, place(text, where)) + text.slice(place(text, where) + count),
  ),
  fc.tuple(at, fc.constantFrom(...PIECES)).map(
    ([where, piece]): Edit =>
      (text) =>
        text.slice(0, place(text, where)) + piece + text.slice(place(text, where)),
  ),
  fc.tuple(at, fc.nat(30), fc.constantFrom(...PIECES)).map(
    ([where, count, piece]): Edit =>
      (text) =>
        text.slice(0, place(text, where)) + piece + text.slice(place(text, where) + count),
  ),
  fc.tuple(at, fc.nat(0xffff)).map(
    ([where, unit]): Edit =>
      (text) =>
        text.slice(0, place(text, where)) + String.fromCharCode(unit) + text.slice(place(text, where) + 1),
  ),
  fc.tuple(at, fc.constantFrom("[", '{"a":', "<a>", "(", "- ", "*"), fc.constantFrom(8, 64, 2000)).map(
    ([where, open, depth]): Edit =>
      (text) =>
        text.slice(0, place(text, where)) + open.repeat(depth) + text.slice(place(text, where)),
  ),
  fc.constantFrom("0", "-1", "1e309", "9007199254740993", "99999999999999999999", "0.5", "007").map(
    (number): Edit =>
      (text) =>
        text.replace(/\d+/, number),
  ),
  fc.tuple(at, at).map(
    ([one, other]): Edit =>
      (text) => {
        const lines = text.split("\n");
        lines.splice(place(text, other) % lines.length, 0, lines[place(text, one) % lines.length] ?? "");
        return lines.join("\n");
      },
  ),
); // prettier-ignore

/** Cut, flipped, doubled, nested and filled with what parsers trip over. */
export const hostileText = (seeds: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom(...seeds), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([seed, edits]) => edits.reduce((text, change) => change(text), seed).slice(0, 16_384));

const STRANGERS: readonly unknown[] = [
  null,
  true,
  -1,
  0.5,
  1e300,
  "",
  "x",
  [],
  {},
  [[]],
  { toString: 1, valueOf: 1 },
  "\ud800",
  "9".repeat(30),
];

interface Change {
  readonly kind: "drop" | "retype" | "double" | "proto" | "add";
  readonly pick: number;
  readonly stranger: number;
}

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom<Change["kind"]>("drop", "retype", "double", "proto", "add"),
  pick: fc.nat(1000),
  stranger: fc.nat(STRANGERS.length - 1),
});

/** The same record with fields dropped, retyped, repeated or added, at any depth: as JSON text. */
export const hostileJson = (seeds: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom(...seeds), fc.array(change, { minLength: 1, maxLength: 3 }))
    .map(([seed, changes]) => changes.reduce(changed, seed));

function changed(text: string, { kind, pick, stranger }: Change): string {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    return text;
  }
  const holders: Record<string, unknown>[] = [];
  const gather = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    holders.push(value as Record<string, unknown>);
    for (const inner of Object.values(value)) gather(inner);
  };
  gather(root);
  const holder = holders[pick % holders.length];
  if (holder === undefined) return text;
  const names = Object.keys(holder);
  const name = names[pick % Math.max(names.length, 1)] ?? "x";
  if (kind === "drop") delete holder[name];
  else if (kind === "retype") holder[name] = STRANGERS[stranger];
  else if (kind === "add") holder[`x${stranger}`] = STRANGERS[stranger];
  const written = JSON.stringify(root);
  if (kind === "proto") return written.replace("{", `{"__proto__":${JSON.stringify(STRANGERS[stranger])},`);
  if (kind === "double") return written.replace(/\{("[^"]+":)/, `{$1${JSON.stringify(STRANGERS[stranger])},$1`);
  return written;
}
