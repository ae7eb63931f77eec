/** config/ensure.mjs in a clone of its own, with a PATH on which npm, apt-get and redis-server are a few lines of shell. */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const script = fileURLToPath(new URL("../../config/ensure.mjs", import.meta.url));
const isRoot = process.getuid?.() === 0;

let clone = "";
beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), "sealift-ensure-"));
  for (const folder of ["config", "bin", "node_modules"]) mkdirSync(join(clone, folder));
  copyFileSync(script, join(clone, "config", "ensure.mjs"));
  install("package-lock.json", 100);
  install("node_modules/.package-lock.json", 200);
});
afterEach(() => rmSync(clone, { recursive: true }));

function install(path: string, seconds: number) {
  writeFileSync(join(clone, path), "{}");
  utimesSync(join(clone, path), seconds, seconds);
}

/** Every call is noted in `calls`. */
const command = (name: string, body = "") =>
  writeFileSync(join(clone, "bin", name), `#!/bin/sh\necho "${name} $*" >> "${clone}/calls"\n${body}\n`, {
    mode: 0o755,
  });

function ensure(args: readonly string[] = [], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(clone, "config", "ensure.mjs"), ...args], {
    env: { PATH: join(clone, "bin"), ...env },
    encoding: "utf8",
  });
  const calls = existsSync(join(clone, "calls")) ? readFileSync(join(clone, "calls"), "utf8").trim().split("\n") : [];
  expect(stdout).toBe("");
  return { status, stderr, calls };
}

describe("packages", () => {
  beforeEach(() => command("redis-server"));

  test("are left alone when they are newer than the lock file", () => {
    command("npm");
    expect(ensure()).toMatchObject({ status: 0, calls: [] });
    expect(ensure(["--quiet"]).stderr).toBe("");
  });

  test.each<[string, () => void]>([
    ["missing", () => rmSync(join(clone, "node_modules"), { recursive: true })],
    ["only half installed", () => rmSync(join(clone, "node_modules", ".package-lock.json"))],
    ["older than the lock file", () => install("package-lock.json", 300)],
  ])("are installed when they are %s", (_state, make) => {
    command("npm");
    make();
    expect(ensure()).toMatchObject({ status: 0, calls: ["npm ci --include=dev"] });
  });

  test("a failed install is a failure, and shown even when quiet", () => {
    command("npm", "echo the registry is away >&2; exit 7");
    rmSync(join(clone, "node_modules"), { recursive: true });
    const { status, stderr } = ensure(["--quiet"]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/the registry is away[^]*npm failed \(exit 7\)/);
  });
});

describe("redis-server", () => {
  test("is not asked for where REDIS_URL is set", () => {
    expect(ensure([], { REDIS_URL: "redis://127.0.0.1:6379" })).toMatchObject({ status: 0, calls: [] });
  });

  test("that cannot be installed ends with 3 and the ways to get one", () => {
    const { status, stderr } = ensure(["--quiet"]);
    expect(status).toBe(3);
    for (const way of ["apt-get install", "docker compose up -d redis", "REDIS_URL=redis://"])
      expect(stderr).toContain(way);
  });

  test(isRoot ? "is installed by root where there is apt-get" : "is not installed by others", () => {
    const bin = join(clone, "bin");
    command(
      "apt-get",
      `if [ "$1" = install ]; then printf '#!/bin/sh\\n' > "${bin}/redis-server"; /bin/chmod 755 "${bin}/redis-server"; fi`,
    );
    const { status, calls } = ensure();
    const expected = ["apt-get update", "apt-get install -y --no-install-recommends redis-server"];
    expect([status, calls]).toEqual(isRoot ? [0, expected] : [3, []]);
  });

  test("a failing apt-get ends with 3", () => {
    command("apt-get", "exit 100");
    expect(ensure().status).toBe(3);
  });
});

test("the script is the one that package.json runs", () => {
  const { scripts } = JSON.parse(readFileSync(join(dirname(script), "..", "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  for (const name of ["test", "demo", "check"]) expect(scripts[name]).toMatch(/^node config\/ensure\.mjs/);
});
