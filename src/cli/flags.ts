/** The command line as flags: node:util parseArgs under stricter manners, with the environment as the lower layer. */
import { parseArgs } from "node:util";
import { type Environment, flagVariable } from "../config.ts";
import { SealiftError } from "../core/error.ts";
import type { Flags, Options } from "./command.ts";

export interface ParsedLine {
  readonly flags: Flags;
  readonly positionals: readonly string[];
}

type Values = Map<string, string | boolean | readonly string[]>;

/** Throws USAGE: unknown flag (with the nearest known one), flag without its value, value that is no boolean. */
export function parseLine(args: readonly string[], options: Options, environment: Environment): ParsedLine {
  const { tokens } = parseArgs({ args: [...args], options: optionsOf(options), strict: false, tokens: true });
  const values: Values = new Map();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    else if (token.kind === "option") take(values, options, token);
  }
  for (const [name, option] of Object.entries(options)) {
    const preset = values.has(name) ? undefined : environment.flag(name);
    if (preset === undefined) continue;
    if (option.type === "boolean") values.set(name, toBoolean(preset, flagVariable(name)));
    else values.set(name, option.multiple ? preset.split(",") : preset);
  }
  return { flags: readFlags(values), positionals };
}

const optionsOf = (options: Options) =>
  Object.fromEntries(
    Object.entries(options).map(([name, { type, short }]) => [name, short === undefined ? { type } : { type, short }]),
  );

/** Of a URL: `redis://user:password@host`, `redis://host?password=...`. */
const PASSWORD = /:\/\/[^\s/@]*:[^\s/@]+@|[?&]password=./i;

function take(
  values: Values,
  options: Options,
  token: { name: string; rawName: string; value?: string | undefined; inlineValue?: boolean | undefined },
): void {
  const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
  if (option === undefined) throw usage(`unknown flag ${token.rawName}${suggestion(token.name, Object.keys(options))}`);
  if (option.type === "boolean") {
    values.set(token.name, token.value === undefined || toBoolean(token.value, token.rawName));
    return;
  }
  // `--region --endpoint x` is a forgotten value, not a Region named `--endpoint`.
  if (token.value === undefined || (!token.inlineValue && /^-./.test(token.value))) {
    throw usage(`${token.rawName} needs a value${option.value ? ` (${option.value})` : ""}`);
  }
  if (PASSWORD.test(token.value)) {
    const instead = `set ${flagVariable(token.name)} instead`;
    throw usage(
      `${token.rawName} holds a password, and arguments are visible to every user of this machine: ${instead}`,
    );
  }
  const before = values.get(token.name);
  values.set(token.name, option.multiple ? [...(Array.isArray(before) ? before : []), token.value] : token.value);
}

function toBoolean(text: string, where: string): boolean {
  if (/^(true|1|yes|on)$/i.test(text)) return true;
  if (/^(false|0|no|off)$/i.test(text)) return false;
  throw usage(`${where} is yes or no, not ${JSON.stringify(text)}`);
}

function readFlags(values: Values): Flags {
  const text = (name: string) => {
    const value = values.get(name);
    return typeof value === "string" ? value : undefined;
  };
  return {
    text,
    required: (name) => {
      const value = text(name);
      if (value === undefined) throw usage(`--${name} is required`);
      return value;
    },
    is: (name) => values.get(name) === true,
    list: (name) => {
      const value = values.get(name);
      return Array.isArray(value) ? (value as readonly string[]) : [];
    },
    number: (name, min = 0, max = Number.MAX_SAFE_INTEGER) => {
      const value = text(name);
      if (value === undefined) return undefined;
      const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
      if (number >= min && number <= max) return number;
      throw usage(`--${name} is a whole number from ${min} to ${max}, not ${JSON.stringify(value)}`);
    },
  };
}

export const usage = (message: string) => new SealiftError("USAGE", message);

/** `; did you mean --region?`, or nothing where nothing is near. */
export function suggestion(given: string, known: readonly string[], mark = "--"): string {
  const near = known
    .map((name) => ({ name, distance: name.startsWith(given) && given.length > 1 ? 0 : distance(given, name) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const limit = Math.max(1, Math.floor(given.length / 3));
  return near !== undefined && near.distance <= limit ? `; did you mean ${mark}${near.name}?` : "";
}

/** Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
