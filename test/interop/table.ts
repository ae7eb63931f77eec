/** Who opened which messages where, as docs/formats.md keeps it, a table for each format. */
import { readFileSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import { LIBRARIES, type Library } from "./messages.ts";
import { missing } from "./programs.ts";
import type { Place } from "./world.ts";

/** One way of sealing, and where the message lay when it was opened. */
interface Way {
  readonly by: string;
  readonly as: string;
  readonly wrap: string;
  readonly place: Place;
}

const ROADS: Readonly<Record<Place, string>> = {
  near: "where it was written",
  beyond: "S3, another AWS key",
  far: "Cloud Storage, a Google key",
  back: "Cloud Storage and back to S3",
};

export class Seen {
  readonly #cells = new Map<string, Map<string, boolean>>();

  /** Of all that were sealed in one way, each has to be opened. */
  add(way: Way, { id }: Library, reads: boolean): void {
    const name = JSON.stringify([way.as, way.place, way.wrap, way.by]);
    const cells = this.#cells.get(name) ?? new Map<string, boolean>();
    this.#cells.set(name, cells.set(id, reads && cells.get(id) !== false));
  }

  /** Ways of which the same was seen are one row. */
  table(libraries: readonly Library[]): string {
    const head = ["sealed as", "arrived by", "key before", "written by", ...libraries.map(({ id }) => `\`${id}\``)];
    const rows = new Map<string, { wraps: Set<string>; writers: Set<string> }>();
    for (const [name, cells] of this.#cells) {
      const [as, place, wrap, by] = JSON.parse(name) as [string, Place, string, string];
      const read = libraries.map(({ id }) => (cells.get(id) === undefined ? "–" : cells.get(id) ? "yes" : "no"));
      const row = JSON.stringify([as, ROADS[place], read]);
      const { wraps, writers } = rows.get(row) ?? { wraps: new Set<string>(), writers: new Set<string>() };
      rows.set(row, { wraps: wraps.add(wrap), writers: writers.add(by) });
    }
    const lines = [...rows].map(([row, { wraps, writers }]) => {
      const [as, road, read] = JSON.parse(row) as [string, string, string[]];
      return [
        as,
        road,
        [...wraps].sort().join(", "),
        [...writers]
          .sort()
          .map((id) => `\`${id}\``)
          .join(", "),
        ...read,
      ];
    });
    return [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  }
}

const PAGE = new URL("../../docs/formats.md", import.meta.url);
const marks = (name: string) =>
  new RegExp(`(<!-- interop-${name}:begin -->\\n)([\\s\\S]*?)(<!-- interop-${name}:end -->)`);

/** The table of a format is what docs/formats.md has; written there where it was asked for. Versions are this machine's. */
export function checkTable(name: Library["format"], seen: Seen, versions: ReadonlyMap<string, string>): void {
  const all = LIBRARIES.filter(({ format }) => format === name);
  const legend = all.map(
    (one) => `- \`${one.id}\`: ${one.name}, ${versions.get(one.id) ?? `not run: ${missing(one)}`}`,
  );
  const text = [...legend, "", seen.table(all.filter(({ id }) => versions.has(id)))].join("\n");
  console.log(text);
  if (process.env["SEALIFT_INTEROP_KEEP"]) keepTable(name, text);
  // What was not installed cannot be compared; the suite of the messages alone lists it as skipped.
  if (all.some(({ id }) => !versions.has(id))) return;
  const comparable = (some: string | undefined) => some?.replaceAll(/\d+(\.\d+)+/g, "").trim();
  expect(comparable(keptTable(name))).toBe(comparable(text));
}

const keptTable = (name: string): string | undefined => marks(name).exec(readFileSync(PAGE, "utf8"))?.[2];

function keepTable(name: string, text: string): void {
  const page = readFileSync(PAGE, "utf8");
  writeFileSync(
    PAGE,
    page.replace(marks(name), (_, begin: string, __, end: string) => `${begin}${text}\n${end}`),
  );
}
