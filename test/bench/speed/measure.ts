/** What a program costs: the processor time of its whole tree as the kernel adds it up, wall time, and each process's peak memory. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface Cost {
  /** User and system, of the program and of every child that it waited for. */
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  /** The largest of any process of the tree, and of all together as far as they were seen. */
  readonly peakRssBytes: number;
  readonly sumRssBytes: number;
}

export interface Command {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Its output is long, and nobody's. */
  readonly quiet?: boolean | undefined;
}

export interface Finished extends Cost {
  readonly stdout: string;
  readonly stderr: string;
}

const LOOK_MS = 50;
const TEXT_MAX = 1024 * 1024;
/** The times of wait4(2), which hold those of grandchildren that were waited for; bash prints them in milliseconds. */
const TIMED = 'TIMEFORMAT="%U %S"; { time "$@" 2>&3; } 3>&2 2>&9';
const running = new Set<ChildProcess>();

/** Runs it to its end; throws where that was not 0. */
export async function measure({ argv, env, quiet }: Command): Promise<Finished> {
  const startedMs = performance.now();
  const child = spawn("bash", ["-c", TIMED, "bash", ...argv], {
    stdio: [
      "ignore",
      quiet ? "ignore" : "pipe",
      "pipe",
      "ignore",
      "ignore",
      "ignore",
      "ignore",
      "ignore",
      "ignore",
      "pipe",
    ],
    env: { ...process.env, ...env },
    detached: true,
  });
  running.add(child);
  const texts = [1, 2, 9].map((fd) => gathered(child.stdio[fd] as NodeJS.ReadableStream | null));
  const memory = new PeakMemory(child.pid as number);
  const timer = setInterval(() => memory.look(), LOOK_MS);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  clearInterval(timer);
  running.delete(child);
  const wallSeconds = (performance.now() - startedMs) / 1000;
  const [stdout = "", stderr = "", times = ""] = await Promise.all(texts);
  if (code !== 0) throw new Error(`${argv.slice(0, 3).join(" ")} ended with ${code}:\n${stderr.slice(-4000)}`);
  const [user, system] = times.trim().split(" ").map(Number);
  return { cpuSeconds: (user ?? NaN) + (system ?? NaN), wallSeconds, ...memory.peak(), stdout, stderr };
}

/** Whatever is under way ends, with everything it has started. */
export function killRunning(): void {
  for (const { pid } of running) {
    try {
      if (pid !== undefined) process.kill(-pid, "SIGKILL");
    } catch {
      // It had ended.
    }
  }
}

async function gathered(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = "";
  for await (const chunk of stream ?? []) text = (text + String(chunk)).slice(-TEXT_MAX);
  return text;
}

class PeakMemory {
  readonly #root: number;
  readonly #peaks = new Map<number, number>();

  constructor(root: number) {
    this.#root = root;
  }

  look(): void {
    for (const pid of descendants(this.#root)) {
      const peak = peakRssBytes(pid);
      if (peak > (this.#peaks.get(pid) ?? 0)) this.#peaks.set(pid, peak);
    }
  }

  peak() {
    const all = [...this.#peaks.values()];
    return { peakRssBytes: Math.max(0, ...all), sumRssBytes: all.reduce((a, b) => a + b, 0) };
  }
}

function descendants(root: number): number[] {
  const found: number[] = [];
  const visit = (pid: number) => {
    for (const child of childrenOf(pid)) {
      found.push(child);
      visit(child);
    }
  };
  visit(root);
  return found;
}

function childrenOf(pid: number): number[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    return tasks.flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

function peakRssBytes(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** User and system seconds so far of a process that lives on: Redis, a server. Ticks are of 10 ms. */
export function cpuSecondsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
