/** The program as a process: used by main.ts and by the worker entry points. */
import { quietSdk } from "../config.ts";
import { runProgram } from "./program.ts";

export async function runAsProcess(args: readonly string[]): Promise<void> {
  quietSdk();
  const { stdout, stderr } = process;
  process.exitCode = await runProgram(args, { stdout, stderr, signals: process, exit: (code) => process.exit(code) });
  // A connection that somebody forgot must not keep a finished program alive; unwritten output must.
  setInterval(() => {
    if (stdout.writableLength === 0 && stderr.writableLength === 0) process.exit();
  }, 1000).unref();
}
