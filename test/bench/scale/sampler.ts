/** Memory over time: of Redis as it says itself, of processes as the operating system does. */
import { readFile } from "node:fs/promises";
import type { Redis } from "ioredis";

export interface Sample {
  readonly seconds: number;
  readonly redisBytes: number;
  readonly redisKeys: number;
  readonly pagesOutstanding: number;
  readonly handled: number;
  /** Resident size of each process, by name. */
  readonly rssBytes: Readonly<Record<string, number>>;
}

export interface Watched {
  readonly name: string;
  readonly pid: number;
}

/** VmRSS: now. VmHWM: the most there ever was. */
export async function memoryOf(pid: number, field: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) * 1024;
}

/** CPU of all threads of a process so far. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export async function redisMemory(redis: Redis): Promise<{ readonly used: number; readonly peak: number }> {
  const info = await redis.info("memory");
  const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1]);
  return { used: field("used_memory"), peak: field("used_memory_peak") };
}

export async function rssOf(watched: readonly Watched[]): Promise<Record<string, number>> {
  const sizes = await Promise.all(watched.map(async ({ name, pid }) => [name, await memoryOf(pid, "VmRSS")] as const));
  return Object.fromEntries(sizes);
}
