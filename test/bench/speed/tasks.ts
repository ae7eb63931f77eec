/** What is to be done, and how sealift and the small programs are told: each moves a dataset into a fresh bucket. */
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Expected } from "./lean/check.ts";
import type { Command } from "./measure.ts";
import { ACCESS_KEY, DESTINATION_KEY, type Dataset, GOOGLE_KEY, SECRET_KEY, SOURCE_KEY } from "./seed.ts";
import type { Cloud, World } from "./world.ts";

export type Route = "s3" | "gcs";

interface Door {
  readonly url: string;
}

/** What a task needs to know of a world; the clouds may be anybody's. */
export interface Places extends Pick<World, "directory" | "redis" | "credentials" | "keys" | "caFile" | "seed"> {
  readonly source: Door;
  readonly destination: Door;
  readonly kms: Door;
  readonly gcs: Door;
  readonly googleKms: Door;
}

export interface Task {
  readonly world: Places;
  readonly dataset: Dataset;
  readonly bucket: string;
}

export interface Contender {
  readonly name: string;
  readonly route: Route;
  readonly command: (task: Task) => Command | Promise<Command>;
  /** How what it moved has to look; undefined: it moves nothing. */
  readonly arrives: Expected["how"] | undefined;
  /** Run once before, over the same bucket, and not measured. */
  readonly before?: ((task: Task) => Command | Promise<Command>) | undefined;
  /** Whether some objects are opened by the destination's own drivers too. */
  readonly opened?: boolean | undefined;
}

export const destinationOf = (world: World, route: Route): Cloud => (route === "s3" ? world.destination : world.gcs);

const program = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
export const plainEnv = { AWS_CA_BUNDLE: undefined, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" };

export interface SealiftSettings {
  readonly route: Route;
  readonly fallback?: "copy" | "seal";
  readonly workers?: number | undefined;
  /** Where each process leaves its CPU profile. */
  readonly profile?: string | undefined;
}

/** The shores as a job file states them. */
export function shoresOf(world: Places, route: Route) {
  const { credentials, source, destination, kms, gcs, googleKms, caFile } = world;
  const ca = caFile === undefined ? {} : { caFile };
  const onAws = (region: string) => ({ region, credentials, ...ca });
  return {
    source: {
      endpoint: source.url,
      unsignedPayload: true,
      ...onAws("us-east-1"),
      kms: { endpoint: kms.url, ...onAws("us-east-1") },
    },
    destination:
      route === "s3"
        ? {
            endpoint: destination.url,
            unsignedPayload: true,
            ...onAws("eu-west-1"),
            kms: { endpoint: kms.url, ...onAws("eu-west-1") },
          }
        : { endpoint: gcs.url, anonymous: true, ...ca, kms: { endpoint: googleKms.url, anonymous: true, ...ca } },
  };
}

/** Worker processes inherit it. */
const profiling = (folder: string): Record<string, string> => ({
  NODE_OPTIONS: `--import ${new URL("./programs/profiled.js", import.meta.url).href}`,
  BENCH_PROFILE: resolve(folder),
});

/** The built program as its users run it; Redis is named, so that its processor time can be told apart. */
export async function sealift({ world, dataset, bucket }: Task, settings: SealiftSettings): Promise<Command> {
  const { route, fallback, workers, profile } = settings;
  // Runs into one bucket have one state directory, as one person's runs have: what an earlier one has written may spare the next one work.
  const state = join(world.directory, `state-${bucket}`);
  await mkdir(state, { recursive: true, mode: 0o700 });
  const { source, destination } = shoresOf(world, route);
  const wrapWith = route === "s3" ? `aws-kms://${DESTINATION_KEY}` : `gcp-kms://${GOOGLE_KEY}`;
  const job = {
    apiVersion: "sealift/v1",
    kind: "Migration",
    source: { url: `s3://${dataset.name}/`, ...source },
    destination: { url: `${route === "s3" ? "s3" : "gs"}://${bucket}/`, ...destination },
    keys: { wrapWith, allow: [`aws-kms://${SOURCE_KEY}`] },
    options: fallback === undefined ? {} : { fallback },
  };
  const path = join(state, "job.yaml");
  await writeFile(path, JSON.stringify(job));
  const env = {
    ...plainEnv,
    SEALIFT_STATE_DIR: state,
    SEALIFT_REDIS: world.redis.address,
    SEALIFT_LOG_LEVEL: "warn",
    ...(profile === undefined ? {} : profiling(profile)),
  };
  const count = workers === undefined ? [] : ["--workers", String(workers)];
  return { argv: [process.execPath, program("../../../src/main.js"), "run", path, "--json", ...count], env };
}

const SECRETS = { BENCH_ACCESS_KEY: ACCESS_KEY, BENCH_SECRET_KEY: SECRET_KEY };

/** The programs beside this file take their task as JSON. */
export function ownProgram(name: string, { world, dataset, bucket }: Task, concurrency = 32): Command {
  const asked = {
    source: world.source.url,
    destination: world.destination.url,
    kms: world.kms.url,
    caFile: world.caFile,
    from: dataset.name,
    to: bucket,
    count: dataset.count,
    concurrency,
  };
  const env = { ...plainEnv, NODE_EXTRA_CA_CERTS: world.caFile, ...SECRETS };
  return { argv: [process.execPath, program(`./programs/${name}.js`), JSON.stringify(asked)], env };
}
