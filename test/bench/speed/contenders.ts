/** Who is measured: how each of them is told to move a dataset from the source's cloud to a fresh bucket of the destination's. */
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "./measure.ts";
import { ACCESS_KEY, DESTINATION_KEY, type Dataset, SECRET_KEY, SOURCE_KEY } from "./seed.ts";
import type { Expected } from "./lean/check.ts";
import type { Cloud, World } from "./world.ts";

export interface Task {
  readonly world: World;
  readonly dataset: Dataset;
  readonly bucket: string;
}

export interface Contender {
  readonly name: string;
  readonly command: (task: Task) => Command | Promise<Command>;
  /** How what it moved has to look. */
  readonly arrives: Expected["how"];
  readonly destination: (world: World) => Cloud;
  /** A second look, by other means; throws where something is wrong. */
  readonly proof?: ((task: Task) => Promise<void>) | undefined;
}

const program = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const plainEnv = { AWS_CA_BUNDLE: undefined, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" };

export interface SealiftOptions {
  readonly workers?: number | undefined;
  readonly options?: Readonly<Record<string, unknown>> | undefined;
  readonly profile?: string | undefined;
}

/** The built program as its users run it; Redis is named so that its processor time can be told apart. */
export async function sealift({ world, dataset, bucket }: Task, settings: SealiftOptions = {}): Promise<Command> {
  const { credentials, source, destination, kms, redis } = world;
  const state = await mkdtemp(join(world.directory, "state-"));
  const job = {
    apiVersion: "sealift/v1",
    kind: "Migration",
    source: {
      url: `s3://${dataset.name}/`,
      endpoint: source.url,
      region: "us-east-1",
      credentials,
      kms: { endpoint: kms.url, region: "us-east-1", credentials },
    },
    destination: {
      url: `s3://${bucket}/`,
      endpoint: destination.url,
      region: "eu-west-1",
      credentials,
      kms: { endpoint: kms.url, region: "eu-west-1", credentials },
    },
    keys: { wrapWith: `aws-kms://${DESTINATION_KEY}`, allow: [`aws-kms://${SOURCE_KEY}`] },
    options: settings.options ?? {},
  };
  const path = join(state, "job.yaml");
  await writeFile(path, JSON.stringify(job));
  const main = program("../../../src/main.js");
  const env = {
    ...plainEnv,
    SEALIFT_STATE_DIR: state,
    SEALIFT_REDIS: redis.address,
    ...(settings.profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${settings.profile}` }),
  };
  const workers = settings.workers === undefined ? [] : ["--workers", String(settings.workers)];
  return { argv: [process.execPath, main, "run", path, "--json", ...workers], env };
}

/** An rclone remote in its environment: `:s3` with these settings. */
function remote(name: string, endpoint: string): Record<string, string> {
  const settings = {
    TYPE: "s3",
    PROVIDER: "Other",
    ENDPOINT: endpoint,
    REGION: "us-east-1",
    ACCESS_KEY_ID: ACCESS_KEY,
    SECRET_ACCESS_KEY: SECRET_KEY,
    FORCE_PATH_STYLE: "true",
    LIST_VERSION: "2",
    NO_CHECK_BUCKET: "true",
  };
  return Object.fromEntries(Object.entries(settings).map(([key, value]) => [`RCLONE_CONFIG_${name}_${key}`, value]));
}

/** What makes it cheapest on these clouds; docs/benchmarks.md says what was tried. */
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
  "--retries=1",
  "--stats=0",
];

export function rclone({ world, dataset, bucket }: Task, binary: string, flags = RCLONE_TUNED): Command {
  const env = {
    ...plainEnv,
    RCLONE_CONFIG: "/dev/null",
    ...remote("A", world.source.url),
    ...remote("B", world.destination.url),
  };
  return { argv: [binary, "copy", `A:${dataset.name}`, `B:${bucket}`, ...flags], env };
}

/** The programs beside this file take their task as JSON. */
function ownProgram(path: string, { world, dataset, bucket }: Task): Command {
  const asked = {
    source: world.source.url,
    destination: world.destination.url,
    kms: world.kms.url,
    from: dataset.name,
    to: bucket,
    count: dataset.count,
    concurrency: 32,
  };
  return { argv: [process.execPath, program(path), JSON.stringify(asked)], env: plainEnv };
}

export const naive = (task: Task): Command => ownProgram("./programs/naive.js", task);
export const floor = (task: Task): Command => ownProgram("./programs/floor.js", task);
