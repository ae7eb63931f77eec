/**
 * docs/benchmarks.md, a section at a time: each benchmark writes its own, under its own heading, and leaves the others' as they are.
 * What stands above the first heading is written anew each time.
 */
import { readFile, writeFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";

/** From the project's folder, where every script starts: a bench may run from a build that lies elsewhere. */
const PAGE = "docs/benchmarks.md";

/** `lines`: Markdown, without the heading. */
export async function writeSection(heading: string, lines: readonly string[]): Promise<void> {
  const before = await readFile(PAGE, "utf8").catch(() => "");
  await writeFile(PAGE, withSection(before, heading, [machine(), "", ...lines]));
}

/** The page with this section in the place of the one of the same heading, or at the end. */
export function withSection(page: string, heading: string, lines: readonly string[]): string {
  const [, ...sections] = page.split(/^## /m);
  const text = `${heading}\n\n${lines.join("\n").trim()}\n`;
  const at = sections.findIndex((section) => section.slice(0, section.indexOf("\n")) === heading);
  if (at < 0) sections.push(text);
  else sections[at] = text;
  return [TOP, ...sections.map((section) => section.trim())].join("\n\n## ").concat("\n");
}

const TOP = [
  "# Benchmarks",
  "",
  "Written by the benchmarks (`npm run bench`, `bench:memory`, `bench:scale`); no number here is typed by hand. Absolute times are those",
  "of one machine on one day, and noisy: the clouds run on the same processors as the workers.",
].join("\n");

/** Sections are of different days, and may be of different machines. */
function machine(): string {
  const [cpu] = cpus();
  const memory = (totalmem() / 1024 ** 3).toFixed(0);
  const model = cpu?.model.trim() || "unknown processor";
  const day = new Date().toISOString().slice(0, 10);
  return `Machine: ${cpus().length} x ${model}, ${memory} GiB, Linux ${release()}, Node ${process.version}. ${day}.`;
}
