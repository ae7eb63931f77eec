/**
 * Logs on stderr: NDJSON with `--log-format json`, else lines for a person. Guests: pino, pino-pretty.
 *
 * Redaction is a second wall: no caller passes secrets, and what looks like one is taken out here all the same, because a log
 * travels further than anything else a program writes.
 */
import { pino } from "pino";
import pretty from "pino-pretty";
import type { Log } from "../core/log.ts";
import { printable } from "./output.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  readonly format: "text" | "json";
  readonly level: LogLevel;
  readonly color: boolean;
}

export function openLog(stream: NodeJS.WritableStream, options: LogOptions): Log {
  // A reader of stderr that has gone away must not end the work.
  stream.on("error", () => undefined);
  const sink =
    options.format === "json"
      ? { write: (line: string) => void stream.write(line) }
      : pretty({
          colorize: options.color,
          destination: stream,
          singleLine: true,
          sync: true,
          translateTime: "SYS:HH:MM:ss",
        });
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    sink,
  );
  // JSON escapes by itself; a terminal would obey what stands in a message.
  const shown = options.format === "json" ? (text: string) => text : printable;
  const at =
    (level: LogLevel): Log["info"] =>
    (fields, message) =>
      logger[level](redacted(fields) as object, shown(scrubbed(message)));
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

const HIDDEN = "[redacted]";
const DEPTH_MAX = 6;

/** Names under which a value is never written, whatever it is. */
const SECRET_NAME =
  /^(.*secret.*|.*password.*|.*token|authorization|cookie|access_?key(_?id)?|credentials|(data_?|wrapped_?|private_?)?keys?_?bytes|wrapped(_?key)?|cipher_?text(_?blob)?|plain_?text|x-amz-(key|key-v2|3|m|w|t)|x-amz-server-side-encryption-customer-key)$/i;

/** Texts that are secrets wherever they stand. No run before a mark is unbounded: a long text would be gone over once for each letter. */
const SECRET_TEXTS: readonly [RegExp, string][] = [
  [/\b(AKIA|ASIA)[A-Z0-9]{12,}/g, HIDDEN],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{8,}/gi, `$1 ${HIDDEN}`],
  [/\bya29\.[\w.-]+/g, HIDDEN],
  [/\b(Signature=)[0-9a-f]{16,}/gi, `$1${HIDDEN}`],
  [/\b(X-Amz-(?:Signature|Security-Token|Credential)|X-Goog-(?:Signature|Credential)|sig)=[^&\s"]+/gi, `$1=${HIDDEN}`],
  [/([a-z][a-z0-9+.-]{0,31}:\/\/)[^\s/@:"]*:[^\s/@"]+@/gi, `$1${HIDDEN}@`],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, HIDDEN],
];

export const scrubbed = (text: string): string =>
  SECRET_TEXTS.reduce((rest, [pattern, instead]) => rest.replace(pattern, instead), text);

/** A copy fit for a log: secrets by name or by look replaced, bytes by their length, errors by what they say. */
export function redacted(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return scrubbed(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (depth >= DEPTH_MAX) return "[deep]";
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return value;
  if (value instanceof Error) return describeError(value, depth);
  if (Array.isArray(value)) return value.map((entry) => redacted(entry, depth + 1));
  const pairs = value instanceof Map ? [...value.entries()] : Object.entries(value);
  return Object.fromEntries(
    pairs.map(([name, entry]) => [String(name), SECRET_NAME.test(String(name)) ? HIDDEN : redacted(entry, depth + 1)]),
  );
}

function describeError(error: Error, depth: number): unknown {
  const { code } = error as { code?: unknown };
  const cause = error.cause === undefined ? {} : { cause: redacted(error.cause, depth + 1) };
  return {
    type: error.name,
    ...(typeof code === "string" ? { code } : {}),
    message: scrubbed(error.message),
    ...cause,
  };
}
