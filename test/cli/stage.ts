/** The program on a stage of its own: streams that collect, signals that a test sends. */
import { EventEmitter } from "node:events";
import { Writable } from "node:stream";
import type { Command } from "../../src/cli/command.ts";
import { runProgram } from "../../src/cli/program.ts";
import { type Env, readEnvironment } from "../../src/config.ts";
import type { ExitCode } from "../../src/core/error.ts";

class Collector extends Writable {
  readonly chunks: Buffer[] = [];

  override _write(chunk: Buffer | string, _encoding: BufferEncoding, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    done();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

export interface Performance {
  readonly code: ExitCode;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
  /** Codes with which the program ended at once. */
  readonly exits: readonly ExitCode[];
}

export interface Setting {
  readonly env?: Env;
  readonly commands?: readonly Command[];
  readonly signals?: EventEmitter;
}

export async function perform(args: readonly string[], setting: Setting = {}): Promise<Performance> {
  const stdout = new Collector();
  const stderr = new Collector();
  const exits: ExitCode[] = [];
  const code = await runProgram(args, {
    stdout,
    stderr,
    signals: setting.signals ?? new EventEmitter(),
    environment: readEnvironment({ HOME: "/nowhere", ...setting.env }),
    ...(setting.commands === undefined ? {} : { commands: setting.commands }),
    exit: (exit) => void exits.push(exit),
  });
  return { code, stdout: stdout.bytes.toString(), stdoutBytes: stdout.bytes, stderr: stderr.bytes.toString(), exits };
}
