/** Ceph's S3 gateway for the tests under test/real: installed where that is possible, started on a port of its own, and ended. */
import { execFile } from "node:child_process";
import { access, mkdtemp, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = (name: string): string => new URL(name, import.meta.url).pathname;

const PROGRAMS = ["ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph"];
const PACKAGES = ["ceph-mon", "ceph-osd", "radosgw"];

export interface Rgw {
  readonly url: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  close(): Promise<void>;
}

/** Why there can be no gateway here; undefined where there is one, after installing it if need be. */
export async function rgwMissing(): Promise<string | undefined> {
  if (await installed()) return undefined;
  const debian = await readFile("/etc/debian_version").then(
    () => true,
    () => false,
  );
  if (!debian || process.getuid?.() !== 0) return `install ${PACKAGES.join(", ")} (not root on Debian)`;
  try {
    await run("apt-get", ["update", "-q"]);
    await run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...PACKAGES], {
      maxBuffer: 64 * 1024 * 1024,
    });
  } catch (error) {
    return `apt-get could not install ${PACKAGES.join(", ")}: ${String(error).slice(0, 300)}`;
  }
  return (await installed()) ? undefined : "installed, and not found";
}

async function installed(): Promise<boolean> {
  const found = PROGRAMS.map((name) =>
    access(join("/usr/bin", name)).then(
      () => true,
      () => false,
    ),
  );
  return (await Promise.all(found)).every(Boolean);
}

export async function startRgw({ concurrent = 1024 } = {}): Promise<Rgw> {
  const directory = await mkdtemp(join(tmpdir(), "sealift-rgw-"));
  const port = await freePort();
  const down = async () => void (await run(here("rgw-down.sh"), ["-d", directory]));
  try {
    const { stdout } = await run(here("rgw-up.sh"), ["-d", directory, "-p", String(port), "-t", String(concurrent)]);
    const [, url = "", accessKeyId = "", secretAccessKey = ""] = /^READY (\S+) (\S+) (\S+)$/m.exec(stdout) ?? [];
    return { url, credentials: { accessKeyId, secretAccessKey }, close: down };
  } catch (error) {
    await down();
    throw error;
  }
}

/** The gateway also uses ports 10,000 above its own. */
async function freePort(): Promise<number> {
  for (let turn = 0; turn < 200; turn++) {
    const port = 20_000 + ((process.pid * 131 + turn * 211) % 20_000);
    if ((await isFree(port)) && (await isFree(port + 10_000)) && (await isFree(port + 10_001))) return port;
  }
  throw new Error("no free port");
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => {
      const { port: bound } = server.address() as AddressInfo;
      server.close(() => resolve(bound === port));
    });
  });
