/** Redis dies, comes back without its disk, is emptied, or loses every client. */
import type { Harm, NamedHarm } from "./harm.ts";

const kill =
  (wipe: boolean): Harm =>
  async ({ world, kills }) => {
    kills.redis++;
    await world.killRedis({ wipe });
    return wipe ? "its directory deleted" : "back from its append-only file";
  };

const flush: Harm = async ({ world }) => {
  await world.connection.flushall();
  return "everything";
};

/** Commands in flight are sent again by their clients: some happen twice. */
const dropClients: Harm = async ({ world }) => {
  const dropped = await world.connection.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  return `${String(dropped)} connections`;
};

const dropScripts: Harm = async ({ world }) => {
  await world.connection.script("FLUSH");
  return "script cache";
};

export const REDIS_HARMS: readonly NamedHarm[] = [
  { name: "redis kill", weight: 4, act: kill(false) },
  { name: "redis wipe", weight: 2, act: kill(true) },
  { name: "flushall", weight: 3, act: flush },
  { name: "drop clients", weight: 2, act: dropClients },
  { name: "drop scripts", weight: 1, act: dropScripts },
];
