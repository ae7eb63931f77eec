/** Files that travel with the program: package.json, config/. Found from the sources and from dist/ alike. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SealiftError } from "../core/error.ts";

function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, "config", "migration.example.yaml"))) {
    const above = dirname(directory);
    if (above === directory) throw new SealiftError("INTERNAL", "the files of the sealift package are not complete");
    directory = above;
  }
  return directory;
}

export const packageFile = (...path: readonly string[]): string => readFileSync(join(packageRoot(), ...path), "utf8");

export const programVersion = (): string => (JSON.parse(packageFile("package.json")) as { version: string }).version;
