/** Help texts, made from the table of verbs so that they cannot disagree with it. */
import { flagVariable } from "../config.ts";
import { CODES, type ExitCode } from "../core/error.ts";
import type { Command, Options } from "./command.ts";

const WIDTH = 28;

const row = (name: string, means: string): string =>
  name.length > WIDTH - 2 ? `  ${name}\n  ${"".padEnd(WIDTH)}${means}` : `  ${name.padEnd(WIDTH)}${means}`;

export function overview(commands: readonly Command[], everywhere: Options): string {
  return [
    "sealift moves encrypted objects from one cloud to another without opening them.",
    "",
    "Usage: sealift <verb> [flags]",
    "",
    "Verbs:",
    ...commands.map(({ name, summary }) => row(name, summary)),
    row("help [verb]", "what a verb does and which flags it takes"),
    "",
    "Flags of every verb:",
    ...optionRows(everywhere),
    "",
    "Exit codes:",
    ...exitRows(),
    "",
    `Every flag can be set in the environment: --log-format is ${flagVariable("log-format")}.`,
  ].join("\n");
}

export function verbHelp(command: Command, everywhere: Options): string {
  const own = optionRows(command.options);
  return [
    `sealift ${command.name}: ${command.summary}`,
    "",
    `Usage: sealift ${command.name} ${command.usage}`.trimEnd(),
    ...(own.length > 0 ? ["", "Flags:", ...own] : []),
    "",
    "Flags of every verb:",
    ...optionRows(everywhere),
  ].join("\n");
}

const optionRows = (options: Options): string[] =>
  Object.entries(options).map(([name, option]) => {
    const letter = option.short === undefined ? "" : `-${option.short}, `;
    const value = option.type === "boolean" ? "" : ` ${option.value ?? "TEXT"}`;
    return row(`${letter}--${name}${value}`, option.multiple ? `${option.means} (repeatable)` : option.means);
  });

const EXITS: readonly (readonly [ExitCode, string])[] = [
  [0, "all done"],
  [1, "another error"],
  [2, "command line or job file"],
  [3, "a bucket, key or permission is not available"],
  [5, "interrupted or temporary: resuming helps"],
  [6, "finished, with objects that did not arrive"],
  [7, "integrity: bytes, keys or records do not match"],
  [8, "a limit was reached, or the migration was cancelled"],
  [130, "interrupted from the keyboard"],
];

const exitRows = (): string[] => EXITS.map(([code, means]) => row(String(code), means));

/** The table of error codes as README prints it. */
export function errorTable(): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  const rows = Object.entries(CODES).map(
    ([code, { means, next, retry, exit }]) => `| \`${code}\` | ${cell(means)} | ${cell(next)} | ${retry} | ${exit} |`,
  );
  return [
    "| code | what happened | what to do | tried again | exit |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}
