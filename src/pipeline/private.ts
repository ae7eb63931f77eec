/**
 * A Redis of one's own: where no address is given, sealift starts redis-server in its state directory, on a unix socket that
 * only this user can reach, append-only file on, and stops it after. Nothing of a migration is lost with it.
 */
import { spawn } from "node:child_process";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SealiftError } from "../core/error.ts";
import { ensurePrivate } from "../core/private.ts";
import { connectOnce, pingRedis, type RedisAddress } from "./redis.ts";

export interface PrivateRedis {
  readonly address: RedisAddress;
  readonly directory: string;
  readonly pid: number | undefined;
  /** Stops the server, unless another sealift still uses it. */
  stop(): Promise<void>;
}

/** The kernel's limit on the path of a unix socket, with room for the final NUL. */
const SOCKET_PATH_MAX = 107;
const SEARCH_PATH = "/usr/local/bin:/opt/homebrew/bin:/usr/local/sbin:/usr/bin:/bin:/usr/sbin:/sbin";
const START_MS = 10_000;
const STOP_MS = 5000;

const THREE_WAYS = [
  "no redis-server was found. Three ways to get one:",
  "  1. install it:        apt-get install redis-server   (or: brew install redis, dnf install redis)",
  "  2. run it in Docker:  docker compose up -d redis, then REDIS_URL=redis://127.0.0.1:6379",
  "  3. use one you have:  --redis redis://host:6379, with appendonly yes, maxmemory set and maxmemory-policy noeviction",
].join("\n");

export const redisDirectory = (stateDirectory: string): string => join(stateDirectory, "redis");
export const redisSocket = (stateDirectory: string): RedisAddress => join(redisDirectory(stateDirectory), "redis.sock");

/** The private Redis of this state directory where one is running. PREFLIGHT_ACCESS where another user could have put it there. */
export async function runningPrivateRedis(stateDirectory: string): Promise<RedisAddress | undefined> {
  const socket = redisSocket(stateDirectory);
  if (!(await stat(socket).catch(() => undefined))) return undefined;
  await ensurePrivate(stateDirectory);
  await ensurePrivate(redisDirectory(stateDirectory));
  return pingRedis(socket, 1000).then(
    () => socket,
    () => undefined,
  );
}

/** `searchPath`: PATH of the server, and all of its environment: it needs none of the secrets in ours. */
export async function startPrivateRedis(stateDirectory: string, searchPath = SEARCH_PATH): Promise<PrivateRedis> {
  const directory = redisDirectory(stateDirectory);
  const socket = redisSocket(stateDirectory);
  if (Buffer.byteLength(socket) > SOCKET_PATH_MAX) {
    throw new SealiftError("PREFLIGHT_REDIS", `the state directory's path is too long for a unix socket: ${socket}`);
  }
  const stop = () => stopUnlessUsed(socket);
  if (await runningPrivateRedis(stateDirectory)) return { address: socket, directory, pid: undefined, stop };
  await ensurePrivate(stateDirectory);
  await ensurePrivate(directory);
  await rm(socket, { force: true });
  const pid = await launch(directory, socket, searchPath);
  return { address: socket, directory, pid, stop };
}

async function launch(directory: string, socket: string, searchPath: string): Promise<number> {
  const settings = {
    port: "0",
    unixsocket: socket,
    unixsocketperm: "700",
    dir: directory,
    appendonly: "yes",
    appendfsync: "everysec",
    save: "",
    maxmemory: "512mb",
    "maxmemory-policy": "noeviction",
    daemonize: "no",
    logfile: join(directory, "redis.log"),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn("redis-server", args, { stdio: "ignore", detached: true, env: { PATH: searchPath } });
  let failed: string | undefined;
  child.once("error", () => {
    failed = THREE_WAYS;
  });
  child.once("exit", (code) => {
    failed ??= `redis-server ended with code ${code}: see ${settings.logfile}`;
  });
  child.unref();
  const deadline = Date.now() + START_MS;
  while (failed === undefined && Date.now() < deadline) {
    if (await answers(socket)) return child.pid as number;
    await sleep(20);
  }
  throw new SealiftError("PREFLIGHT_REDIS", failed ?? `redis-server did not answer within ${START_MS / 1000} s`);
}

const answers = (socket: string): Promise<boolean> =>
  stat(socket)
    .then(() => pingRedis(socket, 500))
    .then(
      () => true,
      () => false,
    );

/** Detached workers or a second `run` may share this server: the last one turns off the light, and waits until it is dark. */
async function stopUnlessUsed(socket: string): Promise<void> {
  const redis = connectOnce(socket);
  try {
    const clients = String(await redis.client("LIST"))
      .trim()
      .split("\n");
    if (clients.length > 1) return;
    const pid = Number(/^process_id:(\d+)/m.exec(await redis.info("server"))?.[1]);
    // SHUTDOWN is answered by the end of the connection.
    await redis.shutdown("SAVE").catch(() => undefined);
    for (let waitedMs = 0; waitedMs < STOP_MS && isAlive(pid); waitedMs += 20) await sleep(20);
  } finally {
    redis.disconnect();
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
