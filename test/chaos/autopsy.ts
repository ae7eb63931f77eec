/** Of a migration that does not end: all that Redis holds of it, and the last words of its workers. */
import type { Redis } from "ioredis";
import type { World } from "./world.ts";

const CHARACTERS_MAX = 30_000;
const LINES = 60;

export async function autopsy({ connection, output }: World): Promise<string> {
  const found: string[] = [];
  for (const key of (await connection.keys("*")).sort()) found.push(`${key}: ${await contentOf(connection, key)}`);
  const lines = output.join("").split("\n").slice(-LINES);
  return `${found.join("\n").slice(0, CHARACTERS_MAX)}\n${lines.join("\n").slice(-CHARACTERS_MAX)}`;
}

async function contentOf(redis: Redis, key: string): Promise<string> {
  const type = await redis.type(key);
  const content =
    type === "string"
      ? await redis.get(key)
      : type === "hash"
        ? await redis.hgetall(key)
        : type === "list"
          ? await redis.lrange(key, 0, -1)
          : type === "zset"
            ? await redis.zrange(key, "0", "-1", "WITHSCORES")
            : type === "set"
              ? await redis.smembers(key)
              : type;
  return `(${await redis.pttl(key)}) ${JSON.stringify(content).slice(0, 600)}`;
}
