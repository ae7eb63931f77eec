/** Progress, on stderr: stdout is for the result. */
const startedMs = Date.now();

export const say = (text: string): void =>
  void process.stderr.write(`${((Date.now() - startedMs) / 1000).toFixed(0).padStart(4)} s ${text}\n`);
