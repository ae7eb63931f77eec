/**
 * The only reader of the environment. Everything else is given what it needs: what is read here decides where state lives and
 * which secrets a reference names, and nothing about any object.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { SealiftError } from "./core/error.ts";

export type Env = Readonly<Record<string, string | undefined>>;

export interface Environment {
  /** SEALIFT_REDIS, else REDIS_URL. */
  readonly redisUrl?: string | undefined;
  /** SEALIFT_STATE_DIR, else $XDG_STATE_HOME/sealift, else ~/.local/state/sealift. Absolute. */
  readonly stateDirectory: string;
  /** SEALIFT_LEDGER. */
  readonly ledgerUrl?: string | undefined;
  /** PATH: where redis-server is looked for. */
  readonly searchPath?: string | undefined;
  /** https://no-color.org: any value but the empty one. */
  readonly noColor: boolean;
  /** The default of a flag: `--log-format` is SEALIFT_LOG_FORMAT. Empty counts as absent. */
  readonly flag: (name: string) => string | undefined;
}

export const flagVariable = (name: string): string => `SEALIFT_${name.replaceAll("-", "_").toUpperCase()}`;

export function readEnvironment(env: Env = process.env): Environment {
  const text = (name: string) => env[name] || undefined;
  // Node's own switch, which the SDKs' and Google's token requests obey too.
  if (text("NODE_TLS_REJECT_UNAUTHORIZED") === "0") {
    const instead = "unset it, and name authorities of your own in caFile";
    throw new SealiftError("USAGE", `NODE_TLS_REJECT_UNAUTHORIZED=0 lets anybody answer in a cloud's name: ${instead}`);
  }
  return {
    redisUrl: text("SEALIFT_REDIS") ?? text("REDIS_URL"),
    stateDirectory: stateDirectory(text),
    ledgerUrl: text("SEALIFT_LEDGER"),
    searchPath: text("PATH"),
    noColor: text("NO_COLOR") !== undefined,
    flag: (name) => text(flagVariable(name)),
  };
}

/** The XDG Base Directory Specification has relative paths ignored. A relative SEALIFT_STATE_DIR is a mistake and is said. */
function stateDirectory(text: (name: string) => string | undefined): string {
  const own = text("SEALIFT_STATE_DIR");
  if (own !== undefined && !isAbsolute(own)) {
    throw new SealiftError("USAGE", `SEALIFT_STATE_DIR must be an absolute path, not ${JSON.stringify(own)}`);
  }
  if (own !== undefined) return own;
  const xdg = text("XDG_STATE_HOME");
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "sealift");
  return join(text("HOME") ?? homedir(), ".local", "state", "sealift");
}

const SECRET_BYTES_MAX = 64 * 1024;

/** What a job file may hold in place of a secret. */
export const SECRET_REFERENCE = /^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+)$/;

/**
 * The value that `env:NAME` or `file:/path` names, without white space at its ends. Throws SECRET_MISSING; no message ever
 * holds the value, nor the reference itself where it is not one (it may be a secret in the wrong place).
 */
export function secret(reference: string, env: Env = process.env): string {
  if (!SECRET_REFERENCE.test(reference)) {
    throw new SealiftError("SECRET_MISSING", "a secret is not written as a reference (env:NAME or file:/path)");
  }
  const name = reference.slice(reference.indexOf(":") + 1);
  // `env:constructor` names no variable, though every object has one of that name.
  const variable = Object.hasOwn(env, name) ? env[name] : undefined;
  const value = (reference.startsWith("env:") ? variable : readSecretFile(name))?.trim();
  if (value) return value;
  throw new SealiftError("SECRET_MISSING", `${reference} is ${value === undefined ? "not set" : "empty"}`);
}

/** Opens first and asks the open file, so that what is checked is what is read. */
function readSecretFile(path: string): string {
  const refuse = (why: string, cause?: unknown) => new SealiftError("SECRET_MISSING", `file:${path} ${why}`, { cause });
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (error) {
    const { code } = error as { code?: string };
    throw refuse(code === "ENOENT" ? "is not there" : `cannot be opened (${code ?? "unknown reason"})`, error);
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw refuse("is not a regular file");
    if ((stat.mode & 0o077) !== 0) throw refuse("can be read or written by other users: chmod 600 it");
    if (stat.size > SECRET_BYTES_MAX) throw refuse(`is larger than ${SECRET_BYTES_MAX} bytes`);
    const bytes = Buffer.alloc(stat.size);
    return bytes.toString("utf8", 0, readSync(descriptor, bytes, 0, stat.size, 0));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * The AWS SDK warns every process on Node 20 of what its versions from 2027 on will need. The lockfile decides which version runs
 * here, so the warning would tell operators nothing they can act on. Set AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=false to see it.
 */
export function quietSdk(): void {
  process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
}

/** What a worker process is started with: this process's own environment, and what it is to do. */
export const childEnvironment = (added: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({
  ...process.env,
  ...added,
});
