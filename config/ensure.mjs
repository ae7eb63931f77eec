/**
 * Makes a fresh clone ready for `npm test` and `npm run demo`: the installed packages, and a redis-server. Plain Node without
 * dependencies, because it runs before there are any.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const quiet = process.argv.includes("--quiet");

const say = (line) => process.stderr.write(`ensure: ${line}\n`);

function onPath(name) {
  return (process.env.PATH ?? "").split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return directory !== "";
    } catch {
      return false;
    }
  });
}

/** Output goes to stderr: stdout belongs to whoever called. A quiet run names the command and shows more only when it failed. */
function run(command, args, env = {}) {
  say([command, ...args].join(" "));
  const stdio = quiet ? ["ignore", "pipe", "pipe"] : ["ignore", 2, 2];
  const done = spawnSync(command, args, {
    cwd: root,
    stdio,
    env: { ...process.env, ...env },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (done.status === 0) return true;
  process.stderr.write(`${done.stdout ?? ""}${done.stderr ?? ""}`);
  process.stderr.write(`ensure: ${command} failed (${done.error?.message ?? `exit ${done.status ?? done.signal}`})\n`);
  return false;
}

/** npm writes node_modules/.package-lock.json last, so it dates the last complete install. */
function packagesAreCurrent() {
  const installed = join(root, "node_modules", ".package-lock.json");
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(root, "package-lock.json")).mtimeMs;
}

function ensurePackages() {
  if (packagesAreCurrent()) return true;
  // npm ci leaves the lock file alone and installs exactly it; development packages too, whatever NODE_ENV says.
  return run(process.platform === "win32" ? "npm.cmd" : "npm", ["ci", "--include=dev"]);
}

function ensureRedis() {
  if (process.env.REDIS_URL || onPath("redis-server")) return true;
  if (process.getuid?.() === 0 && onPath("apt-get")) {
    const env = { DEBIAN_FRONTEND: "noninteractive" };
    const installed =
      run("apt-get", ["update"], env) &&
      run("apt-get", ["install", "-y", "--no-install-recommends", "redis-server"], env);
    if (installed && onPath("redis-server")) return true;
  }
  process.stderr.write(
    [
      "ensure: there is no redis-server on the PATH, and the queue needs one. Any of these will do:",
      "  - install it: apt-get install redis-server, dnf install redis, brew install redis",
      "  - run it in a container: docker compose up -d redis, then set REDIS_URL=redis://127.0.0.1:6379",
      "  - use one you have: set REDIS_URL=redis://host:port",
      "",
    ].join("\n"),
  );
  return false;
}

if (!ensurePackages()) process.exit(1);
if (!ensureRedis()) process.exit(3);
if (!quiet) say("ready");
