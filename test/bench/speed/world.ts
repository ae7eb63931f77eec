/** The clouds of a run, each a process of its own, and Redis as sealift starts it. */
import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type PrivateRedis, startPrivateRedis } from "../../../src/pipeline/private.ts";
import type { Checked, Expected } from "./lean/check.ts";
import type { Counted } from "./lean/counts.ts";
import type { CloudKind, CloudSettings, Order } from "./lean/server.ts";
import { killRunning } from "./measure.ts";
import { ACCESS_KEY, type Dataset, SECRET_KEY, type Secrets, Seed } from "./seed.ts";

export class Cloud {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly url: string;
  readonly pid: number;
  #orders = 0;

  constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
    this.pid = child.pid as number;
    child.on("message", ({ id, result, error }: { id: number; result?: unknown; error?: string }) => {
      const { resolve, reject } = this.#waiting.get(id) ?? {};
      this.#waiting.delete(id);
      if (error === undefined) resolve?.(result);
      else reject?.(new Error(error));
    });
    child.once("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("a cloud has ended"));
    });
  }

  #order(order: Order): Promise<unknown> {
    const id = ++this.#orders;
    this.#child.send({ id, order });
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** Returns the CRC32C of each content. */
  seed = async (dataset: Dataset) => (await this.#order({ op: "seed", dataset })) as number[];
  take = async () => (await this.#order({ op: "take" })) as Counted;
  check = async (bucket: string, expected: Expected) =>
    (await this.#order({ op: "check", bucket, expected })) as Checked;
  drop = async (bucket: string) => void (await this.#order({ op: "drop", bucket }));
  stop = () => void this.#child.kill("SIGKILL");
}

async function startCloud(kind: CloudKind, secrets: Secrets, tls?: CloudSettings["tls"]): Promise<Cloud> {
  const entry = fileURLToPath(new URL("./lean/server.js", import.meta.url));
  const settings: CloudSettings = { kind, secrets, tls };
  const child = fork(entry, [JSON.stringify(settings)], { serialization: "advanced" });
  const url = await new Promise<string>((resolve, reject) => {
    child.once("message", (said: { url: string }) => resolve(said.url));
    child.once("exit", (code) => reject(new Error(`a cloud (${kind}) ended with ${code}`)));
  });
  return new Cloud(child, url);
}

export interface World {
  readonly directory: string;
  /** All of them, by name. */
  readonly clouds: ReadonlyMap<string, Cloud>;
  readonly source: Cloud;
  readonly destination: Cloud;
  readonly kms: Cloud;
  readonly gcs: Cloud;
  readonly googleKms: Cloud;
  readonly redis: PrivateRedis;
  /** Where all of them speak TLS: of the authority that vouches for them. */
  readonly caFile?: string | undefined;
  readonly seed: Seed;
  /** In place of a secret in job files. */
  readonly credentials: AccessKeys;
  /** The same, for who takes no references. */
  readonly keys: AccessKeys;
  close(): Promise<void>;
}

export interface AccessKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export async function openWorld(withTls = false): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), "sealift-bench-"));
  const tls = withTls ? makeCertificate(directory) : undefined;
  const secrets: Secrets = { secret: randomBytes(32).toString("hex") };
  const clouds = new Map<string, Cloud>();
  const start = async (name: string, kind: CloudKind) => {
    const cloud = await startCloud(kind, secrets, tls);
    clouds.set(name, cloud);
    return cloud;
  };
  const redis = await startPrivateRedis(join(directory, "redis"), process.env["PATH"]);
  const end = async () => {
    killRunning();
    for (const cloud of clouds.values()) cloud.stop();
    await endRedis(redis);
    await rm(directory, { recursive: true, force: true });
  };
  // Whoever is interrupted closes, and so does whoever then fails.
  let closing: Promise<void> | undefined;
  const close = () => (closing ??= end());
  try {
    const keys = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY };
    const credentials = await writeCredentials(directory, "lean", keys);
    const source = await start("source", "s3");
    const destination = await start("destination", "s3");
    const kms = await start("kms", "awskms");
    const gcs = await start("gcs", "gcs");
    const googleKms = await start("google kms", "gcpkms");
    return {
      directory,
      clouds,
      source,
      destination,
      kms,
      gcs,
      googleKms,
      redis,
      credentials,
      keys,
      seed: new Seed(secrets),
      caFile: tls?.certFile,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Whether or not programs that were killed a moment ago still count as its clients. */
async function endRedis(redis: PrivateRedis): Promise<void> {
  const { pid } = redis;
  if (pid === undefined) return redis.stop();
  process.kill(pid, "SIGTERM");
  for (let waitedMs = 0; waitedMs < 5000 && isAlive(pid); waitedMs += 20) await sleep(20);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Of 127.0.0.1, and its own authority. */
function makeCertificate(directory: string): NonNullable<CloudSettings["tls"]> {
  const [keyFile, certFile] = [join(directory, "tls.key"), join(directory, "tls.pem")];
  const names = [
    "-subj",
    "/CN=sealift bench",
    "-addext",
    "subjectAltName=IP:127.0.0.1",
    "-addext",
    "basicConstraints=critical,CA:TRUE",
  ];
  const made = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
    ...names,
  ];
  const { status, stderr } = spawnSync("openssl", [...made, "-keyout", keyFile, "-out", certFile], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`openssl made no certificate: ${stderr}`);
  return { keyFile, certFile };
}

/** As references that a job file can hold. */
export async function writeCredentials(directory: string, prefix: string, keys: AccessKeys): Promise<AccessKeys> {
  const references = { accessKeyId: "", secretAccessKey: "" };
  for (const name of ["accessKeyId", "secretAccessKey"] as const) {
    const path = join(directory, `${prefix}-${name}`);
    await writeFile(path, keys[name], { mode: 0o600 });
    references[name] = `file:${path}`;
  }
  return references;
}
