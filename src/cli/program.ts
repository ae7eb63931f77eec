/** The frame around every verb: command line in, exit code out. No decisions about objects are made here. */
import { type EventEmitter, setMaxListeners } from "node:events";
import { type Environment, readEnvironment } from "../config.ts";
import { asSealiftError, CODES, type ExitCode, type SealiftError } from "../core/error.ts";
import type { Log } from "../core/log.ts";
import type { Command, Flags, Options } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { parseLine, suggestion, usage } from "./flags.ts";
import { overview, verbHelp } from "./help.ts";
import { LOG_LEVELS, type LogLevel, openLog, scrubbed } from "./log.ts";
import { openOutput, printable } from "./output.ts";
import { programVersion } from "./package.ts";

/** What surrounds the program; tests bring their own. */
export interface Stage {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /** Emits SIGINT and SIGTERM. */
  readonly signals: EventEmitter;
  readonly environment?: Environment;
  readonly commands?: readonly Command[];
  /** Ends the process at once: a second SIGINT means it. */
  exit(code: ExitCode): void;
}

/** Flags of every verb. */
export const EVERYWHERE: Options = {
  help: { type: "boolean", short: "h", means: "print help and end" },
  http: {
    type: "string",
    value: "socket|undici",
    means: "HTTP client for clouds; undici is the way out if socket fails",
  },
  json: { type: "boolean", means: "print results as JSON on stdout" },
  "log-format": { type: "string", value: "text|json", means: "logs on stderr for people (text) or machines (json)" },
  "log-level": { type: "string", value: "LEVEL", means: `one of ${LOG_LEVELS.join(", ")}; default info` },
};

export async function runProgram(args: readonly string[], stage: Stage): Promise<ExitCode> {
  let report = (error: SealiftError): void => {
    stage.stderr.write(`sealift: ${printable(scrubbed(error.line()))}\n`);
  };
  try {
    const environment = stage.environment ?? readEnvironment();
    const commands = stage.commands ?? COMMANDS;
    const asked = answerWithoutVerb(args, commands, stage);
    if (asked !== undefined) return asked;
    const command = findCommand(args[0] as string, commands);
    const { flags, positionals } = parseLine(args.slice(1), { ...EVERYWHERE, ...command.options }, environment);
    if (flags.is("help")) {
      stage.stdout.write(`${verbHelp(command, EVERYWHERE)}\n`);
      return 0;
    }
    const log = openLogFor(flags, environment, stage);
    if (flags.text("log-format") === "json") report = (error) => logError(log, error);
    checkPositionals(command, positionals);
    return await runCommand(command, { flags, positionals, environment, log }, stage);
  } catch (error) {
    const known = asSealiftError(error);
    report(known);
    return CODES[known.code].exit;
  }
}

/** `sealift`, `sealift help [verb]`, `sealift --help`, `sealift --version`. */
function answerWithoutVerb(args: readonly string[], commands: readonly Command[], stage: Stage): ExitCode | undefined {
  const [first, second] = args;
  if (first === undefined) {
    // Not a success: a script whose verb came out empty must notice.
    stage.stderr.write(`${overview(commands, EVERYWHERE)}\n`);
    return 2;
  }
  if (first === "--version" || first === "-V" || first === "version") {
    stage.stdout.write(`sealift ${programVersion()}\n`);
    return 0;
  }
  if (first !== "help" && first !== "--help" && first !== "-h") return undefined;
  const text =
    second === undefined ? overview(commands, EVERYWHERE) : verbHelp(findCommand(second, commands), EVERYWHERE);
  stage.stdout.write(`${text}\n`);
  return 0;
}

function findCommand(name: string, commands: readonly Command[]): Command {
  const found = commands.find((command) => command.name === name);
  if (found) return found;
  if (name.startsWith("-")) throw usage(`the verb comes first: sealift <verb> ${name} ...`);
  const near = suggestion(name, ["help", ...commands.map((command) => command.name)], "");
  throw usage(`unknown verb ${JSON.stringify(name)}${near}`);
}

function openLogFor(flags: Flags, environment: Environment, stage: Stage): Log {
  const format = flags.text("log-format") ?? "text";
  if (format !== "text" && format !== "json") throw usage("--log-format is text or json");
  const level = (flags.text("log-level") ?? "info") as LogLevel;
  if (!LOG_LEVELS.includes(level)) throw usage(`--log-level is one of ${LOG_LEVELS.join(", ")}`);
  return openLog(stage.stderr, { format, level, color: stage.stderr.isTTY === true && !environment.noColor });
}

function checkPositionals(command: Command, positionals: readonly string[]): void {
  const max = command.positionalsMax ?? 0;
  if (positionals.length <= max) return;
  throw usage(
    `sealift ${command.name} does not take ${JSON.stringify(positionals[max])}; usage: ${command.usage || "no arguments"}`,
  );
}

/**
 * The first SIGINT or SIGTERM asks the verb to end; it gives back what it has in hand. The second SIGINT ends at once. Either
 * way SIGINT is 130, whatever the verb made of it.
 */
async function runCommand(
  command: Command,
  parts: { flags: Flags; positionals: readonly string[]; environment: Environment; log: Log },
  stage: Stage,
): Promise<ExitCode> {
  const abort = new AbortController();
  // Every request in flight listens to it.
  setMaxListeners(0, abort.signal);
  let interrupts = 0;
  const onInterrupt = () => {
    if (++interrupts > 1) stage.exit(130);
    parts.log.warn({}, "stopping: work in hand is finished or given back (again to stop at once)");
    abort.abort();
  };
  const onTerminate = () => abort.abort();
  stage.signals.on("SIGINT", onInterrupt);
  stage.signals.on("SIGTERM", onTerminate);
  try {
    const output = openOutput(stage.stdout, stage.stdout.isTTY === true);
    const code = await command.run({ ...parts, output, json: parts.flags.is("json"), signal: abort.signal });
    return interrupts > 0 ? 130 : code;
  } catch (error) {
    if (interrupts === 0 || asSealiftError(error).code !== "INTERRUPTED") throw error;
    return 130;
  } finally {
    stage.signals.off("SIGINT", onInterrupt);
    stage.signals.off("SIGTERM", onTerminate);
  }
}

function logError(log: Log, error: SealiftError): void {
  const { code, object, cause } = error;
  log.error({ errorCode: code, object, next: CODES[code].next, cause }, error.message);
}
