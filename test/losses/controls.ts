/**
 * Negative controls: the built program with a guard taken out. A control that no longer finds its guard fails, so that a guard that
 * has moved is noticed.
 */
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** One place in one emitted module: `find` must be there, once. */
export interface Change {
  /** As in src, without its ending: `transfer/passage`. */
  readonly module: string;
  readonly find: string;
  readonly replace: string;
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Inside the checkout, so that packages are found; git does not look there. */
const CACHE = join(ROOT, "node_modules", ".cache", "sealift-controls");

export interface Build {
  /** The folder that holds `src/` and `workers/`. */
  readonly url: URL;
  remove(): Promise<void>;
}

export async function buildWithout(changes: readonly Change[]): Promise<Build> {
  const name = createHash("sha256").update(JSON.stringify(changes)).digest("hex").slice(0, 12);
  const directory = join(CACHE, `${name}-${process.pid}`);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  for (const folder of ["src", "workers"]) {
    const from = join(ROOT, "dist", folder);
    await cp(from, join(directory, folder), { recursive: true, filter: (path) => !path.endsWith(".map") });
  }
  // Without it Node would take the modules for CommonJS.
  await writeFile(join(directory, "package.json"), JSON.stringify({ type: "module" }));
  const remove = () => rm(directory, { recursive: true, force: true });
  try {
    for (const change of changes) await apply(directory, change);
  } catch (error) {
    await remove();
    throw error;
  }
  return { url: pathToFileURL(`${directory}/`), remove };
}

async function apply(directory: string, { module, find, replace }: Change): Promise<void> {
  const path = join(directory, "src", `${module}.js`);
  const text = await readFile(path, "utf8");
  const times = text.split(find).length - 1;
  if (times !== 1) throw new Error(`stale control: ${module} holds this ${times} times, not once: ${find}`);
  await writeFile(
    path,
    text.replace(find, () => replace),
  );
}
