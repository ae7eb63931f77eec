/** docs/benchmarks.md, one section a bench: each writes its own and leaves the others as they are. */
import { readFile, writeFile } from "node:fs/promises";

const PAGE = "docs/benchmarks.md";

/** Replaces the section of this heading, or adds it at the end. */
export async function writeSection(heading: string, body: string, page: string | URL = PAGE): Promise<void> {
  const text = await readFile(page, "utf8");
  const title = `## ${heading}`;
  const sections = text.split(/^(?=## )/m);
  const at = sections.findIndex((section) => section.split("\n", 1)[0] === title);
  const section = `${title}\n\n${body.trim()}\n`;
  if (at < 0) sections.push(section);
  else sections[at] = section;
  await writeFile(page, `${sections.map((each) => each.trim()).join("\n\n")}\n`);
}
