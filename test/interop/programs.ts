/** Where install.sh put the official clients, and how each language starts one. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const home =
  process.env["SEALIFT_INTEROP"] ?? fileURLToPath(new URL("../../node_modules/.cache/interop", import.meta.url));
const program = (path: string): string => fileURLToPath(new URL(`clients/${path}`, import.meta.url));

/** The names under which install.sh knows them. */
export type Install = "python" | "java" | "javascript" | "go" | "ruby";

/** Why it is not here; undefined where it is. */
export function missing({ install }: { readonly install: Install }): string | undefined {
  if (existsSync(join(home, `${install}.done`))) return undefined;
  const why = join(home, `${install}.missing`);
  return existsSync(why) ? readFileSync(why, "utf8").trim() : "not installed: run test/interop/install.sh";
}

/** The words that start a program; asked for only where it is installed. */
type Command = () => readonly string[];

export const python =
  (name: string): Command =>
  () => [join(home, "python", "bin", "python"), program(`python/${name}`)];

/** The version is that of the artifact whose file is called so. */
export const java =
  (main: string, artifact: RegExp, more: readonly string[] = []): Command =>
  () => {
    const classpath = readFileSync(join(home, "java.classpath"), "utf8").trim();
    const version = artifact.exec(classpath)?.[1] ?? "unknown";
    // One quick compiler and one collector: several of these machines share two cores with everything else.
    const options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"];
    return ["java", ...options, "-cp", `${join(home, "java")}:${classpath}`, main, version, ...more];
  };

export const javascript =
  (name: string): Command =>
  () => [process.execPath, join(home, "javascript", name)];

export const go: Command = () => [join(home, "go")];

export const ruby =
  (generation: string): Command =>
  () => ["ruby", "-W0", program("ruby/s3ec.rb"), generation];
