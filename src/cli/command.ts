/** What a verb is: one command a file, registered by one line in commands.ts. */
import type { Environment } from "../config.ts";
import type { ExitCode } from "../core/error.ts";
import type { Log } from "../core/log.ts";
import type { Output } from "./output.ts";

/** One flag, in the shape of node:util parseArgs plus what `sealift help` prints. */
export interface Option {
  readonly type: "string" | "boolean";
  readonly short?: string;
  readonly multiple?: boolean;
  /** One clause for the help text. */
  readonly means: string;
  /** How the value is called in the help text: `URL`, `FILE`. */
  readonly value?: string;
}

export type Options = Readonly<Record<string, Option>>;

export interface Invocation {
  readonly positionals: readonly string[];
  readonly flags: Flags;
  readonly environment: Environment;
  readonly log: Log;
  /** Results, and nothing else, go here. */
  readonly output: Output;
  /** `--json`: results as one JSON value (or a line each). */
  readonly json: boolean;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** The flags as given on the command line, else by `SEALIFT_FLAG_NAME`. */
export interface Flags {
  readonly text: (name: string) => string | undefined;
  /** Throws USAGE naming the flag where it is absent. */
  readonly required: (name: string) => string;
  readonly is: (name: string) => boolean;
  readonly list: (name: string) => readonly string[];
  /** Throws USAGE where the text is not a whole number in [min, max]. */
  readonly number: (name: string, min?: number, max?: number) => number | undefined;
}

export interface Command {
  readonly name: string;
  /** One clause for the list of verbs. */
  readonly summary: string;
  /** What stands after `sealift <name>`: `<url> [--json]`. */
  readonly usage: string;
  readonly options: Options;
  /** Most positionals that may be given; more is USAGE. Default 0. */
  readonly positionalsMax?: number;
  run(invocation: Invocation): Promise<ExitCode>;
}
