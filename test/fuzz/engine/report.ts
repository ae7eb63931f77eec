/** The counts of a run as a table, in a page between two marks. */
import { readFileSync, writeFileSync } from "node:fs";

export interface Tally {
  readonly target: string;
  readonly inputs: number;
  readonly corpus: number;
  readonly places: number;
  readonly findings: number;
}

export interface Run {
  readonly seed: number;
  readonly minutes: number;
  readonly day: string;
  readonly machine: string;
  readonly tallies: readonly Tally[];
}

const BEGIN = "<!-- fuzz:begin -->";
const END = "<!-- fuzz:end -->";
const amount = (count: number): string => count.toLocaleString("en-US");

export function table({ tallies, day, minutes, seed, machine }: Run): string {
  const sum = (field: "inputs" | "corpus" | "findings") => amount(tallies.reduce((all, one) => all + one[field], 0));
  return [
    `Run of ${day}: ${minutes} minutes, seed ${seed}, ${machine}.`,
    "",
    "| target | inputs | corpus | places reached | findings |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...tallies.map(
      ({ target, inputs, corpus, places, findings }) =>
        `| \`${target}\` | ${amount(inputs)} | ${amount(corpus)} | ${amount(places)} | ${findings} |`,
    ),
    `| **all** | **${sum("inputs")}** | **${sum("corpus")}** | | **${sum("findings")}** |`,
  ].join("\n");
}

export function writeReport(page: string, run: Run): void {
  const text = readFileSync(page, "utf8");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${page} has no place between ${BEGIN} and ${END}`);
  writeFileSync(page, `${text.slice(0, begin + BEGIN.length)}\n${table(run)}\n${text.slice(end)}`);
}
