/** The matrix of writers and readers: what the run saw, as docs/formats.md keeps it. */
import { readFileSync, writeFileSync } from "node:fs";
import { CLAIMS } from "./claims.ts";
import type { Official } from "./clients.ts";
import { isRight, type Reading, type Row } from "./crossing.ts";

/** `yes`: as the client comes; `legacy`: with its older modes allowed; `no`. Of all sizes the worst. */
export type Cell = "yes" | "legacy" | "no";

export function cellOf({ modes }: Official, readings: readonly Reading[]): Cell {
  const reads = (mode: string) => {
    const some = readings.filter((reading) => reading.mode === mode);
    return some.length > 0 && some.every(({ sample, answer }) => isRight(sample, answer));
  };
  if (!reads(modes.at(-1) ?? "")) return "no";
  return reads("default") ? "yes" : "legacy";
}

interface Reader {
  readonly official: Official;
  readonly version: string | undefined;
  readonly missing: string | undefined;
}

type Look = (official: Official, row: Row, place: "beyond" | "back") => Cell;

export function matrix(readers: readonly Reader[], rows: readonly Row[], look: Look): string {
  const open = readers.filter(({ version }) => version !== undefined).map(({ official }) => official);
  const head = ["written by", "as", "envelope in", ...open.map(({ id }) => `\`${id}\``)];
  return [
    ...readers.map(legend),
    "",
    line(head),
    line(head.map(() => "---")),
    ...body(open, rows, look).map(line),
    "",
    ...open.flatMap(refusals),
  ].join("\n");
}

const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

const legend = ({ official, version, missing }: Reader): string =>
  `- \`${official.id}\`: ${official.name}, ${version ?? `not run: ${missing?.replaceAll(/\s+/g, " ")}`}`;

/** Rows that differ in where the envelope stood, and in nothing that was seen, are one. */
function body(open: readonly Official[], rows: readonly Row[], look: Look): string[][] {
  const places = new Map<string, Set<string>>();
  for (const row of rows) {
    const cells = open.map((official) => bothWays(look(official, row, "beyond"), look(official, row, "back")));
    const seen = JSON.stringify([...named(row), cells]);
    places.set(seen, (places.get(seen) ?? new Set()).add(row.by?.written.place ?? "–"));
  }
  return [...places].map(([seen, where]) => {
    const [by, as, cells] = JSON.parse(seen) as [string, string, string[]];
    return [by, as, [...where].join(", "), ...cells];
  });
}

function named({ by }: Row): [string, string] {
  if (by === undefined) return ["nobody; sealed by sealift", "V3 `12`"];
  const { format, content, wrap } = by.written.says;
  const kind = content.startsWith("AES/CBC") ? " CBC" : format === "s3ec-v2" ? " GCM" : "";
  return [`\`${by.official.id}\``, `${format.slice(5).toUpperCase()}${kind} \`${wrap}\``];
}

const bothWays = (straight: Cell, around: Cell): string => (straight === around ? straight : `${straight} / ${around}`);

/** Why each `no` of a reader is one. */
function refusals({ id }: Official): string[] {
  return Object.entries(CLAIMS[id] ?? {}).flatMap(([wrap, { because }]) =>
    because === undefined ? [] : [`- \`${id}\` and ${wrap.replace(/ (.*)/, " `$1`")}: it ${because}.`],
  );
}

const PAGE = new URL("../../docs/formats.md", import.meta.url);
const KEPT = /(<!-- interop:begin -->\n)([\s\S]*?)(\n<!-- interop:end -->)/;

export const keptMatrix = (): string => KEPT.exec(readFileSync(PAGE, "utf8"))?.[2] ?? "";

export function keepMatrix(text: string): void {
  const page = readFileSync(PAGE, "utf8");
  writeFileSync(
    PAGE,
    page.replace(KEPT, (_, begin: string, __, end: string) => begin + text + end),
  );
}
